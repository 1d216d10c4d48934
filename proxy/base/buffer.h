/* A queue of bytes kept as slices of refcounted segments, so that keeping or moving bytes costs no copy.
 *
 * Segments and slices come from the worker's pool when bytes exist and go back when the last slice of them is
 * gone: an empty buffer owns nothing. Everything here belongs to one thread. */
#ifndef HUSK_BASE_BUFFER_H
#define HUSK_BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { SEGMENT_BYTES = 65536 }; /* one mapping, header included */

struct segment {
    struct segment *next; /* in the pool's idle list */
    uint32_t references;
    uint32_t filled; /* bytes[0..filled) are claimed by slices */
    uint8_t bytes[];
};

enum { SEGMENT_CAPACITY = SEGMENT_BYTES - sizeof(struct segment) };

struct slice {
    struct slice *next;
    struct segment *segment;
    uint32_t start, end; /* within the segment */
};

enum { BUFFER_IDLE_SLICES = 1024 };

/* Zero-initialise, then set idle_limit. */
struct buffer_pool {
    struct segment *idle;
    struct slice *idle_slices;
    struct slice *reserved;    /* fresh ones lent out by buffer_reserve, until buffer_commit */
    struct segment *scrap;     /* small appends to different buffers share it; NULL: none */
    unsigned idle_slice_count; /* kept for reuse: at most BUFFER_IDLE_SLICES */
    unsigned idle_count;
    unsigned idle_low;   /* the fewest there were since the last trim */
    unsigned idle_limit; /* segments that a trim leaves */
    unsigned live_count; /* segments lent out */
};

/* Gives back to the system what has not been needed since the last trim. To be called from time to time while
 * idle_count is above idle_limit. */
void buffer_pool_trim(struct buffer_pool *pool);

/* Frees what is idle; every buffer of the pool must be empty by then. */
void buffer_pool_deinit(struct buffer_pool *pool);

struct buffer {
    struct buffer_pool *pool; /* borrowed */
    struct slice *first, *last;
    size_t length; /* bytes in the queue */
};

/* An empty buffer on `pool`. */
void buffer_init(struct buffer *buffer, struct buffer_pool *pool);
/* Drops all bytes; the buffer stays usable. */
void buffer_clear(struct buffer *buffer);

/* Room to write at the queue's end: *room is at least 1. NULL when out of memory. Nothing is in the queue
 * before buffer_commit; a reservation that gets no commit needs buffer_commit(buffer, 0). */
uint8_t *buffer_reserve(struct buffer *buffer, size_t *room);
/* The same in several pieces, of `bytes` together, or less when `max` pieces do not hold so much or memory is
 * short; returns how many there are. */
unsigned buffer_reserve_vectors(struct buffer *buffer, size_t bytes, struct iovec *vectors, unsigned max);
/* Takes `bytes` of the last reservation into the queue. */
void buffer_commit(struct buffer *buffer, size_t bytes);

/* Copies `bytes` to the end; false when out of memory (part of it may be in the queue). */
bool buffer_append(struct buffer *buffer, const void *from, size_t bytes);

/* The first bytes of the queue as at most `max` vectors; returns how many were filled. */
unsigned buffer_vectors(const struct buffer *buffer, struct iovec *vectors, unsigned max);

/* Writes over `length` bytes from `offset` on, which are all in the queue. Nobody else may share them. */
void buffer_patch(struct buffer *buffer, size_t offset, const void *from, size_t length);

/* Puts the bytes of `from` at the end of `to` too: they are shared. Both are of one pool. False when out of
 * memory (part of it may be in `to`). */
bool buffer_share(struct buffer *to, const struct buffer *from);

/* Moves the first `bytes` of `from`, at most its length, to the end of `to`, of the same pool. False when out
 * of memory (part of it may have moved). */
bool buffer_move(struct buffer *to, struct buffer *from, size_t bytes);

/* The bytes at `offset`, which is less than the length, as far as they are contiguous: *length is at least 1.
 */
const uint8_t *buffer_view(const struct buffer *buffer, size_t offset, size_t *length);

/* Copies up to `size` bytes from the front, `skip` bytes into the queue; returns how many. Nothing is
 * removed. */
size_t buffer_peek(const struct buffer *buffer, size_t skip, void *to, size_t size);

/* Removes `bytes`, at most `length`, from the front. */
void buffer_consume(struct buffer *buffer, size_t bytes);

#endif
