/* Walks the log entries a body is made of, and tells their metadata from what every aggregator reads.
 *
 * An entry is [time, record], or, as Fluent Bit 5 writes it, [[time, metadata], record]. Without the bytes
 * that go, the second becomes the first: the inner array's header, and the metadata. Frames are as strict as
 * the scanner's; what is inside a record or metadata is only walked.
 *
 * Pure, resumable at every byte, without allocation, recursion or a stack: fed any slices, it gives the same
 * answers at the same bytes however they are cut. The bytes stay with the caller.
 *
 * Source: Forward Protocol Specification v1, "Entry"; Fluent Bit's log event encoding (FLUENT_BIT_V2). */
#ifndef HUSK_FORWARD_ENTRIES_H
#define HUSK_FORWARD_ENTRIES_H

#include "forward/shape.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct entries {
    uint64_t count;          /* whole ones taken */
    uint64_t with_metadata;  /* of them */
    uint64_t bytes, staying; /* taken, and of them those that stay */
    bool refused;            /* these are no log entries; where that was decided nobody needs to know */

    /* Inside: how far the walk has come (private). */
    uint64_t skip;                            /* body bytes of the value under way still to come */
    uint64_t pending;                         /* values of a record or metadata still to come */
    uint8_t place;                            /* in the entry */
    bool is_pair;                             /* the entry under way has metadata */
    uint8_t gathered_length;                  /* bytes in `gathered` */
    uint8_t gathered[SHAPE_HEADER_BYTES_MAX]; /* a header the slice's end cut */
};

/* At the first byte of a body. */
void entries_init(struct entries *entries);

/* Takes bytes, at least one, that all stay or all go; returns how many, and in *goes which. `length` is at
 * least 1. Nothing may be fed once it has refused. */
size_t entries_feed(struct entries *entries, const uint8_t *bytes, size_t length, bool *goes);

/* True between two entries: the body may end here. */
bool entries_is_between(const struct entries *entries);

#endif
