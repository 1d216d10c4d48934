#include "forward/compression.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

enum {
    GZIP_WINDOW = MAX_WBITS + 16, /* 16: gzip and nothing else */
    GZIP_MEMORY_LEVEL = 8,        /* zlib's default: 256 KiB per context */
    /* Compression blocks the worker. On log lines gzip level 4 takes 2/3 of the time of level 6 and gives
     * 1/15 more bytes; zstd at its default level takes 1/4 of the time of gzip level 6 and gives fewer bytes.
     */
    GZIP_LEVEL = 4,
    ZSTD_LEVEL = 3,
};

const char *compression_name(enum compression method)
{
    static const char *const names[] = {
        [COMPRESSION_OFF] = "text",
        [COMPRESSION_GZIP] = "gzip",
        [COMPRESSION_ZSTD] = "zstd",
    };

    return names[method];
}

/* ---- compressing ---- */

static bool compressor_begin_gzip(struct compressor *compressor)
{
    if (compressor->gzip)
        return deflateReset(compressor->gzip) == Z_OK;
    z_stream *stream = calloc(1, sizeof *stream);
    if (!stream || deflateInit2(stream, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY_LEVEL,
                                Z_DEFAULT_STRATEGY) != Z_OK) {
        free(stream);
        return false;
    }
    compressor->gzip = stream;
    return true;
}

static bool compressor_begin_zstd(struct compressor *compressor, uint64_t plain_bytes)
{
    if (!compressor->zstd)
        compressor->zstd = ZSTD_createCCtx();
    return compressor->zstd &&
           !ZSTD_isError(ZSTD_CCtx_reset(compressor->zstd, ZSTD_reset_session_and_parameters)) &&
           !ZSTD_isError(ZSTD_CCtx_setParameter(compressor->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL)) &&
           !ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(compressor->zstd, plain_bytes));
}

bool compressor_begin(struct compressor *compressor, enum compression method, uint64_t plain_bytes)
{
    assert(method != COMPRESSION_OFF);
    compressor->method = method;
    return method == COMPRESSION_GZIP ? compressor_begin_gzip(compressor)
                                      : compressor_begin_zstd(compressor, plain_bytes);
}

/* Runs until all input is read, or with Z_FINISH until all output is written. */
static bool gzip_run(z_stream *stream, struct buffer *to, int flush)
{
    int status;

    do {
        size_t room;
        uint8_t *area = buffer_reserve(to, &room);
        if (!area)
            return false;
        stream->next_out = area;
        stream->avail_out = (uInt)room;
        status = deflate(stream, flush);
        buffer_commit(to, room - stream->avail_out);
        if (status != Z_OK && status != Z_STREAM_END)
            return false;
    } while (flush == Z_FINISH ? status != Z_STREAM_END : stream->avail_in > 0);
    return true;
}

static bool zstd_run(ZSTD_CCtx *context, ZSTD_inBuffer *from, struct buffer *to, ZSTD_EndDirective end)
{
    size_t left;

    do {
        size_t room;
        uint8_t *area = buffer_reserve(to, &room);
        if (!area)
            return false;
        ZSTD_outBuffer out = { area, room, 0 };
        left = ZSTD_compressStream2(context, &out, from, end);
        buffer_commit(to, out.pos);
        if (ZSTD_isError(left))
            return false;
    } while (end == ZSTD_e_end ? left > 0 : from->pos < from->size);
    return true;
}

bool compressor_put(struct compressor *compressor, const uint8_t *bytes, size_t length, struct buffer *to)
{
    ZSTD_inBuffer from = { bytes, length, 0 };

    assert(length && length <= UINT_MAX);
    if (compressor->method == COMPRESSION_ZSTD)
        return zstd_run(compressor->zstd, &from, to, ZSTD_e_continue);
    compressor->gzip->next_in = (z_const Bytef *)bytes;
    compressor->gzip->avail_in = (uInt)length;
    return gzip_run(compressor->gzip, to, Z_NO_FLUSH);
}

bool compressor_end(struct compressor *compressor, struct buffer *to)
{
    ZSTD_inBuffer nothing = { NULL, 0, 0 };

    if (compressor->method == COMPRESSION_ZSTD)
        return zstd_run(compressor->zstd, &nothing, to, ZSTD_e_end);
    return gzip_run(compressor->gzip, to, Z_FINISH);
}

void compressor_deinit(struct compressor *compressor)
{
    if (compressor->gzip)
        (void)deflateEnd(compressor->gzip);
    free(compressor->gzip);
    ZSTD_freeCCtx(compressor->zstd);
    *compressor = (struct compressor) { 0 };
}

/* ---- inflating ---- */

static bool inflater_begin_gzip(struct inflater *inflater)
{
    if (inflater->gzip)
        return true; /* gzip_step resets it where a member begins */
    z_stream *stream = calloc(1, sizeof *stream);
    if (!stream || inflateInit2(stream, GZIP_WINDOW) != Z_OK) {
        free(stream);
        return false;
    }
    inflater->gzip = stream;
    return true;
}

static bool inflater_begin_zstd(struct inflater *inflater)
{
    if (!inflater->zstd)
        inflater->zstd = ZSTD_createDCtx();
    return inflater->zstd &&
           !ZSTD_isError(ZSTD_DCtx_reset(inflater->zstd, ZSTD_reset_session_and_parameters)) &&
           !ZSTD_isError(
               ZSTD_DCtx_setParameter(inflater->zstd, ZSTD_d_windowLogMax, INFLATER_WINDOW_LOG_MAX));
}

bool inflater_begin(struct inflater *inflater, enum compression method)
{
    assert(method != COMPRESSION_OFF);
    inflater->method = method;
    inflater->from = NULL;
    inflater->left = 0;
    inflater->is_between = true;
    if (!inflater->piece)
        inflater->piece = malloc(INFLATER_PIECE_BYTES);
    return inflater->piece &&
           (method == COMPRESSION_GZIP ? inflater_begin_gzip(inflater) : inflater_begin_zstd(inflater));
}

/* One call of the library; false when the bytes are broken. */
static bool gzip_step(struct inflater *inflater, size_t *length)
{
    z_stream *stream = inflater->gzip;

    if (inflater->is_between && inflateReset(stream) != Z_OK)
        return false;
    stream->next_in = (z_const Bytef *)inflater->from;
    stream->avail_in = (uInt)inflater->left;
    stream->next_out = inflater->piece;
    stream->avail_out = INFLATER_PIECE_BYTES;
    int status = inflate(stream, Z_NO_FLUSH);
    bool is_stuck = status == Z_BUF_ERROR && inflater->left == 0; /* only input is missing */
    inflater->from = stream->next_in;
    inflater->left = stream->avail_in;
    inflater->is_between = status == Z_STREAM_END;
    *length = INFLATER_PIECE_BYTES - stream->avail_out;
    return status == Z_OK || status == Z_STREAM_END || is_stuck;
}

static bool zstd_step(struct inflater *inflater, size_t *length)
{
    ZSTD_inBuffer from = { inflater->from, inflater->left, 0 };
    ZSTD_outBuffer out = { inflater->piece, INFLATER_PIECE_BYTES, 0 };
    size_t wanted = ZSTD_decompressStream(inflater->zstd, &out, &from);

    if (ZSTD_isError(wanted))
        return false;
    inflater->from += from.pos;
    inflater->left -= from.pos;
    inflater->is_between = wanted == 0;
    *length = out.pos;
    return true;
}

int inflater_feed(struct inflater *inflater, const uint8_t *bytes, size_t length, inflater_sink *sink,
                  void *taker)
{
    size_t plain_length = 0;
    bool had_any;
    int status = 0;

    assert(length && length <= UINT_MAX); /* zlib counts in unsigned int */
    inflater->from = bytes;
    inflater->left = length;
    do {
        had_any = inflater->left > 0;
        if (!had_any && inflater->is_between)
            return 0;
        if (!(inflater->method == COMPRESSION_GZIP ? gzip_step(inflater, &plain_length)
                                                   : zstd_step(inflater, &plain_length)))
            return INFLATER_BROKEN;
        if (plain_length)
            status = sink(taker, inflater->piece, plain_length);
    } while (!status && (had_any || plain_length));
    return status;
}

bool inflater_is_between(const struct inflater *inflater)
{
    return inflater->is_between;
}

void inflater_deinit(struct inflater *inflater)
{
    if (inflater->gzip)
        (void)inflateEnd(inflater->gzip);
    free(inflater->gzip);
    ZSTD_freeDCtx(inflater->zstd);
    free(inflater->piece);
    *inflater = (struct inflater) { 0 };
}
