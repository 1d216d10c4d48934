/* Walks the log entries of a body, and separates the bytes of metadata from the bytes that stay.
 *
 * An entry is [time, record], or [[time, metadata], record] as Fluent Bit 5 writes it. Removing the header of
 * the inner array and the metadata turns the second form into the first. The frame is as strict as the
 * scanner's. Values inside a record or metadata may be anything.
 *
 * Pure and resumable at every byte; no allocation, no recursion, no stack. The results do not depend on how
 * the body is cut into slices. The caller keeps the bytes.
 *
 * Source: Forward Protocol Specification v1, "Entry"; Fluent Bit's log event encoding (FLUENT_BIT_V2). */
#ifndef HUSK_FORWARD_ENTRIES_H
#define HUSK_FORWARD_ENTRIES_H

#include "forward/shape.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct entries {
    uint64_t count;          /* complete entries */
    uint64_t with_metadata;  /* complete entries with metadata */
    uint64_t bytes, staying; /* bytes taken, and those of them that stay */
    bool refused;            /* the bytes are not log entries */

    /* Private. */
    uint64_t skip;                            /* body bytes of the current value that are still missing */
    uint64_t pending;                         /* values of a record or metadata that are still missing */
    uint8_t state;                            /* which value of the entry is next */
    bool is_pair;                             /* the current entry has metadata */
    uint8_t gathered_length;                  /* bytes in `gathered` */
    uint8_t gathered[SHAPE_HEADER_BYTES_MAX]; /* a header that the end of a slice cuts */
};

/* Begins at the first byte of a body. */
void entries_init(struct entries *entries);

/* Takes one or more bytes that either all stay or all go (*goes). Returns the number of bytes. `length` is at
 * least 1. Must not be called once `refused` is set. */
size_t entries_feed(struct entries *entries, const uint8_t *bytes, size_t length, bool *goes);

/* Takes bytes up to the end of the current entry, or the end of the slice; returns the number of bytes. The
 * rest is as in entries_feed, except that `staying` does not change. */
size_t entries_feed_one(struct entries *entries, const uint8_t *bytes, size_t length);

/* True between two entries: a body may end here. */
bool entries_is_between(const struct entries *entries);

#endif
