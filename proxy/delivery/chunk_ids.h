/* Makes chunk ids for messages that have none. An id never repeats in a worker, and very probably not in
 * another worker or process. */
#ifndef HUSK_DELIVERY_CHUNK_IDS_H
#define HUSK_DELIVERY_CHUNK_IDS_H

#include "base/fault.h"
#include "forward/rewriter.h"

struct chunk_ids {
    uint64_t seed;  /* random, of this worker */
    uint64_t count; /* ids given out */
};

/* False when the system gives no randomness. */
MUST_CHECK bool chunk_ids_init(struct chunk_ids *ids);

/* A new id, as a MessagePack value. */
void chunk_ids_next(struct chunk_ids *ids, uint8_t value[CHUNK_ID_VALUE_BYTES]);

#endif
