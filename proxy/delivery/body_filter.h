/* Rewrites the body of a message on its way up, if settings ask for it: after the framer has found the
 * message, before its head and option are changed. One per worker; owns the rewriter and counts what it does.
 *
 * Knows neither agent nor aggregator. Belongs to its worker's thread. */
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

/* Rewrites the message that begins `start` bytes into `incoming` and that `scanner` has just ended. Bytes in
 * front of the message and behind it stay, and `scanner` describes the message as it is afterwards. False
 * when out of memory: then `incoming` is no longer whole. */
MUST_CHECK bool body_filter_rewrite(struct body_filter *filter, struct buffer *incoming, size_t start,
                                    struct scanner *scanner);

#endif
