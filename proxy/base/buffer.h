/* A queue of bytes, stored as slices of reference-counted segments. Sharing or moving bytes copies nothing.
 *
 * Segments and slices come from the pool of the worker and return to it when no slice uses them: an empty
 * buffer owns nothing. A pool and its buffers belong to one thread. */
#ifndef HUSK_BASE_BUFFER_H
#define HUSK_BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { SEGMENT_BYTES = 65536 }; /* one memory mapping, header included */

struct segment {
    struct segment *next; /* in the idle list of the pool */
    uint32_t references;
    uint32_t filled; /* bytes[0..filled) belong to slices */
    uint8_t bytes[];
};

enum { SEGMENT_CAPACITY = SEGMENT_BYTES - sizeof(struct segment) };

struct slice {
    struct slice *next;
    struct segment *segment;
    uint32_t start, end; /* within the segment */
};

enum {
    BUFFER_IDLE_SLICES = 1024,
    BUFFER_SHORT_APPEND = 1024, /* bytes; a longer append may begin a segment of its own */
};

/* Zero-initialise, then set idle_limit. */
struct buffer_pool {
    struct segment *idle;
    struct slice *idle_slices;
    struct slice *reserved;    /* new slices between buffer_reserve and buffer_commit */
    struct segment *scrap;     /* shared by small appends to different buffers; NULL: none */
    unsigned idle_slice_count; /* kept for reuse: at most BUFFER_IDLE_SLICES */
    unsigned idle_count;
    unsigned idle_low;   /* minimum of idle_count since the last trim */
    unsigned idle_limit; /* idle segments that a trim keeps */
    unsigned live_count; /* segments in use */
};

/* Returns segments to the system that were not needed since the last trim. The owner calls it periodically
 * while idle_count is above idle_limit. */
void buffer_pool_trim(struct buffer_pool *pool);

/* Frees all idle memory. Every buffer of the pool must be empty. */
void buffer_pool_deinit(struct buffer_pool *pool);

struct buffer {
    struct buffer_pool *pool; /* borrowed */
    struct slice *first, *last;
    size_t length; /* bytes in the queue */
};

/* Makes an empty buffer on `pool`. */
void buffer_init(struct buffer *buffer, struct buffer_pool *pool);
/* Drops all bytes; the buffer stays usable. */
void buffer_clear(struct buffer *buffer);

/* Reserves space at the end of the queue. *room is the number of writable bytes, at least 1. NULL when out of
 * memory. The bytes enter the queue with buffer_commit, which must follow; buffer_commit(buffer, 0) cancels.
 */
uint8_t *buffer_reserve(struct buffer *buffer, size_t *room);
/* The same for `bytes` bytes in at most `max` pieces; fewer bytes when the pieces do not hold as many, or
 * when out of memory. Returns the number of pieces. */
unsigned buffer_reserve_vectors(struct buffer *buffer, size_t bytes, struct iovec *vectors, unsigned max);
/* Adds the first `bytes` of the reservation to the queue. */
void buffer_commit(struct buffer *buffer, size_t bytes);

/* Copies `bytes` to the end. False when out of memory; a part may be in the queue then. */
bool buffer_append(struct buffer *buffer, const void *from, size_t bytes);

/* The first bytes of the queue as at most `max` vectors. Returns the number of vectors. */
unsigned buffer_vectors(const struct buffer *buffer, struct iovec *vectors, unsigned max);

/* Overwrites `length` bytes at `offset`, which are in the queue. No other buffer may share them. */
void buffer_patch(struct buffer *buffer, size_t offset, const void *from, size_t length);

/* Appends the bytes of `from` to `to` without a copy: both share them. Both use the same pool. False when out
 * of memory; a part may be in `to` then. */
bool buffer_share(struct buffer *to, const struct buffer *from);

/* Moves the first `bytes` of `from` (at most its length) to the end of `to`. Both use the same pool. False
 * when out of memory; a part may have moved then. */
bool buffer_move(struct buffer *to, struct buffer *from, size_t bytes);

/* The contiguous bytes at `offset`, which is less than the length of the queue. *length is at least 1. */
const uint8_t *buffer_view(const struct buffer *buffer, size_t offset, size_t *length);

/* The first *size bytes of the queue, or all if it has fewer: sets *size to their number. Borrowed from the
 * queue if they are contiguous, otherwise copied to `scratch`, which holds *size bytes. */
const uint8_t *buffer_front(const struct buffer *buffer, void *scratch, size_t *size);

/* Copies up to `size` bytes at the offset `skip`, without removing them. Returns the number of bytes. */
size_t buffer_peek(const struct buffer *buffer, size_t skip, void *to, size_t size);

/* Removes `bytes`, at most `length`, from the front. */
void buffer_consume(struct buffer *buffer, size_t bytes);

#endif
