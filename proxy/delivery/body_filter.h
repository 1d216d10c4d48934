/* Rewrites the body of a message, if --compress or --strip-metadata is set: after the framer has found the
 * message, before its head and option are changed. One per worker.
 *
 * Owns the rewriter and counts the rewritten messages. Knows neither agent nor aggregator. Belongs to its
 * worker's thread. */
#ifndef HUSK_DELIVERY_BODY_FILTER_H
#define HUSK_DELIVERY_BODY_FILTER_H

#include "base/buffer.h"
#include "base/fault.h"
#include "base/metrics.h"
#include "forward/body.h"
#include "forward/scanner.h"

#include <stdbool.h>

struct body_filter {
    struct body_rewriter rewriter;
    struct body_metrics *metrics; /* borrowed */
};

/* `options` are copied, `metrics` borrowed. */
void body_filter_init(struct body_filter *filter, const struct body_options *options,
                      struct body_metrics *metrics);
void body_filter_deinit(struct body_filter *filter);

/* Rewrites the message that begins at offset `start` of `incoming`; `scanner` has just found its end. Bytes
 * before and after the message stay. Afterwards `scanner` describes the rewritten message. False when out of
 * memory: `incoming` is incomplete then. */
MUST_CHECK bool body_filter_rewrite(struct body_filter *filter, struct buffer *incoming, size_t start,
                                    struct scanner *scanner);

#endif
