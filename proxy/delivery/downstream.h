/* One agent's connection under `protocol: forward`: bytes in, messages out, acks back.
 *
 *   SECURING ──TLS handshake, if any──▶ GREETING ──shared key, if any──▶ READING ──▶ ended
 *
 * Owns its inlet, the bytes of the message under way, its stream if that is large, and the acks on their way
 * to the agent. A message it has handed over belongs to the exchange; the intake stays open until all of them
 * are settled, so that a failure can still be told by a reset. An idle one owns no scanner and no buffer.
 * Belongs to its worker's thread. */
#ifndef HUSK_DELIVERY_DOWNSTREAM_H
#define HUSK_DELIVERY_DOWNSTREAM_H

#include "runtime/timer.h"
#include "link/authentication.h"
#include "link/inlet.h"
#include "delivery/message.h"
#include "delivery/message_policy.h"
#include "delivery/framer.h"
#include "delivery/read_budget.h"
#include "worker/worker.h"

struct carrier;
struct intake_ack;
struct stream;

TAILQ_HEAD(intake_acks, intake_ack);

struct intake {
    struct task task;           /* first */
    LIST_ENTRY(intake) sibling; /* in the exchange's list */
    struct exchange *exchange;  /* borrowed */
    struct inlet inlet;
    struct greeting greeting;
    struct reading *reading;      /* owned; NULL: between two messages */
    struct stream *stream;        /* owned; NULL: no message is streamed */
    struct message_permit permit; /* what it may write */
    uint64_t paused_until_ms;     /* by a rate limit, between two messages; 0: it is not */
    struct buffer incoming;       /* the message under way, and bytes behind it */
    size_t scanned;               /* bytes of incoming the scanner has taken */
    size_t batch_bytes;             /* of them, whole messages not handed over yet */
    unsigned run_count;           /* and how many */
    uint64_t run_events;          /* and the events in them, as far as they say how many */
    struct room_place place;      /* in the line of those that wait to be read */
    struct intake_acks acks;      /* owed to the agent */
    size_t ack_bytes;             /* of them */
    struct buffer outgoing; /* acks and handshake messages on their way to the agent: one record of them */
    struct message_list unsettled; /* messages of this agent, oldest first */
    size_t unasked;                /* of them, those with a message that the agent asked no ack for */
    struct carrier *carrier;       /* that took the last message: order is kept where it can be; NULL: none */
    uint64_t held_back; /* the last of the exchange's dispatches in which its messages had to wait for
                           one in front of them */
    bool is_greeted;    /* its shared-key handshake, if any, has begun */
    bool is_securing;   /* counted among the worker's handshakes */
    bool is_held_up;    /* is not read, for want of room */
    bool ended;
    uint64_t messages; /* ever read */
    uint64_t opened_us;
    uint64_t greeting_deadline_ms;
    uint64_t progress_ms; /* when bytes last moved */
    struct alarm alarm;
};

/* Takes `fd`. When there is no memory the connection is reset. */
void intake_open(struct exchange *exchange, int fd, const struct socket_address *peer);

/* One of its messages is settled; with MESSAGE_AGENT_ACK the ack goes on to the agent, once what that sent
 * before without asking is settled too: an agent that shares one ack among several messages, as we do, takes
 * it for all of them. */
void intake_settle(struct intake *intake, struct message *message);

/* The message is one of its own. */
void intake_own(struct intake *intake, struct message *message);

/* A part of `run`, which is one of its own, takes the place in front of it: parts come in order. */
void intake_own_part(struct intake *intake, struct message *part, struct message *run);

/* Runs it soon: there is room again, or its stream can flow. */
void intake_wake(struct intake *intake);

/* One of its messages goes on, or ends, without it. */
void intake_disown(struct intake *intake, struct message *message);

/* Ends it for `reason`; its messages are forgotten or go on without it. */
void intake_end(struct intake *intake, enum end_reason reason);

/* Whether its bytes have all been passed on: nothing unsettled, nothing half read. */
bool intake_is_settled(const struct intake *intake);

#endif
