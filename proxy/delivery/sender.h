/* An agent as delivery sees it: its unsettled messages, their order, and who is told when one of them
 * settles.
 *
 * Messages belong to the dispatcher or to a ledger; the sender only links them. Pure: knows neither
 * connections nor loops. */
#ifndef HUSK_DELIVERY_SENDER_H
#define HUSK_DELIVERY_SENDER_H

#include "delivery/message.h"

/* Told to the sender's owner, with the `owner` of the sender. All are called synchronously. */
struct sender_events {
    /* The message is settled and about to be freed. */
    void (*on_settled)(void *owner, const struct message *message);
    /* A message cannot be delivered, and is freed already. May release the sender. */
    void (*on_undelivered)(void *owner);
    /* What the agent waits for may have come: space, or an end of the wait behind an isolated message. */
    void (*on_wake)(void *owner);
};

struct sender {
    const struct sender_events *events; /* borrowed */
    void *owner;                        /* borrowed */
    struct message_list unsettled;      /* oldest first */
    unsigned unasked;                   /* of them, those that message_is_unasked */
    bool has_ended;                     /* the agent sends nothing more, and reads no ack */
    uint64_t filed;                     /* Forward messages filed so far */
    const struct message *isolated;     /* the oldest unsettled one that is isolated; NULL: none */
    uint64_t upstream_id; /* the upstream connection that took the last message: order is kept where possible;
                             0: none */
};

void sender_init(struct sender *sender, const struct sender_events *events, void *owner);
/* Its messages go on without it. */
void sender_release(struct sender *sender);

/* The message is one of its own, behind all others. */
void sender_file(struct sender *sender, struct message *message, uint64_t now_ms);
/* The message is not its own any more: it settles, is lost, or goes on without it. */
void sender_remove(struct sender *sender, struct message *message);
/* The parts of `batch` (by of_queue), which is one of its own, take its place in order. */
void sender_replace(struct sender *sender, struct message *batch, const struct message_list *parts);

/* Removes a settled message and tells the owner. */
void sender_settle(struct sender *sender, struct message *message);

/* Tell the owner: a message cannot be delivered; what the agent waits for may have come. */
void sender_fail(struct sender *sender);
void sender_wake(struct sender *sender);

/* A message of its own has become isolated. */
void sender_note_isolated(struct sender *sender, const struct message *message);
/* An isolated message is unsettled: later ones must not overtake it. */
bool sender_is_blocked(const struct sender *sender);
/* The message must wait for an isolated one that the agent sent before it. */
bool sender_blocks(const struct sender *sender, const struct message *message);

/* The upstream connection with this id has taken its last message. */
void sender_note_upstream(struct sender *sender, uint64_t upstream_id);
void sender_note_end(struct sender *sender);

/* The ordinal of the oldest unsettled message that the agent did not ask to be acknowledged; UINT64_MAX:
 * none. Acks of later messages wait: an agent that shares one ack among several messages, as husk does, takes
 * it for all of them. */
uint64_t sender_first_unasked(const struct sender *sender);

#endif
