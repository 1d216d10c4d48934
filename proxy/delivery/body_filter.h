/* Where a message's body is rewritten on its way up, if that is asked for: between an intake's scanner and
 * the plan for its head and option. One per worker; owns the rewriter and counts what it does.
 *
 * Knows neither the agent nor the aggregator. Belongs to its worker's thread. */
#ifndef HUSK_DELIVERY_BODY_FILTER_H
#define HUSK_DELIVERY_BODY_FILTER_H

#include "base/buffer.h"
#include "base/fault.h"
#include "base/metrics.h"
#include "forward/body.h"
#include "forward/scanner.h"

#include <stdbool.h>

struct body_stage {
    struct body_rewriter rewriter;
    struct body_metrics *metrics; /* borrowed */
};

/* `options` are copied, `metrics` borrowed. */
void body_stage_init(struct body_stage *stage, const struct body_options *options,
                     struct body_metrics *metrics);
void body_stage_deinit(struct body_stage *stage);

/* Rewrites the message that begins `start` bytes into `held` and that `scanner` has just ended. What is in
 * front of it and behind it stays, and `scanner` is as if it had ended the message as it is now; or nothing
 * changes. False when out of memory: then `held` is no longer whole. */
MUST_CHECK bool body_stage_rewrite(struct body_stage *stage, struct buffer *held, size_t start,
                                   struct scanner *scanner);

#endif
