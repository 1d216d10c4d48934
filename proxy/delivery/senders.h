/* The senders behind one downstream connection: one for an agent, many for a husk that speaks the link.
 *
 * Tells its owner when there is something to write, and writes it. Pure: knows no connection and no loop. */
#ifndef HUSK_DELIVERY_SENDERS_H
#define HUSK_DELIVERY_SENDERS_H

#include "delivery/agent_acks.h"
#include "delivery/link_peer.h"

/* Synchronous callbacks to the owner. on_undelivered may end the senders. */
struct senders_events {
    /* There are answers to write, or a sender may be able to go on. */
    void (*on_wake)(void *owner);
    /* A message of the agent is given up, or some of its events. Not called for a husk: a husk gets an
     * answer. */
    void (*on_refused)(void *owner, const struct sender_refusal *refusal);
    /* As in struct sender_events. */
    void (*on_undelivered)(void *owner, enum end_reason reason);
    /* A husk's sender is forgotten. It has no unsettled message. */
    void (*on_forgotten)(void *owner, struct sender *sender);
    /* Why unsettled messages wait, for a husk: at most LINK_TEXT_BYTES_MAX bytes. */
    const char *(*why_waiting)(void *owner);
};

struct senders {
    const struct senders_events *events; /* borrowed */
    void *owner;                         /* borrowed: passed to the callbacks */
    struct sender agent;                 /* on a link: of the messages before the link began */
    struct agent_acks acks;              /* of that sender */
    struct link_peer *peer;              /* owned; NULL: the connection is not a link, or not yet */
    bool offers_link;                    /* acks offer the link, until it begins */
    bool gives_up_acks;                  /* the agent does not read its acks */
    bool is_out_of_memory;
};

/* Borrows `events` and `owner`. `number`: see struct sender. */
void senders_init(struct senders *senders, const struct senders_events *events, void *owner, uint64_t number);
/* The connection is a link. Borrows `last_number`, the last number given to a sender of the worker.
 * `senders_max` as in link_peer_options. False when out of memory. */
MUST_CHECK bool senders_begin_link(struct senders *senders, uint64_t *last_number, unsigned senders_max);

/* The agent is a husk: acks offer it the link. */
void senders_offer_link(struct senders *senders);

/* The sender of the next message. NULL when out of memory. */
struct sender *senders_next(struct senders *senders);
/* A message with so many ordinals was filed with that sender. */
void senders_note_filed(struct senders *senders, uint64_t ordinals, uint64_t now_ms);
/* On a link: whether the connection is read. */
void senders_note_reading(struct senders *senders, enum link_reading reading, uint64_t now_ms);
/* The agent sends nothing more. */
void senders_note_end(struct senders *senders);

bool senders_have_unsettled(const struct senders *senders);
/* Whether the peer sends unsettled messages again when the connection ends: it is a husk on a link, or an
 * agent that asked for an ack of each unsettled message, and has some. */
bool senders_send_again(const struct senders *senders);
/* On a link: tells the calling husk to send no more messages on this connection, and why. False: the peer
 * does not speak the link. */
bool senders_say_goaway(struct senders *senders, enum end_reason reason);
/* Whether answers wait to be written. */
bool senders_have_answers(const struct senders *senders);
size_t senders_answer_bytes(const struct senders *senders);
/* The agent does not read its acks: from now on senders_limit_acks gives them up. Not for a link. */
void senders_give_up_acks(struct senders *senders);
/* Gives up the last acks of such an agent, so that at most `limit_bytes` remain. Returns their number. */
unsigned senders_limit_acks(struct senders *senders, size_t limit_bytes);
/* Moves whole answers to `out`, as long as `out` holds at most `limit_bytes`. When senders_deadline is over,
 * tells the calling husk that its messages wait. False when an answer is lost because memory ran out: the
 * connection must end. */
MUST_CHECK bool senders_write(struct senders *senders, struct buffer *out, size_t limit_bytes,
                              uint64_t now_ms);
/* When senders_write must be called without another event; 0: never. */
uint64_t senders_deadline(const struct senders *senders);

/* Calls `release` with `context` for every sender, then frees what the senders own. `release` must release
 * the sender. */
void senders_end(struct senders *senders, void (*release)(void *context, struct sender *sender),
                 void *context);

#endif
