/* Rewrites the body of a complete message: removes metadata from its entries, compresses it, leaves out
 * entries that are no events. The options ask for each of these; without them nothing changes.
 *
 * Only log entries are rewritten: a message in Forward or PackedForward mode whose option has no
 * fluent_signal or fluent_signal 0, and whose body consists of entries, of which at least one is valid. Every
 * other message stays the same byte for byte. So does a message that cannot be read, that would not become
 * shorter, or whose option is longer than BODY_OPTION_BYTES_MAX. A body with an invalid entry stays too,
 * unless invalid entries are left out.
 *
 * When entries are left out, the number of entries in the header of the body and the value of "size" are
 * corrected.
 *
 * The body is read twice, a segment at a time: first to decide, then to rewrite. Memory holds the message and
 * its rewritten form, and nothing more. Pure; belongs to one thread.
 *
 * Source: Forward Protocol Specification v1, "CompressedPackedForward Mode" and "Option"; fluent_signal and
 * metadata: Fluent Bit's out_forward; zstd: Fluentd 1.19. */
#ifndef HUSK_FORWARD_BODY_H
#define HUSK_FORWARD_BODY_H

#include "base/buffer.h"
#include "forward/body_option.h"
#include "forward/compression.h"
#include "forward/scanner.h"

struct body_options {
    enum compression compress; /* for bodies that are not compressed yet */
    uint64_t compress_min;     /* shorter bodies are not compressed; at least BODY_COMPRESS_MIN */
    bool strip_metadata;       /* also leaves out markers (entries.h) */
    bool skip_invalid;         /* leaves out invalid entries (entries.h) */
    uint64_t inflated_max;     /* most bytes that a compressed body may inflate to */
};

enum { BODY_COMPRESS_MIN = 64 };

/* Whether the options ask for the rewriting of valid messages. */
static inline bool body_options_ask(const struct body_options *options)
{
    return options->strip_metadata || options->compress != COMPRESSION_OFF;
}

/* Zero-initialise, then set options. Contexts of the compression libraries are made on first use. */
struct body_rewriter {
    struct body_options options;
    struct compressor compressor;
    struct inflater inflater;
};

void body_rewriter_deinit(struct body_rewriter *rewriter);

enum body_status {
    BODY_UNCHANGED,
    BODY_REWRITTEN,
    BODY_EMPTY,      /* unchanged: no entry would be left */
    BODY_UNREADABLE, /* unchanged: a compressed body is broken, or longer than inflated_max */
};

struct body_result {
    struct buffer bytes; /* the rewritten message, of the same pool; the caller clears it. Empty unless
                            BODY_REWRITTEN */
    bool is_compressed, is_stripped;
    uint64_t faults[EVENT_FAULT_COUNT]; /* invalid entries of a body with valid ones, left out or not */
};

/* Rewrites the message, no foreign value, that `scanner` has just ended (SCANNER_END) and that begins `start`
 * bytes into `source`. `source` stays unchanged. When out of memory the result is BODY_UNCHANGED. */
enum body_status body_rewrite(struct body_rewriter *rewriter, const struct buffer *source, size_t start,
                              const struct scanner *scanner, struct body_result *result);

/* Leaves out the invalid entries of a message in Forward mode, and changes nothing else. The rest is as in
 * body_rewrite. */
enum body_status body_skip_invalid(const struct buffer *source, size_t start, const struct scanner *scanner,
                                   struct body_result *result);

#endif
