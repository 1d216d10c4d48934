/* Splits a batch whose connection ended: whatever one of its messages does to aggregators, or they to
 * connections, the others are settled. */
#ifndef HUSK_DELIVERY_BATCH_H
#define HUSK_DELIVERY_BATCH_H

#include "delivery/chunk_ids.h"
#include "delivery/message.h"

/* Copies the batch's messages in their order and adds the copies to `parts` (by of_queue): each part has up
 * to `most` messages and a chunk id of its own; the last part keeps the id of the batch. The parts of a batch
 * at which a connection has ended are isolated. False when out of memory: then `parts` is as it was. */
MUST_CHECK bool batch_split(const struct message *batch, unsigned most, struct chunk_ids *ids,
                            struct message_list *parts);

#endif
