/* An agent as delivery sees it: its unsettled messages, their order, and the callbacks when one of them
 * settles.
 *
 * The dispatcher or a ledger owns the messages; the sender only links them. The sender owns empty messages.
 * Pure: knows neither connections nor loops. */
#ifndef HUSK_DELIVERY_SENDER_H
#define HUSK_DELIVERY_SENDER_H

#include "base/end_reason.h"
#include "delivery/held_queue.h"

/* A message that was given up for `reason`, or some of its events. The other events are settled. */
struct sender_refusal {
    const struct message *message;
    uint64_t events; /* at least 1; all of them if it is message->events or more */
    enum end_reason reason;
};

/* Synchronous callbacks to the sender's owner. on_refused and on_undelivered may release the sender. */
struct sender_events {
    /* The message is settled and is freed after the callback. */
    void (*on_settled)(void *owner, const struct message *message);
    /* A message is given up, or some of its events. The message is freed after the callback. For the agent of
     * another husk: husk has kept the message, or the reason is END_NO_ACKS. */
    void (*on_refused)(void *owner, const struct sender_refusal *refusal);
    /* The large message that the agent is sending is given up for `reason`. END_UNDELIVERED: the connection
     * to the agent must end, because the agent sends the message again then. The large message is lost and
     * not kept, or has waited for --delivery-timeout; or, for the agent of another husk, any message is lost
     * and not kept. */
    void (*on_undelivered)(void *owner, enum end_reason reason);
    /* The agent may be able to go on: there is space, or an isolated message no longer blocks the sender. */
    void (*on_wake)(void *owner);
};

enum { SENDER_EMPTIES_MAX = 64 }; /* an empty message retains no byte of the agent, but needs memory */

struct sender {
    const struct sender_events *events; /* borrowed */
    void *owner;                        /* borrowed */
    struct message_list unsettled;      /* oldest first */
    const struct message *early_part; /* the oldest unsettled message that is an early part of a batch; NULL:
                                         none */
    unsigned empties;                 /* how many unsettled messages are empty */
    struct held_queue *held;          /* waiting messages that must not overtake an earlier one; NULL: none */
    uint64_t number;                  /* unique in its worker, not 0: names the sender on a link */
    bool is_remote;                   /* the agent of another husk, which knows when its messages wait */
    bool has_ended;                   /* the agent sends nothing more, and reads no ack */
    bool has_sent_invalid;            /* an invalid event was found */
    uint64_t filed;                   /* ordinals given so far */
    const struct message *isolated;   /* the oldest unsettled message that is isolated and does not yield;
                                         NULL: none */
    uint64_t upstream_id; /* upstream connection that took the last message, to keep the order where possible;
                             0: none */
    uint64_t closed_by;   /* upstream connection whose husk takes no message of the sender now; 0: none */
};

/* Borrows `events` and `owner`. `number` as in the struct. */
void sender_init(struct sender *sender, const struct sender_events *events, void *owner, uint64_t number);
/* The agent is behind another husk. */
void sender_set_remote(struct sender *sender);
/* The sender ends; its messages go on without the sender. No message of the sender may be held. */
void sender_release(struct sender *sender);

/* Appends a message to the messages of the sender. */
void sender_file(struct sender *sender, struct message *message, uint64_t now_ms);
/* The same with an empty message, which the sender then owns. If the agent asked for the ack, the message
 * settles as soon as no earlier message is unsettled, so that acks keep their order; otherwise the message
 * settles at once. */
void sender_file_empty(struct sender *sender, struct message *message, uint64_t now_ms);
/* The message, which is still being read, is the next one of the sender. */
void sender_mark(const struct sender *sender, struct message *message);
/* Counts a message that is refused before it is filed. Returns its ordinal. */
uint64_t sender_pass_over(struct sender *sender);
/* Removes a message from the sender: it settles, is lost, or goes on without the sender. */
void sender_remove(struct sender *sender, struct message *message);
/* Notes that an invalid event was found. True the first time. */
bool sender_note_invalid(struct sender *sender);
/* Replaces `batch` by its `parts` (by of_queue), in order. */
void sender_replace(struct sender *sender, struct message *batch, const struct message_list *parts);

/* `part` is a part of `batch`: it arrived when the batch did. */
void sender_inherit(struct message *part, const struct message *batch);

/* Removes a settled message and calls on_settled. */
void sender_settle(struct sender *sender, struct message *message);

/* Removes the message and calls on_refused, or on_undelivered if that says so. */
void sender_refuse(struct sender *sender, struct message *message, uint64_t events, enum end_reason reason);

/* The first calls on_undelivered, the second calls on_wake. */
void sender_fail(struct sender *sender, enum end_reason reason);
void sender_wake(struct sender *sender);

/* A message of the sender has become isolated, or yields from now on. */
void sender_note_isolated(struct sender *sender, const struct message *message);
/* Whether an isolated message that does not yield is unsettled: later messages must not overtake it. */
bool sender_has_isolated(const struct sender *sender);
/* Whether the message must wait for an isolated one that the agent sent before it. */
bool sender_must_wait(const struct sender *sender, const struct message *message);

/* The upstream connection with this id has taken the last message. */
void sender_note_upstream(struct sender *sender, uint64_t upstream_id);
/* The husk at the end of the upstream connection with this id takes no message of the sender for now, or
 * takes messages again. Only the connection that has closed the sender can open it. Calls on_wake. */
enum sender_window { SENDER_OPEN, SENDER_CLOSED };
void sender_note_window(struct sender *sender, uint64_t upstream_id, enum sender_window window);
/* Whether a husk upstream takes no message of the sender now. A message of the sender is unsettled there. */
bool sender_is_closed(const struct sender *sender);
/* Whether the message must wait because of its own sender, although messages of others can be sent: for an
 * isolated message, or because the sender is closed. If the message must wait, all later messages of the
 * sender must wait. When the answer may have changed, the held messages of the sender become ready. */
bool sender_holds(const struct message *message);
/* Whether so many empty messages wait for earlier messages that husk should not read the agent. */
bool sender_is_full(const struct sender *sender);
/* Whether messages are unsettled, and the agent sends each of them again (message_comes_again). */
bool sender_sends_again(const struct sender *sender);
/* The agent sends nothing more and reads no ack. */
void sender_note_end(struct sender *sender);

/* The ordinal of the oldest unsettled early part of a batch; UINT64_MAX: none. Acks of later messages, and so
 * the ack of the batch, wait for it. */
uint64_t sender_first_early_part(const struct sender *sender);

#endif
