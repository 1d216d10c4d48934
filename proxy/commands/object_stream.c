#include "commands/object_stream.h"

#include <string.h>

/* What follows a first byte from 0xc0 to 0xdf: a big-endian count of `length_bytes` bytes, `fixed_bytes`
 * bytes, and for each unit of the count `bytes_each` bytes or `objects_each` objects. */
static const struct header {
    uint8_t length_bytes, fixed_bytes, bytes_each, objects_each;
} headers[32] = {
    /* nil, never used, false, true */
    [0x00] = { 0 },
    /* bin 8, 16, 32 */
    [0x04] = { 1, 0, 1, 0 },
    [0x05] = { 2, 0, 1, 0 },
    [0x06] = { 4, 0, 1, 0 },
    /* ext 8, 16, 32, and a type byte */
    [0x07] = { 1, 1, 1, 0 },
    [0x08] = { 2, 1, 1, 0 },
    [0x09] = { 4, 1, 1, 0 },
    /* float 32, 64; uint 8 to 64; int 8 to 64 */
    [0x0a] = { 0, 4, 0, 0 },
    [0x0b] = { 0, 8, 0, 0 },
    [0x0c] = { 0, 1, 0, 0 },
    [0x0d] = { 0, 2, 0, 0 },
    [0x0e] = { 0, 4, 0, 0 },
    [0x0f] = { 0, 8, 0, 0 },
    [0x10] = { 0, 1, 0, 0 },
    [0x11] = { 0, 2, 0, 0 },
    [0x12] = { 0, 4, 0, 0 },
    [0x13] = { 0, 8, 0, 0 },
    /* fixext 1 to 16, with the type byte */
    [0x14] = { 0, 2, 0, 0 },
    [0x15] = { 0, 3, 0, 0 },
    [0x16] = { 0, 5, 0, 0 },
    [0x17] = { 0, 9, 0, 0 },
    [0x18] = { 0, 17, 0, 0 },
    /* str 8, 16, 32 */
    [0x19] = { 1, 0, 1, 0 },
    [0x1a] = { 2, 0, 1, 0 },
    [0x1b] = { 4, 0, 1, 0 },
    /* array 16, 32; map 16, 32 */
    [0x1c] = { 2, 0, 0, 1 },
    [0x1d] = { 4, 0, 0, 1 },
    [0x1e] = { 2, 0, 0, 2 },
    [0x1f] = { 4, 0, 0, 2 },
};

/* The contents that one header announces. */
struct step {
    uint64_t bytes;   /* of this object, without the objects in it */
    uint64_t objects; /* in it */
};

/* False when the header is incomplete. `available` > 0. */
static bool step_read(const uint8_t *at, size_t available, struct step *step)
{
    uint8_t first = at[0];
    uint64_t count = 0;

    *step = (struct step) { .bytes = 1 };
    if (first >= 0x80 && first < 0xc0) { /* fixmap, fixarray, fixstr */
        if (first >= 0xa0)
            step->bytes += first & 0x1f;
        else
            step->objects = first >= 0x90 ? first & 0x0f : 2 * (first & 0x0f);
        return true;
    }
    if (first < 0xc0 || first >= 0xe0) /* small integers */
        return true;
    const struct header *header = &headers[first - 0xc0];
    if (available <= header->length_bytes)
        return false;
    for (size_t i = 1; i <= header->length_bytes; i++)
        count = count << 8 | at[i];
    step->bytes += header->length_bytes + header->fixed_bytes + count * header->bytes_each;
    step->objects = count * header->objects_each;
    return true;
}

void object_stream_init(struct object_stream *stream, uint64_t limit)
{
    *stream = (struct object_stream) { .limit = limit, .missing = 1 };
    msgpack_sbuffer_init(&stream->bytes);
    msgpack_unpacked_init(&stream->last);
}

void object_stream_deinit(struct object_stream *stream)
{
    msgpack_sbuffer_destroy(&stream->bytes);
    msgpack_unpacked_destroy(&stream->last);
}

bool object_stream_append(struct object_stream *stream, const char *bytes, size_t length, struct fault *fault)
{
    if (stream->start > 0) {
        stream->bytes.size -= stream->start;
        memmove(stream->bytes.data, stream->bytes.data + stream->start, stream->bytes.size);
        stream->scanned -= stream->start;
        stream->start = 0;
    }
    if (length == 0 || msgpack_sbuffer_write(&stream->bytes, bytes, length) == 0)
        return true;
    fault_set(fault, "out of memory");
    return false;
}

/* Parses all complete headers. Every missing object has at least one byte, so the limit also applies to
 * announced objects. */
static enum object_stream_state extent_find(struct object_stream *stream, struct fault *fault)
{
    while (stream->missing > 0 && stream->scanned < stream->bytes.size) {
        const uint8_t *at = (const uint8_t *)stream->bytes.data + stream->scanned;
        struct step step;
        if (!step_read(at, stream->bytes.size - (size_t)stream->scanned, &step))
            return OBJECT_INCOMPLETE;
        stream->scanned += step.bytes;
        stream->missing += step.objects - 1;
        if (stream->scanned - stream->start + stream->missing > stream->limit) {
            fault_set(fault, "larger than the limit of %llu bytes", (unsigned long long)stream->limit);
            return OBJECT_BROKEN;
        }
    }
    return stream->missing == 0 && stream->scanned <= stream->bytes.size ? OBJECT_WHOLE : OBJECT_INCOMPLETE;
}

enum object_stream_state object_stream_next(struct object_stream *stream, msgpack_object *object,
                                            struct fault *fault)
{
    enum object_stream_state state = extent_find(stream, fault);
    size_t at = stream->start;

    if (state != OBJECT_WHOLE)
        return state;
    msgpack_unpack_return outcome =
        msgpack_unpack_next(&stream->last, stream->bytes.data, (size_t)stream->scanned, &at);
    if (outcome != MSGPACK_UNPACK_SUCCESS) {
        fault_set(fault, outcome == MSGPACK_UNPACK_NOMEM_ERROR ? "nested too deep" : "not MessagePack");
        return OBJECT_BROKEN;
    }
    *object = stream->last.data;
    stream->start = (size_t)stream->scanned;
    stream->missing = 1;
    return OBJECT_WHOLE;
}

bool object_stream_is_inside(const struct object_stream *stream)
{
    return stream->bytes.size > stream->start;
}
