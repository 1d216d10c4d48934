/* The scanner's fast path: walks over events whose bytes are contiguous. Pure.
 *
 * Each function takes whole values only. It stops in front of a value that the slice cuts, that is rare, or
 * that must be refused. The scanner's careful path then handles that value, so one place decides what is
 * refused. Inline, because the scanner spends most of its time here.
 *
 * Knows MessagePack values only: no frame, no message, no limit but those it is given. */
#ifndef HUSK_FORWARD_EVENT_WALK_H
#define HUSK_FORWARD_EVENT_WALK_H

#include "forward/shape.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The longest time is a fixext 16: 18 bytes. */
enum { EVENT_WALK_HEAD_BYTES_MAX = SHAPE_HEADER_BYTES_MAX + 18 + SHAPE_HEADER_BYTES_MAX };

/* The bytes of an entry's array header, for the two forms that agents use; 0 for any other. Needs
 * SHAPE_HEADER_BYTES_MAX readable bytes. */
static inline size_t event_walk_entry_header(const uint8_t *at)
{
    static const uint8_t wide[] = { 0xdd, 0, 0, 0, 2 }; /* Fluent Bit's */

    return *at == 0x92 ? 1 : memcmp(at, wide, sizeof wide) == 0 ? sizeof wide : 0;
}

/* The bytes of a time and of the header of the record after the time; 0 when they have another form.
 * *elements is the number of values in the record. Needs EVENT_WALK_HEAD_BYTES_MAX readable bytes, less the
 * entry's header. */
static inline size_t event_walk_time_and_record(const uint8_t *at, uint64_t *elements)
{
    const struct shape *time = &shapes[*at];

    if (time->header != 1 || !(KIND_ONLY(time->kind) & KINDS_TIME))
        return 0;
    size_t time_bytes = 1U + time->inherent;
    const struct shape *record = &shapes[at[time_bytes]];
    if (record->kind != KIND_MAP)
        return 0;
    *elements = 2 * shape_size(record, at + time_bytes);
    return time_bytes + record->header;
}

/* Whether a time says when: an EventTime in the form that agents use, or an integer, and not 0. `time` has
 * the whole time. */
static inline bool event_walk_time_is_stated(const uint8_t *time)
{
    const struct shape *shape = &shapes[*time];
    uint32_t seconds;

    if (*time == 0xd7) {
        memcpy(&seconds, time + 2, sizeof seconds);
        return time[1] == 0 && seconds;
    }
    if (shape->kind != KIND_INT || !shape->inherent)
        return shape->kind == KIND_INT && *time;
    for (unsigned i = 1; i <= shape->inherent; i++) {
        if (time[i])
            return true;
    }
    return false;
}

/* The bytes of a string whose header has one or two bytes; 0 for any other value. Most values are such
 * strings. The branch predictor guesses the kind of the next value sooner than a table lookup returns it. */
static inline uint64_t event_walk_short_string(const uint8_t *at)
{
    if ((at[0] & 0xe0) == 0xa0)
        return 1 + (at[0] & 0x1fU);
    return at[0] == 0xd9 ? 2 + (uint64_t)at[1] : 0;
}

/* A stack of open maps and arrays. Each element counts the values that its map or array still lacks. */
struct event_walk {
    uint64_t claimable;     /* bytes that headers may still announce */
    uint32_t *bottom, *top; /* the outermost element, and one above the innermost; at least one is open */
    uint32_t *limit;        /* `top` must not pass it */
};

/* Takes whole values of the open maps and arrays, up to the end of the outermost. Returns the first byte that
 * is not taken. The outermost has ended when top == bottom. */
static inline const uint8_t *event_walk_values(struct event_walk *walk, const uint8_t *at, const uint8_t *end)
{
    uint64_t claimable = walk->claimable;
    uint32_t *top = walk->top;

    while (end - at >= SHAPE_HEADER_BYTES_MAX) {
        const struct shape *shape = &shapes[*at];
        uint64_t size = event_walk_short_string(at);
        if (size) {
            if (size > (uint64_t)(end - at) || size - 1 > claimable)
                break;
            claimable -= size - 1;
            at += size;
        } else if (shape->kind >= KIND_ARRAY) {
            size = shape_size(shape, at) << (shape->kind == KIND_MAP);
            if (shape->header - 1U + size > claimable || size > UINT32_MAX || top == walk->limit)
                break;
            claimable -= shape->header - 1U + size;
            at += shape->header;
            if (size) {
                *top++ = (uint32_t)size;
                continue;
            }
        } else {
            size = shape->header + shape_size(shape, at);
            if (size > (uint64_t)(end - at) || size - 1 > claimable || shape->kind == KIND_UNUSED)
                break;
            claimable -= size - 1;
            at += size;
        }
        while (--top[-1] == 0)
            if (--top == walk->bottom)
                goto whole;
    }
whole:
    walk->claimable = claimable;
    walk->top = top;
    return at;
}

#endif
