/* Takes back the messages of an upstream connection that has ended: which of them are sent again, split, or
 * given up. Belongs to its worker's thread. */
#ifndef HUSK_DELIVERY_RETURNING_H
#define HUSK_DELIVERY_RETURNING_H

#include "delivery/chunk_ids.h"
#include "delivery/retry.h"
#include "delivery/unsettled.h"
#include "delivery/upstream.h"

/* All pointers are borrowed. */
struct returning {
    struct retry *retry;
    struct unsettled *unsettled;
    struct chunk_ids *chunk_ids;
    uint64_t now_us; /* the reactor's */
    uint64_t old_ms; /* messages that arrived at or before this time are too old (--max-age); 0: none is */
};

/* Takes every message of `upstream`, which has ended for `reason`. Counts the failure of the message at which
 * it ended. Appends the messages that are sent again to `again` (by of_queue), in their order. */
void returning_take(const struct returning *returning, struct upstream *upstream, enum end_reason reason,
                    struct message_list *again);

/* Splits a batch that a husk upstream has refused as a whole, and appends the parts to `again`. False when
 * out of memory: the batch is unchanged. */
MUST_CHECK bool returning_split(const struct returning *returning, struct message *batch,
                                struct message_list *again);

#endif
