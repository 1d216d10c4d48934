/* Splits a byte stream into complete MessagePack objects.
 *
 * msgpack-c allocates memory for as many elements as a header announces, before the elements arrive: nine
 * bytes can request 100 GB. So the extent of an object is found first, from its headers and within a limit;
 * msgpack-c reads only complete objects. Owns the bytes. */
#ifndef HUSK_COMMANDS_OBJECT_STREAM_H
#define HUSK_COMMANDS_OBJECT_STREAM_H

#include "base/fault.h"

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct object_stream {
    uint64_t limit; /* for one object, in bytes */
    msgpack_sbuffer bytes;
    size_t start;     /* of the current object */
    uint64_t scanned; /* end of the parsed headers and of the values they announce; may be beyond the bytes
                         received */
    uint64_t missing; /* objects still missing from the current one */
    msgpack_unpacked last; /* returned by object_stream_next */
};

enum object_stream_state { OBJECT_WHOLE, OBJECT_INCOMPLETE, OBJECT_BROKEN };

void object_stream_init(struct object_stream *stream, uint64_t limit);
void object_stream_deinit(struct object_stream *stream);

/* Copies the bytes. The only possible fault is lack of memory. */
MUST_CHECK bool object_stream_append(struct object_stream *stream, const char *bytes, size_t length,
                                     struct fault *fault);

/* OBJECT_WHOLE: *object is the next object, valid until any other call. OBJECT_BROKEN: the fault says why;
 * the stream cannot be used further. */
MUST_CHECK enum object_stream_state object_stream_next(struct object_stream *stream, msgpack_object *object,
                                                       struct fault *fault);

/* True when an object has begun and is incomplete. */
bool object_stream_is_inside(const struct object_stream *stream);

#endif
