/* Walks the log entries of a body: says what each of them is, and separates the bytes of metadata from the
 * bytes that stay.
 *
 * An entry is [time, record], or [[time, metadata], record] as Fluent Bit 5 writes it. Removing the header of
 * the inner array and the metadata turns the second form into the first. Any other value in the place of an
 * entry is an invalid entry, by the rules of the scanner (frame.h). Values inside a record or metadata may be
 * anything.
 *
 * Fluent Bit marks the start and the end of a group of entries with an entry that has metadata and the time
 * -1 or -2, in 32 bits: a marker. Without its metadata a marker has no meaning, and is no event.
 *
 * Pure and resumable at every byte; no allocation, no recursion, no stack. The results do not depend on how
 * the body is cut into slices. The caller keeps the bytes.
 *
 * Source: Forward Protocol Specification v1, "Entry"; Fluent Bit's log event encoding (FLUENT_BIT_V2,
 * FLB_LOG_EVENT_GROUP_START and _END). */
#ifndef HUSK_FORWARD_ENTRIES_H
#define HUSK_FORWARD_ENTRIES_H

#include "base/event_fault.h"
#include "forward/shape.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum entry_kind { ENTRY_EVENT, ENTRY_MARKER, ENTRY_INVALID, ENTRY_KIND_COUNT };

struct entries {
    uint64_t count;                     /* complete entries, of all kinds */
    uint64_t kinds[ENTRY_KIND_COUNT];   /* the same by kind */
    uint64_t faults[EVENT_FAULT_COUNT]; /* the invalid ones by fault */
    uint64_t with_metadata;             /* complete entries with metadata, except invalid ones */
    uint64_t bytes, staying;            /* bytes taken, and those of them that are no metadata */
    enum entry_kind last;               /* kind of the last complete entry */
    bool refused;                       /* the bytes are not MessagePack values */

    /* Private. */
    uint64_t skip;                            /* body bytes of the current value that are still missing */
    uint64_t pending;                         /* values of a record or metadata that are still missing */
    uint8_t state;                            /* which value of the entry is next */
    uint8_t kind;                             /* of the current entry, as far as known */
    bool is_pair;                             /* the current entry has metadata */
    bool is_event_time;                       /* the time of the current entry has the form of an EventTime */
    uint8_t time[5];                          /* the first bytes of such a time: type and seconds */
    uint8_t gathered_length;                  /* bytes in `gathered` */
    uint8_t gathered[SHAPE_HEADER_BYTES_MAX]; /* a header that the end of a slice cuts */
};

/* Begins at the first byte of a body. */
void entries_init(struct entries *entries);

/* Takes one or more bytes that either all stay or all go as metadata (*goes). Returns the number of bytes.
 * `length` is at least 1. Must not be called once `refused` is set. */
size_t entries_feed(struct entries *entries, const uint8_t *bytes, size_t length, bool *goes);

/* The same, but takes no byte after the end of the current entry. */
size_t entries_feed_one(struct entries *entries, const uint8_t *bytes, size_t length, bool *goes);

/* True between two entries: a body may end here. */
bool entries_is_between(const struct entries *entries);

#endif
