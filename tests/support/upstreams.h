/* Upstream connections without a socket: the test says what would have happened on one. */
#ifndef HUSK_TESTS_SUPPORT_UPSTREAMS_H
#define HUSK_TESTS_SUPPORT_UPSTREAMS_H

#include "delivery/upstream_pool.h"

/* The dial of `upstream` has succeeded: it can carry messages. */
void upstreams_make_ready(struct upstream *upstream);

/* The aggregator has acknowledged the oldest message of `upstream`. */
void upstreams_settle(struct upstream *upstream);

/* `upstream` is reserved, was open and quiet, and its reservation is due now. */
void upstreams_stay_quiet(struct upstream *upstream);

/* Files a message of so many bytes, whose chunk id is "x", without bytes to write. */
void upstreams_load(struct upstream *upstream, size_t bytes);

/* The connection of the pool that was dialled last becomes ready. Returns the connection. */
struct upstream *upstreams_make_last_ready(const struct upstream_pool *pool);

#endif
