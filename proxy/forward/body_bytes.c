#include "forward/body_bytes.h"

const uint8_t *body_bytes_view(const struct buffer *source, size_t start, struct span range, size_t *length)
{
    const uint8_t *bytes = buffer_view(source, start + (size_t)range.start, length);

    if (*length > range.end - range.start)
        *length = (size_t)(range.end - range.start);
    return bytes;
}

bool body_bytes_copy(struct buffer *to, const struct buffer *source, size_t start, struct span range)
{
    size_t length;

    for (; range.start < range.end; range.start += length) {
        const uint8_t *bytes = body_bytes_view(source, start, range, &length);
        if (!buffer_append(to, bytes, length))
            return false;
    }
    return true;
}

bool body_bytes_put_header(struct buffer *to, enum msgpack_kind kind, uint64_t count, uint64_t width_min)
{
    uint8_t header[MSGPACK_HEADER_BYTES_MAX];

    if (count > UINT32_MAX)
        return false;
    return buffer_append(to, header,
                         msgpack_bytes_put_header(header, kind, (uint32_t)count, (size_t)width_min));
}
