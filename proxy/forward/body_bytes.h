/* Reads and writes the parts of a message whose body is rewritten. Pure. */
#ifndef HUSK_FORWARD_BODY_BYTES_H
#define HUSK_FORWARD_BODY_BYTES_H

#include "base/buffer.h"
#include "forward/msgpack_bytes.h"
#include "forward/scanner.h"

/* The contiguous bytes of the message that begins `start` bytes into `source`: from its offset range.start,
 * at most to range.end. *length is at least 1; the range is not empty. */
const uint8_t *body_bytes_view(const struct buffer *source, size_t start, struct span range, size_t *length);

/* Copies the bytes of a range of the message to the end of `to`. False when out of memory. */
bool body_bytes_copy(struct buffer *to, const struct buffer *source, size_t start, struct span range);

/* Appends the header of a str, bin, array or map of at least `width_min` bytes. False when out of memory, or
 * when no header can say the count. */
bool body_bytes_put_header(struct buffer *to, enum msgpack_kind kind, uint64_t count, uint64_t width_min);

#endif
