/* The two ways a CompressedPackedForward body is compressed, piece by piece: gzip (RFC 1952, by zlib) and
 * zstd (RFC 8878, by libzstd).
 *
 * A context is made when it is first needed and used again for every body after it; one thread's. Inflating
 * takes members and frames in a row, as agents that append to a chunk write them, and gives plain bytes in
 * pieces of bounded size: how many there may be is for the caller to say. */
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
    /* A zstd frame may ask for a window of any size; RFC 8878, 3.1.1.1.2 recommends to support 8 MiB. */
    INFLATER_WINDOW_LOG_MAX = 23,
};

/* Zero-initialise. */
struct compressor {
    enum compression method;
    struct z_stream_s *gzip;
    struct ZSTD_CCtx_s *zstd;
};

void compressor_deinit(struct compressor *compressor);

/* Each is false when out of memory. `method` is not COMPRESSION_OFF. `plain_bytes`: how many will be put. */
bool compressor_begin(struct compressor *compressor, enum compression method, uint64_t plain_bytes);
bool compressor_put(struct compressor *compressor, const uint8_t *bytes, size_t length, struct buffer *to);
bool compressor_end(struct compressor *compressor, struct buffer *to);

/* Zero-initialise. */
struct inflater {
    enum compression method;
    struct z_stream_s *gzip;
    struct ZSTD_DCtx_s *zstd;
    uint8_t *piece;      /* INFLATER_PIECE_BYTES */
    const uint8_t *from; /* borrowed: compressed bytes not taken yet */
    size_t left;         /* of them */
    bool is_between;     /* no member or frame is under way */
};

enum inflater_status {
    INFLATER_PIECE,   /* here are plain bytes; ask again */
    INFLATER_DRAINED, /* all that was given is taken and has come out */
    INFLATER_BROKEN,  /* not what `method` says, or a window too large */
};

void inflater_deinit(struct inflater *inflater);

/* False when out of memory. `method` is not COMPRESSION_OFF. */
bool inflater_begin(struct inflater *inflater, enum compression method);
/* What inflater_next reads from, until it has drained it. */
void inflater_give(struct inflater *inflater, const uint8_t *bytes, size_t length);
/* The next plain bytes, borrowed until the next call; *length is not 0 with INFLATER_PIECE. */
enum inflater_status inflater_next(struct inflater *inflater, const uint8_t **plain, size_t *length);
/* Whether the compressed bytes may end here: nothing is cut. */
bool inflater_is_between(const struct inflater *inflater);

#endif
