#include "base/buffer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static struct segment *segment_take(struct buffer_pool *pool)
{
    struct segment *segment = pool->idle;

    if (segment) {
        pool->idle = segment->next;
        pool->idle_count--;
        if (pool->idle_count < pool->idle_low)
            pool->idle_low = pool->idle_count;
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

static void idle_free(struct buffer_pool *pool, unsigned count)
{
    for (; count; count--) {
        struct segment *segment = pool->idle;
        pool->idle = segment->next;
        pool->idle_count--;
        munmap(segment, SEGMENT_BYTES);
    }
}

void buffer_pool_trim(struct buffer_pool *pool)
{
    if (pool->idle_low > pool->idle_limit)
        idle_free(pool, pool->idle_low - pool->idle_limit);
    pool->idle_low = pool->idle_count;
}

void buffer_pool_deinit(struct buffer_pool *pool)
{
    if (pool->scrap)
        segment_unreference(pool, pool->scrap);
    pool->scrap = NULL;
    assert(pool->live_count == 0);
    idle_free(pool, pool->idle_count);
    while (pool->idle_slices) {
        struct slice *slice = pool->idle_slices;
        pool->idle_slices = slice->next;
        free(slice);
    }
    pool->idle_slice_count = 0;
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

/* An empty slice on a new segment. */
static struct slice *slice_take_fresh(struct buffer_pool *pool)
{
    struct slice *slice = slice_take(pool);
    struct segment *segment = slice ? segment_take(pool) : NULL;

    if (!segment) {
        if (slice)
            slice_give_back(pool, slice);
        return NULL;
    }
    segment->references = 1;
    *slice = (struct slice) { .segment = segment };
    return slice;
}

static void slice_drop(struct buffer_pool *pool, struct slice *slice)
{
    segment_unreference(pool, slice->segment);
    slice_give_back(pool, slice);
}

/* Free bytes after the last slice. It can grow only while no other slice has the bytes after it. */
static size_t last_room(const struct buffer *buffer)
{
    const struct slice *last = buffer->last;

    if (!last || last->end != last->segment->filled || last->segment == buffer->pool->scrap)
        return 0;
    return SEGMENT_CAPACITY - last->end;
}

unsigned buffer_reserve_vectors(struct buffer *buffer, size_t bytes, struct iovec *vectors, unsigned max)
{
    struct slice **end = &buffer->pool->reserved;
    size_t room = last_room(buffer);
    unsigned count = 0;

    assert(!*end);
    if (room) {
        struct slice *last = buffer->last;
        vectors[count++] = (struct iovec) { last->segment->bytes + last->end, room };
    }
    for (; room < bytes && count < max; room += SEGMENT_CAPACITY) {
        struct slice *slice = slice_take_fresh(buffer->pool);
        if (!slice)
            break;
        *end = slice;
        slice->next = NULL;
        end = &slice->next;
        vectors[count++] = (struct iovec) { slice->segment->bytes, SEGMENT_CAPACITY };
    }
    return count;
}

uint8_t *buffer_reserve(struct buffer *buffer, size_t *room)
{
    struct iovec vector;

    if (!buffer_reserve_vectors(buffer, 1, &vector, 1))
        return NULL;
    *room = vector.iov_len;
    return vector.iov_base;
}

static void last_grow(struct buffer *buffer, size_t bytes)
{
    buffer->last->end += (uint32_t)bytes;
    buffer->last->segment->filled = buffer->last->end;
    buffer->length += bytes;
}

void buffer_commit(struct buffer *buffer, size_t bytes)
{
    struct slice *slice = buffer->pool->reserved, *next;
    size_t room = last_room(buffer), part = bytes < room ? bytes : room;

    buffer->pool->reserved = NULL;
    if (part)
        last_grow(buffer, part);
    for (bytes -= part; slice; slice = next, bytes -= part) {
        next = slice->next;
        part = bytes < SEGMENT_CAPACITY ? bytes : SEGMENT_CAPACITY;
        if (!part) {
            slice_drop(buffer->pool, slice);
            continue;
        }
        slice_link(buffer, slice);
        last_grow(buffer, part);
    }
    assert(!bytes);
}

static void slice_drop_first(struct buffer *buffer)
{
    struct slice *slice = buffer->first;

    buffer->first = slice->next;
    if (!buffer->first)
        buffer->last = NULL;
    slice_drop(buffer->pool, slice);
}

/* Appends bytes start … end-1 of a segment to the queue. Extends the last slice when they follow it directly.
 */
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

/* Appends a few bytes in the segment that small appends share. */
static bool scrap_append(struct buffer *buffer, const void *from, size_t bytes)
{
    struct buffer_pool *pool = buffer->pool;

    if (pool->scrap && pool->scrap->references == 1)
        pool->scrap->filled = 0; /* no slice uses it any more */
    if (!pool->scrap || SEGMENT_CAPACITY - pool->scrap->filled < bytes) {
        struct segment *fresh = segment_take(pool);
        if (!fresh)
            return false;
        if (pool->scrap)
            segment_unreference(pool, pool->scrap);
        fresh->references = 1;
        pool->scrap = fresh;
    }
    uint32_t start = pool->scrap->filled;
    memcpy(pool->scrap->bytes + start, from, bytes);
    pool->scrap->filled += (uint32_t)bytes;
    return range_share(buffer, pool->scrap, start, pool->scrap->filled);
}

bool buffer_append(struct buffer *buffer, const void *from, size_t bytes)
{
    const uint8_t *at = from;

    if (bytes <= BUFFER_SHORT_APPEND && bytes > last_room(buffer))
        return !bytes || scrap_append(buffer, from, bytes);
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

bool buffer_share(struct buffer *to, const struct buffer *from)
{
    for (const struct slice *slice = from->first; slice; slice = slice->next) {
        if (!range_share(to, slice->segment, slice->start, slice->end))
            return false;
    }
    return true;
}

bool buffer_move(struct buffer *to, struct buffer *from, size_t bytes)
{
    assert(bytes <= from->length);
    while (bytes) {
        struct slice *first = from->first;
        uint32_t available = first->end - first->start;
        uint32_t part = bytes < available ? (uint32_t)bytes : available;
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
        size_t available = slice->end - slice->start;
        if (skip >= available) {
            skip -= available;
            continue;
        }
        size_t part = available - skip < size ? available - skip : size;
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

const uint8_t *buffer_front(const struct buffer *buffer, void *scratch, size_t *size)
{
    size_t contiguous = 0;
    const uint8_t *view = buffer->length ? buffer_view(buffer, 0, &contiguous) : scratch;

    if (*size > buffer->length)
        *size = buffer->length;
    if (contiguous >= *size)
        return view;
    buffer_peek(buffer, 0, scratch, *size);
    return scratch;
}

void buffer_patch(struct buffer *buffer, size_t offset, const void *from, size_t length)
{
    const uint8_t *at = from;

    while (length) {
        size_t room;
        uint8_t *to = (uint8_t *)(uintptr_t)buffer_view(buffer, offset, &room);
        size_t part = length < room ? length : room;
        memcpy(to, at, part);
        at += part;
        offset += part;
        length -= part;
    }
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
        uint32_t available = slice->end - slice->start;
        if (bytes < available) {
            slice->start += (uint32_t)bytes;
            return;
        }
        bytes -= available;
        slice_drop_first(buffer);
    }
}
