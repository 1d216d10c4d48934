/* Compression of CompressedPackedForward bodies, piece by piece: gzip (RFC 1952, by zlib) and zstd (RFC 8878,
 * by libzstd).
 *
 * A context is made on first use and reused for every later body. It belongs to one thread. Inflating accepts
 * several members or frames in a row, as agents that append to a chunk write them. Plain bytes come in pieces
 * of bounded size; the caller limits their total. */
#ifndef HUSK_FORWARD_COMPRESSION_H
#define HUSK_FORWARD_COMPRESSION_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum compression { COMPRESSION_OFF, COMPRESSION_GZIP, COMPRESSION_ZSTD };

/* The value of the option "compressed": "gzip", "zstd"; "text" for COMPRESSION_OFF. */
const char *compression_name(enum compression method);

enum {
    INFLATER_PIECE_BYTES = 64 * 1024,
    /* A zstd frame may ask for any window size; RFC 8878, 3.1.1.1.2 recommends to support 8 MiB. */
    INFLATER_WINDOW_LOG_MAX = 23,
};

/* Zero-initialise. */
struct compressor {
    enum compression method;
    struct z_stream_s *gzip;
    struct ZSTD_CCtx_s *zstd;
};

void compressor_deinit(struct compressor *compressor);

/* Each returns false when out of memory. `method` is not COMPRESSION_OFF. `plain_bytes` is the total number
 * of bytes of the puts that follow. */
bool compressor_begin(struct compressor *compressor, enum compression method, uint64_t plain_bytes);
bool compressor_put(struct compressor *compressor, const uint8_t *bytes, size_t length, struct buffer *to);
bool compressor_end(struct compressor *compressor, struct buffer *to);

/* Zero-initialise. */
struct inflater {
    enum compression method;
    struct z_stream_s *gzip;
    struct ZSTD_DCtx_s *zstd;
    uint8_t *piece;      /* INFLATER_PIECE_BYTES */
    const uint8_t *from; /* in inflater_feed: compressed bytes that are not read yet */
    size_t left;         /* bytes at `from` */
    bool is_between;     /* the last member or frame is complete */
};

/* Takes plain bytes, which are borrowed for the call; `length` is not 0. Returns 0, or a number above 0 of
 * its own that ends inflater_feed. */
typedef int inflater_sink(void *taker, const uint8_t *plain, size_t length);

enum { INFLATER_BROKEN = -1 }; /* not compressed by `method`, or the window is too large */

void inflater_deinit(struct inflater *inflater);

/* False when out of memory. `method` is not COMPRESSION_OFF. */
bool inflater_begin(struct inflater *inflater, enum compression method);
/* Inflates the next compressed bytes, at least one, and gives what they inflate to `sink`, piece by piece.
 * Returns 0, INFLATER_BROKEN, or the number with which the sink has ended. */
int inflater_feed(struct inflater *inflater, const uint8_t *bytes, size_t length, inflater_sink *sink,
                  void *taker);
/* Whether the compressed bytes may end here, with no member or frame incomplete. */
bool inflater_is_between(const struct inflater *inflater);

#endif
