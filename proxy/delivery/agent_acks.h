/* The acks that an agent has not been sent yet. Pure. */
#ifndef HUSK_DELIVERY_AGENT_ACKS_H
#define HUSK_DELIVERY_AGENT_ACKS_H

#include "base/fault.h"
#include "delivery/message.h"

struct agent_ack;

struct agent_acks {
    TAILQ_HEAD(, agent_ack) queue; /* in the order their messages settled */
    size_t bytes;                  /* of all acks in the queue */
};

void agent_acks_init(struct agent_acks *acks);
void agent_acks_clear(struct agent_acks *acks);

bool agent_acks_is_empty(const struct agent_acks *acks);

/* Adds the ack of a message. False when out of memory. */
MUST_CHECK bool agent_acks_add(struct agent_acks *acks, const struct message *message);

/* Moves the acks of messages with an ordinal below `end` to `out`, as long as `out` holds at most
 * `limit_bytes`. Moves only whole acks: agents treat half an ack as a failure. False when out of memory. */
MUST_CHECK bool agent_acks_gather(struct agent_acks *acks, uint64_t end, struct buffer *out,
                                  size_t limit_bytes);

#endif
