/* A husk that calls over the link (docs/link.md): its senders, the sender of the next message, and what the
 * calling husk has not been told yet.
 *
 * A sender exists from the first time that the calling husk names it, until the calling husk says that the
 * sender is gone, and the messages of the sender are settled. The calling husk has at most --max-senders
 * senders. When it names more, the sender that has been idle for longest is forgotten: it has no message and
 * no answer. If none is idle, further senders share sender 0, and wait for each other. Pure: knows no
 * connection and no loop. */
#ifndef HUSK_DELIVERY_LINK_PEER_H
#define HUSK_DELIVERY_LINK_PEER_H

#include "delivery/agent_acks.h"
#include "delivery/sender.h"
#include "forward/link.h"

struct link_sender;
struct link_peer;

TAILQ_HEAD(link_sender_list, link_sender);
STAILQ_HEAD(link_answer_list, link_sender);
LIST_HEAD(link_sender_head, link_sender);

/* Synchronous callbacks to the owner. */
struct link_peer_events {
    /* An answer for the calling husk is ready, or memory for it is missing. */
    void (*on_answer)(void *owner);
    /* The sender may be able to go on. */
    void (*on_wake)(void *owner);
    /* As in struct sender_events. */
    void (*on_undelivered)(void *owner, enum end_reason reason);
    /* A sender without unsettled messages is forgotten: it has ended, or another one needs its place. */
    void (*on_forgotten)(void *owner, struct sender *sender);
};

struct link_peer {
    const struct link_peer_events *events; /* borrowed */
    void *owner;                           /* borrowed: passed to the callbacks */
    uint64_t *last_number;                 /* borrowed: the last number given to a sender of the worker */
    struct link_sender *current;           /* the next message is of this sender; NULL: none yet */
    struct link_sender_list senders;       /* owned; least recently named first */
    struct link_answer_list answering;     /* those with an answer to write */
    struct link_sender_head *heads;        /* owned: lists by number */
    size_t head_count;                     /* a power of two */
    unsigned count, count_max;             /* of senders */
    size_t answer_bytes;                   /* of acks that are not written */
    uint64_t unsettled;                    /* ordinals of the messages of all senders */
    uint64_t waiting_every_ms;             /* longest silence while messages wait; 0: not asked */
    uint64_t answered_ms;                  /* when the calling husk was last told something */
    enum end_reason goaway;                /* why goaway is sent; END_NONE: it is not sent */
    bool has_said_goaway;                  /* goaway was written */
    bool is_read;                          /* false: messages may wait in the socket */
    bool is_out_of_memory;                 /* an answer is lost: the connection must end */
};

struct link_peer_options {
    const struct link_peer_events *events;
    void *owner;
    uint64_t *last_number;
    unsigned senders_max; /* at least 1 */
};
/* Borrows what the options name. NULL when out of memory. */
struct link_peer *link_peer_open(const struct link_peer_options *options);
/* Call it after every sender was released. NULL is fine. */
void link_peer_close(struct link_peer *peer);

/* ---- what the calling husk says ---- */

/* Takes one frame. END_NONE or END_NO_MEMORY. */
enum end_reason link_peer_request(struct link_peer *peer, const struct link_request *request,
                                  uint64_t now_ms);
/* The sender of the next message; NULL when out of memory. */
struct sender *link_peer_sender(struct link_peer *peer);
/* Whether the connection is read. */
enum link_reading { LINK_READ, LINK_NOT_READ };
void link_peer_note_reading(struct link_peer *peer, enum link_reading reading, uint64_t now_ms);
/* A message with so many ordinals was filed with the current sender. */
void link_peer_note_filed(struct link_peer *peer, uint64_t ordinals, uint64_t now_ms);
/* A message of the current sender, with this number of events, is refused before it is filed. The calling
 * husk gets an answer, unless the message has no id (`id_length` 0). */
void link_peer_refuse(struct link_peer *peer, const uint8_t *id, size_t id_length, uint64_t events,
                      enum end_reason reason);

/* ---- what the calling husk is told ---- */

/* Asks the calling husk to send no more messages on this connection (`goaway`), before its next answer. Later
 * calls have no effect. */
void link_peer_say_goaway(struct link_peer *peer, enum end_reason reason);
bool link_peer_has_answers(const struct link_peer *peer);
/* Moves whole answers to `out`, as long as `out` holds at most `limit_bytes`. False when out of memory. */
MUST_CHECK bool link_peer_gather(struct link_peer *peer, struct buffer *out, size_t limit_bytes,
                                 uint64_t now_ms);
/* When the calling husk must be told that its messages wait; 0: never. `others`: how many of its unsettled
 * messages belong to no sender of the link. */
uint64_t link_peer_waiting_deadline(const struct link_peer *peer, uint64_t others);
/* Tells the calling husk that its messages wait, and why. False when out of memory. */
MUST_CHECK bool link_peer_say_waiting(struct link_peer *peer, struct buffer *out, const char *why,
                                      uint64_t now_ms);

/* ---- end ---- */

/* Any sender; NULL: none is left. The caller releases the sender and calls link_peer_remove. */
struct sender *link_peer_first(struct link_peer *peer);
void link_peer_remove(struct sender *sender);

#endif
