#include "base/buffer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { SHARE_BYTES_MIN = 2048 }; /* below it copying is cheaper than one more record and a pinned segment */

static struct segment *segment_take(struct buffer_pool *pool)
{
    struct segment *segment = pool->idle;

    if (segment) {
        pool->idle = segment->next;
        pool->idle_count--;
    } else {
        segment = mmap(NULL, SEGMENT_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (segment == MAP_FAILED)
            return NULL;
    }
    segment->references = 0;
    segment->filled = 0;
    pool->live_count++;
    return segment;
}

static void segment_unreference(struct buffer_pool *pool, struct segment *segment)
{
    if (--segment->references)
        return;
    pool->live_count--;
    if (pool->idle_count >= pool->idle_limit) {
        munmap(segment, SEGMENT_BYTES);
        return;
    }
    segment->next = pool->idle;
    pool->idle = segment;
    pool->idle_count++;
}

static struct slice *slice_take(struct buffer_pool *pool)
{
    struct slice *slice = pool->idle_slices;

    if (!slice)
        return malloc(sizeof *slice);
    pool->idle_slices = slice->next;
    pool->idle_slice_count--;
    return slice;
}

void buffer_pool_deinit(struct buffer_pool *pool)
{
    assert(pool->live_count == 0);
    while (pool->idle) {
        struct segment *segment = pool->idle;
        pool->idle = segment->next;
        munmap(segment, SEGMENT_BYTES);
    }
    while (pool->idle_slices) {
        struct slice *slice = pool->idle_slices;
        pool->idle_slices = slice->next;
        free(slice);
    }
    pool->idle_count = pool->idle_slice_count = 0;
}

void buffer_init(struct buffer *buffer, struct buffer_pool *pool)
{
    *buffer = (struct buffer) { .pool = pool };
}

void buffer_clear(struct buffer *buffer)
{
    buffer_consume(buffer, buffer->length);
}

static void slice_give_back(struct buffer_pool *pool, struct slice *slice)
{
    if (pool->idle_slice_count == BUFFER_IDLE_SLICES) {
        free(slice);
        return;
    }
    slice->next = pool->idle_slices;
    pool->idle_slices = slice;
    pool->idle_slice_count++;
}

static void slice_link(struct buffer *buffer, struct slice *slice)
{
    slice->next = NULL;
    if (buffer->last)
        buffer->last->next = slice;
    else
        buffer->first = slice;
    buffer->last = slice;
    buffer->length += slice->end - slice->start;
}

static bool segment_append(struct buffer *buffer)
{
    struct slice *slice = slice_take(buffer->pool);
    struct segment *segment = slice ? segment_take(buffer->pool) : NULL;

    if (!segment) {
        if (slice)
            slice_give_back(buffer->pool, slice);
        return false;
    }
    segment->references = 1;
    *slice = (struct slice) { .segment = segment };
    slice_link(buffer, slice);
    return true;
}

uint8_t *buffer_reserve(struct buffer *buffer, size_t *room)
{
    const struct slice *last = buffer->last;

    /* The last slice grows only while nobody else has claimed the bytes behind it. */
    if (!last || last->end != last->segment->filled || last->end == SEGMENT_CAPACITY) {
        if (!segment_append(buffer))
            return NULL;
        last = buffer->last;
    }
    *room = SEGMENT_CAPACITY - last->end;
    return last->segment->bytes + last->end;
}

static void slice_drop_first(struct buffer *buffer)
{
    struct slice *slice = buffer->first;

    buffer->first = slice->next;
    if (!buffer->first)
        buffer->last = NULL;
    segment_unreference(buffer->pool, slice->segment);
    slice_give_back(buffer->pool, slice);
}

void buffer_commit(struct buffer *buffer, size_t bytes)
{
    struct slice *last = buffer->last;

    assert(last && bytes <= SEGMENT_CAPACITY - last->end);
    last->end += (uint32_t)bytes;
    last->segment->filled = last->end;
    buffer->length += bytes;
    if (buffer->length == 0)
        slice_drop_first(buffer);
}

bool buffer_append(struct buffer *buffer, const void *from, size_t bytes)
{
    const uint8_t *at = from;

    while (bytes) {
        size_t room;
        uint8_t *to = buffer_reserve(buffer, &room);
        if (!to)
            return false;
        size_t part = bytes < room ? bytes : room;
        memcpy(to, at, part);
        buffer_commit(buffer, part);
        at += part;
        bytes -= part;
    }
    return true;
}

/* Makes bytes start … end-1 of a segment the end of the queue; grows the last slice when they follow it. */
static bool range_share(struct buffer *to, struct segment *segment, uint32_t start, uint32_t end)
{
    struct slice *last = to->last;

    if (last && last->segment == segment && last->end == start) {
        last->end = end;
        to->length += end - start;
        return true;
    }
    struct slice *slice = slice_take(to->pool);
    if (!slice)
        return false;
    *slice = (struct slice) { .segment = segment, .start = start, .end = end };
    segment->references++;
    slice_link(to, slice);
    return true;
}

bool buffer_share(struct buffer *to, const struct buffer *from)
{
    for (const struct slice *slice = from->first; slice; slice = slice->next) {
        uint32_t length = slice->end - slice->start;
        bool done = length < SHARE_BYTES_MIN ? buffer_append(to, slice->segment->bytes + slice->start, length)
                                             : range_share(to, slice->segment, slice->start, slice->end);
        if (!done)
            return false;
    }
    return true;
}

bool buffer_move(struct buffer *to, struct buffer *from, size_t bytes)
{
    assert(bytes <= from->length);
    while (bytes) {
        struct slice *first = from->first;
        uint32_t held = first->end - first->start;
        uint32_t part = bytes < held ? (uint32_t)bytes : held;
        if (!range_share(to, first->segment, first->start, first->start + part))
            return false;
        buffer_consume(from, part);
        bytes -= part;
    }
    return true;
}

size_t buffer_peek(const struct buffer *buffer, size_t skip, void *to, size_t size)
{
    uint8_t *at = to;

    for (const struct slice *slice = buffer->first; slice && size; slice = slice->next) {
        size_t held = slice->end - slice->start;
        if (skip >= held) {
            skip -= held;
            continue;
        }
        size_t part = held - skip < size ? held - skip : size;
        memcpy(at, slice->segment->bytes + slice->start + skip, part);
        at += part;
        size -= part;
        skip = 0;
    }
    return (size_t)(at - (uint8_t *)to);
}

const uint8_t *buffer_view(const struct buffer *buffer, size_t offset, size_t *length)
{
    const struct slice *slice = buffer->first;

    assert(offset < buffer->length);
    while (offset >= slice->end - slice->start) {
        offset -= slice->end - slice->start;
        slice = slice->next;
    }
    *length = slice->end - slice->start - offset;
    return slice->segment->bytes + slice->start + offset;
}

unsigned buffer_vectors(const struct buffer *buffer, struct iovec *vectors, unsigned max)
{
    unsigned count = 0;

    for (struct slice *slice = buffer->first; slice && count < max; slice = slice->next) {
        if (slice->end > slice->start)
            vectors[count++] =
                (struct iovec) { slice->segment->bytes + slice->start, slice->end - slice->start };
    }
    return count;
}

void buffer_consume(struct buffer *buffer, size_t bytes)
{
    assert(bytes <= buffer->length);
    buffer->length -= bytes;
    while (buffer->first) {
        struct slice *slice = buffer->first;
        uint32_t held = slice->end - slice->start;
        if (bytes < held) {
            slice->start += (uint32_t)bytes;
            return;
        }
        bytes -= held;
        slice_drop_first(buffer);
    }
}
