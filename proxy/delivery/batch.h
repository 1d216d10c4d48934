/* Splits a batch whose connection ended, until the message at fault is alone and the other messages are
 * settled. */
#ifndef HUSK_DELIVERY_BATCH_H
#define HUSK_DELIVERY_BATCH_H

#include "delivery/chunk_ids.h"
#include "delivery/message.h"

/* Copies the messages of a batch in their order and adds the copies to `parts` (by of_queue). Each part has
 * up to `most` messages and a chunk id of its own; the last part keeps the chunk id of the batch. The parts
 * of an isolated batch are isolated. False when out of memory: `parts` is unchanged then. */
MUST_CHECK bool batch_split(const struct message *batch, unsigned most, struct chunk_ids *ids,
                            struct message_list *parts);

#endif
