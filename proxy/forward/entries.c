#include "forward/entries.h"

#include <assert.h>
#include <string.h>

enum { EVENT_TIME_BYTES = 9 }; /* type, seconds, nanoseconds */

/* Which value of an entry is next. */
enum state {
    STATE_ENTRY,
    STATE_FIRST, /* the time, or the array of time and metadata */
    STATE_PAIR_TIME,
    STATE_METADATA,
    STATE_RECORD,
};

/* Every value has at least one byte and no body is longer, so sums below this limit cannot overflow. */
#define PENDING_MAX UINT32_MAX

void entries_init(struct entries *entries)
{
    *entries = (struct entries) { .state = STATE_ENTRY };
}

bool entries_is_between(const struct entries *entries)
{
    return entries->state == STATE_ENTRY && !entries->gathered_length && !entries->refused;
}

static void end_entry(struct entries *entries)
{
    entries->last = (enum entry_kind)entries->kind;
    entries->kinds[entries->kind]++;
    entries->count++;
    entries->with_metadata += entries->is_pair && entries->kind != ENTRY_INVALID;
    entries->state = STATE_ENTRY;
    entries->kind = ENTRY_EVENT;
    entries->is_pair = false;
}

/* The time of an entry with metadata is complete. */
static void end_pair_time(struct entries *entries)
{
    static const uint8_t begin[] = { 0, 0xff, 0xff, 0xff, 0xff }, end[] = { 0, 0xff, 0xff, 0xff, 0xfe };

    if (entries->is_event_time &&
        (memcmp(entries->time, begin, sizeof begin) == 0 || memcmp(entries->time, end, sizeof end) == 0))
        entries->kind = ENTRY_MARKER;
    entries->state = STATE_METADATA;
}

static void end_value(struct entries *entries)
{
    switch (entries->state) {
    case STATE_PAIR_TIME:
        end_pair_time(entries);
        break;
    case STATE_FIRST:
    case STATE_METADATA:
        entries->state = STATE_RECORD;
        break;
    default:
        end_entry(entries);
        break;
    }
}

/* A time, or a value inside a record, metadata or a wrong value. */
static void enter_walked(struct entries *entries, const struct shape *shape, uint64_t size)
{
    if (shape->kind < KIND_ARRAY)
        entries->skip = size;
    else
        entries->pending += size << (shape->kind == KIND_MAP);
    if (shape->kind == KIND_UNUSED || entries->pending > PENDING_MAX)
        entries->refused = true;
    else if (!entries->skip && !entries->pending)
        end_value(entries);
}

/* The value that begins is wrong: it and the rest of the entry, `skipped` values together, are only
 * counted. */
static void enter_wrong(struct entries *entries, enum event_fault fault, uint64_t skipped)
{
    entries->faults[fault]++;
    entries->kind = ENTRY_INVALID;
    entries->state = STATE_RECORD;
    entries->pending = skipped - 1;
}

/* A value that is not inside another one. */
static void enter_frame_value(struct entries *entries, const struct shape *shape, uint64_t size)
{
    bool is_two = shape->kind == KIND_ARRAY && size == 2;
    bool is_time = KIND_ONLY(shape->kind) & KINDS_TIME;

    if (is_two && entries->state <= STATE_FIRST) {
        entries->is_pair = entries->state == STATE_FIRST;
        entries->state++; /* to STATE_FIRST or STATE_PAIR_TIME */
        return;
    }
    if (entries->state == STATE_ENTRY)
        enter_wrong(entries, EVENT_FAULT_ENTRY, 1);
    else if (entries->state < STATE_METADATA && !is_time)
        enter_wrong(entries, EVENT_FAULT_TIME, entries->is_pair ? 3 : 2);
    else if (entries->state == STATE_METADATA && shape->kind != KIND_MAP)
        enter_wrong(entries, EVENT_FAULT_ENTRY, 2);
    else if (entries->state == STATE_RECORD && shape->kind != KIND_MAP)
        enter_wrong(entries, EVENT_FAULT_RECORD, 1);
    entries->is_event_time = shape->kind == KIND_EXT && size == EVENT_TIME_BYTES;
    enter_walked(entries, shape, size);
}

/* The header of a value is complete. Needs SHAPE_HEADER_BYTES_MAX readable bytes. */
static void enter_value(struct entries *entries, const uint8_t *header)
{
    const struct shape *shape = &shapes[*header];
    uint64_t size = shape_size(shape, header);

    if (entries->pending) {
        entries->pending--;
        enter_walked(entries, shape, size);
    } else {
        enter_frame_value(entries, shape, size);
    }
}

/* Takes a header, or the part of it that the slice has. */
static const uint8_t *take_header(struct entries *entries, const uint8_t *at, const uint8_t *end)
{
    if (!entries->gathered_length && end - at >= SHAPE_HEADER_BYTES_MAX) {
        enter_value(entries, at);
        return at + shapes[*at].header;
    }
    if (!entries->gathered_length)
        entries->gathered[entries->gathered_length++] = *at++;
    uint8_t length = shapes[entries->gathered[0]].header;
    while (at < end && entries->gathered_length < length)
        entries->gathered[entries->gathered_length++] = *at++;
    if (entries->gathered_length == length) {
        entries->gathered_length = 0;
        enter_value(entries, entries->gathered);
    }
    return at;
}

/* Keeps the first bytes of an EventTime. */
static void gather_time(struct entries *entries, const uint8_t *bytes, size_t length)
{
    size_t before = EVENT_TIME_BYTES - (size_t)entries->skip;

    for (size_t i = 0; i < length && before + i < sizeof entries->time; i++)
        entries->time[before + i] = bytes[i];
}

static const uint8_t *take_body(struct entries *entries, const uint8_t *at, const uint8_t *end)
{
    uint64_t part = (uint64_t)(end - at) < entries->skip ? (uint64_t)(end - at) : entries->skip;

    if (entries->state == STATE_PAIR_TIME && entries->is_event_time)
        gather_time(entries, at, (size_t)part);
    entries->skip -= part;
    if (!entries->skip && !entries->pending)
        end_value(entries);
    return at + part;
}

/* The fast path: takes whole values inside a record or metadata, except the last one. It leaves a value that
 * the slice cuts, that ends a record, or that must be refused to the careful path. */
static const uint8_t *walk(struct entries *entries, const uint8_t *at, const uint8_t *end)
{
    uint64_t pending = entries->pending;

    while (pending > 1 && end - at >= SHAPE_HEADER_BYTES_MAX) {
        const struct shape *shape = &shapes[*at];
        uint64_t size = shape_size(shape, at);
        if (shape->kind >= KIND_ARRAY) {
            size <<= shape->kind == KIND_MAP;
            if (pending + size > PENDING_MAX)
                break;
            pending += size;
            at += shape->header;
        } else {
            if (shape->header + size > (uint64_t)(end - at) || shape->kind == KIND_UNUSED)
                break;
            at += shape->header + size;
        }
        pending--;
    }
    entries->pending = pending;
    return at;
}

/* Whether the next byte goes: it is metadata, or in the header of the inner array. */
static bool next_goes(const struct entries *entries, uint8_t next)
{
    uint8_t first = entries->gathered_length ? entries->gathered[0] : next;

    return entries->state == STATE_METADATA ||
           (entries->state == STATE_FIRST && !entries->skip && shapes[first].kind == KIND_ARRAY);
}

/* Takes one or more bytes, none of them after the end of the current entry. */
static const uint8_t *take_some(struct entries *entries, const uint8_t *at, const uint8_t *end)
{
    if (entries->skip)
        return take_body(entries, at, end);
    if (entries->pending > 1 && !entries->gathered_length)
        at = walk(entries, at, end);
    return at < end ? take_header(entries, at, end) : at;
}

static size_t feed(struct entries *entries, const uint8_t *bytes, size_t length, uint64_t count_max,
                   bool *goes)
{
    const uint8_t *at = bytes, *end = bytes + length;

    assert(length && !entries->refused);
    *goes = next_goes(entries, *at);
    while (at < end && !entries->refused && entries->count < count_max && next_goes(entries, *at) == *goes)
        at = take_some(entries, at, end);
    entries->bytes += (uint64_t)(at - bytes);
    if (!*goes)
        entries->staying += (uint64_t)(at - bytes);
    return (size_t)(at - bytes);
}

size_t entries_feed(struct entries *entries, const uint8_t *bytes, size_t length, bool *goes)
{
    return feed(entries, bytes, length, UINT64_MAX, goes);
}

size_t entries_feed_one(struct entries *entries, const uint8_t *bytes, size_t length, bool *goes)
{
    return feed(entries, bytes, length, entries->count + 1, goes);
}
