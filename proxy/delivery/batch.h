/* Splits a batch whose connection ended, until the event at fault is alone and the other events are
 * settled. */
#ifndef HUSK_DELIVERY_BATCH_H
#define HUSK_DELIVERY_BATCH_H

#include "delivery/chunk_ids.h"
#include "delivery/message.h"

/* Copies the events of a batch, in their order, into messages of up to `most` events, and adds these parts to
 * `parts` (by of_queue). A part has the tag of the batch and a chunk id of its own, except that the last part
 * has the chunk id of the batch. The counts of the parts add up to the count of the batch. The parts of an
 * isolated batch are isolated.
 *
 * If the entries of the batch cannot be read, or its tag is too long for a batch, the only part is the whole
 * message, which is no batch any more. False when out of memory: `parts` is unchanged then. */
MUST_CHECK bool batch_split(const struct message *batch, uint64_t most, struct chunk_ids *ids,
                            struct message_list *parts);

#endif
