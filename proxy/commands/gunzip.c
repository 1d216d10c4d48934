#include "commands/gunzip.h"

#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

enum { FIRST_CAPACITY_BYTES = 4096, GZIP_ONLY = 16 };

/* Makes space for at least one more byte of output, up to `limit` bytes in all. */
static bool capacity_grow(z_stream *stream, struct gunzip_text *plain, size_t *capacity, size_t limit,
                          struct fault *fault)
{
    if (plain->length < *capacity)
        return true;
    if (*capacity >= limit) {
        fault_set(fault, "inflates to more than %zu bytes", limit);
        return false;
    }
    size_t wanted = *capacity ? *capacity * 2 : FIRST_CAPACITY_BYTES;
    if (wanted > limit)
        wanted = limit;
    char *bytes = realloc(plain->bytes, wanted);
    if (!bytes) {
        fault_set(fault, "out of memory");
        return false;
    }
    plain->bytes = bytes;
    *capacity = wanted;
    stream->next_out = (Bytef *)bytes + plain->length;
    stream->avail_out = (uInt)(wanted - plain->length);
    return true;
}

static bool members_inflate(z_stream *stream, size_t limit, struct gunzip_text *plain, struct fault *fault)
{
    size_t capacity = 0;
    int status = Z_STREAM_END;

    while (stream->avail_in > 0 || status != Z_STREAM_END) {
        if (!capacity_grow(stream, plain, &capacity, limit, fault))
            return false;
        if (status == Z_STREAM_END && inflateReset(stream) != Z_OK) {
            fault_set(fault, "zlib failed to begin");
            return false;
        }
        status = inflate(stream, Z_NO_FLUSH);
        plain->length = capacity - stream->avail_out;
        if (status == Z_BUF_ERROR || (status == Z_OK && stream->avail_in == 0 && stream->avail_out > 0)) {
            fault_set(fault, "gzip data ends too early");
            return false;
        }
        if (status != Z_OK && status != Z_STREAM_END) {
            fault_set(fault, "not valid gzip: %s", stream->msg ? stream->msg : "corrupt");
            return false;
        }
    }
    return true;
}

bool gunzip(const char *bytes, size_t length, size_t limit, struct gunzip_text *plain, struct fault *fault)
{
    z_stream stream = { 0 };

    *plain = (struct gunzip_text) { 0 };
    if (length > UINT_MAX || limit > UINT_MAX) { /* zlib counts in unsigned int */
        fault_set(fault, "more than 4 GiB");
        return false;
    }
    if (inflateInit2(&stream, MAX_WBITS + GZIP_ONLY) != Z_OK) {
        fault_set(fault, "zlib failed to begin");
        return false;
    }
    stream.next_in = (z_const Bytef *)bytes;
    stream.avail_in = (uInt)length;
    bool done = members_inflate(&stream, limit, plain, fault);
    inflateEnd(&stream);
    if (!done) {
        free(plain->bytes);
        *plain = (struct gunzip_text) { 0 };
    }
    return done;
}
