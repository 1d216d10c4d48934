/* Rewrites the body of a whole message: takes metadata out of its entries, compresses it. Both are asked for;
 * by itself it changes nothing.
 *
 * Only log entries are touched: a message in Forward or PackedForward mode whose option says fluent_signal 0
 * or nothing of it, and whose body is nothing but entries. All others stay as they are, byte for byte, and so
 * does what cannot be read, what would not become smaller, and what has an option longer than
 * BODY_OPTION_BYTES_MAX.
 *
 * The body is read twice, once to see what there is to do, once to do it, a segment at a time: besides the
 * message there is never more in memory than what it becomes. Pure; belongs to one thread.
 *
 * Source: Forward Protocol Specification v1, "CompressedPackedForward Mode" and "Option"; fluent_signal and
 * metadata: Fluent Bit's out_forward; zstd: Fluentd 1.19. */
#ifndef HUSK_FORWARD_BODY_H
#define HUSK_FORWARD_BODY_H

#include "base/buffer.h"
#include "forward/compression.h"
#include "forward/scanner.h"

enum { BODY_OPTION_BYTES_MAX = 4096 };

struct body_options {
    enum compression compress; /* of bodies that are not compressed */
    uint64_t compress_min;     /* shorter bodies are not worth it; at least BODY_COMPRESS_MIN */
    bool strip_metadata;
    uint64_t inflated_max; /* bytes a compressed body may have when it is not compressed */
};

enum { BODY_COMPRESS_MIN = 64 };

/* Whether any body may be changed. */
static inline bool body_options_ask(const struct body_options *options)
{
    return options->strip_metadata || options->compress != COMPRESSION_OFF;
}

/* Zero-initialise, then set options. Contexts of the libraries are made when they are first needed. */
struct body_rewriter {
    struct body_options options;
    struct compressor compressor;
    struct inflater inflater;
};

void body_rewriter_deinit(struct body_rewriter *rewriter);

enum body_status {
    BODY_UNCHANGED,
    BODY_REWRITTEN,
    BODY_UNREADABLE, /* unchanged too: a compressed body is broken, or longer than inflated_max */
};

struct body_result {
    struct buffer bytes; /* the message as it is now, of the same pool; the caller clears it. Empty unless
                            BODY_REWRITTEN */
    bool is_compressed, is_stripped;
};

/* The message that `scanner` has just ended (SCANNER_END) begins `start` bytes into `held`, where it stays as
 * it is. Without memory it is unchanged. */
enum body_status body_rewrite(struct body_rewriter *rewriter, const struct buffer *held, size_t start,
                              const struct scanner *scanner, struct body_result *result);

#endif
