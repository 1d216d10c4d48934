/* Puts fields into the record of an event: pairs with fixed names and values, behind the other pairs. Pairs
 * of the record that have such a name are left out, so that the record has each name once.
 *
 * A name is compared with the bytes of a key, whether the key is a str or a bin: Fluentd and the others read
 * both as the same name. All other pairs stay byte for byte, in their order.
 *
 * Pure. Owns the bytes of the pairs. */
#ifndef HUSK_FORWARD_RECORD_FIELDS_H
#define HUSK_FORWARD_RECORD_FIELDS_H

#include "base/buffer.h"
#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RECORD_FIELDS_MAX = 4,
    RECORD_FIELD_NAME_BYTES_MAX = 64,
    RECORD_FIELD_VALUE_BYTES_MAX = 1024,
    RECORD_HEADER_GROWTH_MAX = 2, /* most bytes that the header of a record grows: map 16 instead of fixmap,
                                     or map 32 instead of map 16 */
};

/* All zeros: no fields. */
struct record_fields {
    unsigned count;
    size_t length;  /* of `pairs` */
    uint8_t *pairs; /* owned: names and values as MessagePack */
    struct {
        size_t at, length; /* in `pairs`, without header */
    } names[RECORD_FIELDS_MAX];
};

/* Adds a field whose value is a str. At most RECORD_FIELDS_MAX fields, with different names, and at most
 * RECORD_FIELD_NAME_BYTES_MAX and RECORD_FIELD_VALUE_BYTES_MAX bytes. False when out of memory. */
MUST_CHECK bool record_fields_add(struct record_fields *fields, const char *name, const char *value);
void record_fields_deinit(struct record_fields *fields);

/* The most bytes by which an event grows. */
static inline size_t record_fields_growth_max(const struct record_fields *fields)
{
    return fields->count ? fields->length + RECORD_HEADER_GROWTH_MAX : 0;
}

/* A well-formed event: bytes that end with its record, which is a map. Borrowed. */
struct record_event {
    const uint8_t *bytes;
    size_t length;
    size_t record; /* offset of the record */
};

/* Finds the record after the value at the offset `at`, in bytes that are two whole values from there on. */
struct record_event record_event_find(const uint8_t *bytes, size_t length, size_t at);

/* Appends the event with the fields to `to`. False when out of memory. */
MUST_CHECK bool record_fields_put(const struct record_fields *fields, const struct record_event *event,
                                  struct buffer *to);

#endif
