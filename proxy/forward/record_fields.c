#include "forward/record_fields.h"

#include "forward/event_walk.h"
#include "forward/msgpack_bytes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- the fields ---- */

bool record_fields_add(struct record_fields *fields, const char *name, const char *value)
{
    size_t name_length = strlen(name), value_length = strlen(value);

    assert(fields->count < RECORD_FIELDS_MAX && name_length <= RECORD_FIELD_NAME_BYTES_MAX &&
           value_length <= RECORD_FIELD_VALUE_BYTES_MAX);
    uint8_t *pairs = realloc(fields->pairs, fields->length + name_length + value_length +
                                                (size_t)2 * MSGPACK_HEADER_BYTES_MAX);
    if (!pairs)
        return false;
    fields->pairs = pairs;
    fields->length += msgpack_bytes_put_str(pairs + fields->length, name);
    fields->names[fields->count].at = fields->length - name_length;
    fields->names[fields->count].length = name_length;
    fields->length += msgpack_bytes_put_str(pairs + fields->length, value);
    fields->count++;
    return true;
}

void record_fields_deinit(struct record_fields *fields)
{
    free(fields->pairs);
    *fields = (struct record_fields) { 0 };
}

static bool has_name(const struct record_fields *fields, const uint8_t *bytes, uint64_t length)
{
    for (unsigned i = 0; i < fields->count; i++) {
        if (fields->names[i].length == length &&
            memcmp(fields->pairs + fields->names[i].at, bytes, (size_t)length) == 0)
            return true;
    }
    return false;
}

/* ---- values ---- */

/* The size that the header at `at` announces. The header ends before `end`. */
static uint64_t size_at(const uint8_t *at, const uint8_t *end)
{
    const struct shape *shape = &shapes[*at];
    uint8_t header[SHAPE_HEADER_BYTES_MAX] = { 0 };

    if (shape->header == 1)
        return shape->inherent;
    if (end - at >= SHAPE_HEADER_BYTES_MAX)
        return shape_size(shape, at);
    memcpy(header, at, (size_t)(end - at));
    return shape_size(shape, header);
}

/* The first byte after the value at `at`, which is whole. */
static const uint8_t *value_end(const uint8_t *at, const uint8_t *end)
{
    uint64_t pending = 1;

    while (pending) {
        const struct shape *shape = &shapes[*at];
        uint64_t size = event_walk_short_string(at);
        pending--;
        if (size) {
            at += size;
            continue;
        }
        size = size_at(at, end);
        at += shape->header;
        if (shape->kind >= KIND_ARRAY)
            pending += size << (shape->kind == KIND_MAP);
        else
            at += size;
    }
    return at;
}

struct record_event record_event_find(const uint8_t *bytes, size_t length, size_t at)
{
    const uint8_t *record = value_end(bytes + at, bytes + length);

    return (struct record_event) { bytes, length, (size_t)(record - bytes) };
}

/* ---- the record ---- */

/* Walks the pairs of a record from `at` to `end`. Counts the pairs with the name of a field, and appends the
 * others to `to`, if `to` is not NULL. False when out of memory. */
static bool pairs_walk(const struct record_fields *fields, const uint8_t *at, const uint8_t *end,
                       struct buffer *to, uint64_t *named)
{
    const uint8_t *kept = at; /* the first byte that is not appended yet */

    while (at < end) {
        const struct shape *shape = &shapes[*at];
        bool is_named =
            (KIND_ONLY(shape->kind) & KINDS_STRING) && has_name(fields, at + shape->header, size_at(at, end));
        const uint8_t *next = value_end(value_end(at, end), end);
        if (is_named) {
            *named += 1;
            if (to && !buffer_append(to, kept, (size_t)(at - kept)))
                return false;
            kept = next;
        }
        at = next;
    }
    return !to || buffer_append(to, kept, (size_t)(at - kept));
}

bool record_fields_put(const struct record_fields *fields, const struct record_event *event,
                       struct buffer *to)
{
    const uint8_t *record = event->bytes + event->record, *end = event->bytes + event->length;
    size_t old_header = shapes[*record].header;
    uint64_t pairs = size_at(record, end), named = 0;
    uint8_t header[MSGPACK_HEADER_BYTES_MAX];

    assert(shapes[*record].kind == KIND_MAP);
    (void)pairs_walk(fields, record + old_header, end, NULL, &named);
    pairs = pairs - named + fields->count; /* each pair has two bytes: the sum is below 2^32 */
    size_t new_header = msgpack_bytes_put_header(header, MSGPACK_MAP, (uint32_t)pairs, old_header);
    bool done = buffer_append(to, event->bytes, event->record) && buffer_append(to, header, new_header);
    if (named)
        done = done && pairs_walk(fields, record + old_header, end, to, &(uint64_t) { 0 });
    else
        done = done && buffer_append(to, record + old_header, (size_t)(end - record) - old_header);
    return done && buffer_append(to, fields->pairs, fields->length);
}
