/* Whether husk reads an agent, and how much: the agent's place in the read budget.
 *
 * Owns the agent's share of the budget. Decides by the receiver and the leg of the agent. Belongs to its
 * worker's thread. */
#ifndef HUSK_DELIVERY_AGENT_READING_H
#define HUSK_DELIVERY_AGENT_READING_H

#include "delivery/receiver.h"
#include "wire/leg.h"

struct agent_reading {
    struct read_share share;
    bool waits_for_budget; /* would be read, but has no budget, or its cut-through is blocked */
};

/* `owner` (borrowed) is the argument of the callbacks of the read budget. */
void agent_reading_init(struct agent_reading *reading, void *owner);
/* The agent has ended: its share is free for others. */
void agent_reading_end(struct agent_reading *reading, const struct receiver *receiver);

/* Whether the agent leaves so many answers unread that husk does not read the agent. After a reset the agent
 * gets no answer, and husk reads what the agent has sent. */
bool agent_reading_has_left_answers(const struct receiver *receiver, const struct leg *leg);
/* Whether husk reads the agent if the read budget allows it. */
bool agent_reading_is_wanted(const struct receiver *receiver, const struct leg *leg);
/* Whether the read budget, or the upstream connection of a cut-through, has space for bytes of the agent. */
bool agent_reading_has_budget(const struct agent_reading *reading, const struct receiver *receiver);
/* Whether other agents need the memory of a batch that waits. */
bool agent_reading_is_scarce(const struct agent_reading *reading, const struct receiver *receiver);
/* Whether husk reads the agent beyond the budget, to the end of its message. */
bool agent_reading_overdraws(const struct agent_reading *reading, const struct receiver *receiver);
/* Whether the agent holds memory of the budget beyond its own buffer. */
bool agent_reading_holds_budget(const struct agent_reading *reading, const struct receiver *receiver);
/* How many bytes framer_bytes may have after the next read: the window of leg_read. */
size_t agent_reading_window(const struct agent_reading *reading, const struct receiver *receiver);

/* After a step that has moved so many bytes: puts the agent into the queue of the budget if husk wants to
 * read the agent, or removes the agent. An agent that was read goes to the end. */
void agent_reading_queue(struct agent_reading *reading, const struct receiver *receiver,
                         const struct leg *leg, size_t moved);
/* Counts the bytes that the agent holds, and lets an agent that waits read. */
void agent_reading_account(struct agent_reading *reading, const struct receiver *receiver);

#endif
