/* Bytes as they arrive → whole MessagePack objects.
 *
 * msgpack-c reserves memory for as many elements as a header announces, before one of them is there: nine
 * bytes can ask for 100 GB. So the extent of an object is found first, by its headers alone and within a
 * limit, and msgpack-c sees only what is whole. Owns the bytes. */
#ifndef HUSK_COMMANDS_OBJECT_STREAM_H
#define HUSK_COMMANDS_OBJECT_STREAM_H

#include "base/fault.h"

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct object_stream {
    uint64_t limit; /* of one object, in bytes */
    msgpack_sbuffer bytes;
    size_t start;          /* of the current object */
    uint64_t scanned;      /* as far as its headers say; may lie behind the bytes that are there */
    uint64_t due;          /* objects that must still follow until it is whole */
    msgpack_unpacked last; /* handed out */
};

enum object_stream_state { OBJECT_WHOLE, OBJECT_INCOMPLETE, OBJECT_BROKEN };

void object_stream_init(struct object_stream *stream, uint64_t limit);
void object_stream_deinit(struct object_stream *stream);

/* Copies the bytes. The only fault is want of memory. */
MUST_CHECK bool object_stream_append(struct object_stream *stream, const char *bytes, size_t length,
                                     struct fault *fault);

/* OBJECT_WHOLE: *object is the next one, valid until any other call. OBJECT_BROKEN: the fault says why, and
 * there is no way on. */
MUST_CHECK enum object_stream_state object_stream_next(struct object_stream *stream, msgpack_object *object,
                                                       struct fault *fault);

/* True when an object has begun and is not whole. */
bool object_stream_is_inside(const struct object_stream *stream);

#endif
