/* Takes the bytes of one downstream connection: finds the messages, knows which sender each is from, hands
 * the messages to the dispatcher, and collects the answers.
 *
 * Owns the framer, the senders, and the cut-through during a large message. On a link (docs/link.md), takes
 * the frames of the calling husk, and refuses single messages. Knows no leg. Belongs to its worker's
 * thread. */
#ifndef HUSK_DELIVERY_RECEIVER_H
#define HUSK_DELIVERY_RECEIVER_H

#include "delivery/cut_through.h"
#include "delivery/dispatcher.h"
#include "delivery/framer.h"
#include "delivery/senders.h"

/* Synchronous callbacks to the owner. on_undelivered may end the receiver. */
struct receiver_events {
    /* There are answers to write, or the connection may be able to go on. */
    void (*on_wake)(void *owner);
    /* A message is complete. */
    void (*on_complete)(void *owner);
    /* A message of the agent is lost, and the agent must be told. */
    void (*on_undelivered)(void *owner);
    /* The connection, for a line of the log about one of its messages. */
    struct connection_end (*where)(const void *owner, enum end_reason reason);
};

/* What the receivers of one worker share. */
struct receiver_shared {
    const struct receiver_events *events; /* borrowed, as is the next one */
    struct dispatcher *dispatcher;
    struct framer_shared framing;
    uint64_t last_number; /* the last number given to a sender */
};

struct receiver {
    struct receiver_shared *shared; /* borrowed */
    void *owner;                    /* borrowed: passed to the callbacks */
    struct framer framer;
    struct senders senders;
    struct cut_through *cut_through; /* owned; NULL: no message is cut through */
};

/* Borrows the arguments. */
void receiver_shared_init(struct receiver_shared *shared, const struct receiver_events *events,
                          struct dispatcher *dispatcher, struct body_filter *bodies);
void receiver_shared_deinit(struct receiver_shared *shared);

/* Borrows the arguments. */
void receiver_init(struct receiver *receiver, struct receiver_shared *shared, void *owner,
                   struct message_permit *permit);
/* The peer is a husk that speaks the link. False when out of memory. */
MUST_CHECK bool receiver_begin_link(struct receiver *receiver);
/* The connection has no TLS, and so no ALPN. The peer may be a husk: it may send frames, and if it sends a
 * chunk id that a husk has made, acks offer it the link. */
void receiver_allow_link(struct receiver *receiver);
/* The connection ends: unsettled messages are delivered without it, or dropped if their agent sends them
 * again. */
void receiver_end(struct receiver *receiver);

/* Whether no message is unsettled, and no answer waits. */
bool receiver_is_settled(const struct receiver *receiver);
/* The same, but messages may be unsettled if the peer sends them again when the connection ends. */
bool receiver_can_be_left(const struct receiver *receiver);
/* Whether it is settled, and no byte of the agent is left. */
bool receiver_is_drained(const struct receiver *receiver);
/* Whether further messages of the agent would wait behind an earlier one, so that reading more would only
 * spend budget. Never on a link: windows stop single senders there. */
bool receiver_must_wait(const struct receiver *receiver);

#endif
