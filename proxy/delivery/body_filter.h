/* Rewrites the body of a message, if --compress, --strip-metadata or --add-identity is set, and leaves out
 * invalid events. Runs after the framer has found the message and before the head and option of the message
 * change. One per worker.
 *
 * Owns the rewriter, and counts the rewritten messages and the invalid entries that the rewriter finds. Knows
 * neither agent nor aggregator. Belongs to its worker's thread. */
#ifndef HUSK_DELIVERY_BODY_FILTER_H
#define HUSK_DELIVERY_BODY_FILTER_H

#include "base/buffer.h"
#include "base/fault.h"
#include "base/metrics.h"
#include "forward/body.h"
#include "forward/body_fields.h"
#include "forward/scanner.h"
#include "runtime/route.h"

#include <stdbool.h>

struct body_filter {
    struct body_rewriter rewriter;
    struct body_fields_options fields;
    struct body_metrics *metrics; /* borrowed */
};

/* The options of `route` are copied, `metrics` borrowed. */
void body_filter_init(struct body_filter *filter, const struct route_options *route,
                      struct body_metrics *metrics);
/* For messages that are rewritten from now on. */
void body_filter_set_options(struct body_filter *filter, const struct route_options *route);
void body_filter_deinit(struct body_filter *filter);

enum body_filter_result {
    BODY_FILTER_DONE,
    BODY_FILTER_EMPTY,     /* unchanged, because no event would be left */
    BODY_FILTER_REFUSED,   /* unchanged: the fields cannot be put into the message, which must not be sent */
    BODY_FILTER_TOO_LONG,  /* unchanged: with the fields the message is too long, and must not be sent */
    BODY_FILTER_NO_MEMORY, /* `incoming` is incomplete */
};

/* Rewrites the message that begins at offset `start` of `incoming`; `scanner` has just found its end. Its
 * records get `fields`. Bytes before and after the message stay. Afterwards `scanner` describes the rewritten
 * message. */
enum body_filter_result body_filter_rewrite(struct body_filter *filter, struct buffer *incoming, size_t start,
                                            struct scanner *scanner, const struct record_fields *fields);

/* Leaves out the invalid events of a message in Forward mode that has at least one valid event. `start` and
 * `scanner` are as in body_filter_rewrite. If the body cannot be rewritten, `scanner` still counts invalid
 * events. False when out of memory. */
MUST_CHECK bool body_filter_skip_invalid(struct body_filter *filter, struct buffer *incoming, size_t start,
                                         struct scanner *scanner);

#endif
