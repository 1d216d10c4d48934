/* Where messages change over from agents' connections to upstream ones; one per worker.
 *
 * Owns the messages that wait for a carrier, and the roster of carriers. A message that is complete leases a
 * carrier: it is written whole, behind the messages before it. While no carrier has room, or the memory for
 * kept messages is spent, intakes are not read: that is the back-pressure, there is no other queue. Belongs
 * to its worker's thread. */
#ifndef HUSK_DELIVERY_DISPATCHER_H
#define HUSK_DELIVERY_DISPATCHER_H

#include "base/end_reason.h"
#include "runtime/timer.h"
#include "delivery/message.h"
#include "delivery/read_budget.h"
#include "delivery/upstream_pool.h"

struct carrier;
struct intake;
struct reading;
struct stream;
struct worker;

LIST_HEAD(intake_list, intake);
TAILQ_HEAD(stream_queue, stream);

struct exchange {
    struct worker *worker; /* borrowed */
    struct intake_list intakes;
    struct roster roster;         /* of carriers */
    struct message_queue waiting; /* oldest first */
    uint64_t waiting_bytes;       /* of them */
    uint64_t waiting_count;       /* Forward messages in them */
    struct stream_queue streams;  /* waiting, likewise */
    uint64_t dispatches;          /* looks over `waiting` so far */
    struct room room;
    unsigned held_count;           /* Forward messages between an agent and their settlement */
    struct reading *spare_reading; /* NULL: none */
    bool ever_acked;               /* an aggregator has acknowledged something */
    unsigned silences;             /* ack timeouts so far */
    bool told_of_silence;          /* the log has told of an agent that says nothing */
    bool closing;
    uint64_t id_seed, id_count; /* chunk ids: unlikely to meet another process's, never to repeat */
    struct alarm alarm;
};

/* False when the system gives no randomness. */
MUST_CHECK bool exchange_open(struct exchange *exchange, struct worker *worker);
/* Ends every intake and carrier; returns how many messages, and agents with anything else on its way, had to
 * be left behind. */
unsigned exchange_close(struct exchange *exchange);

/* Somebody waits for room, or for a carrier of its own. */
bool exchange_is_pressed(const struct exchange *exchange);

/* Takes a complete message. */
void exchange_submit(struct exchange *exchange, struct message *message);

/* A message has come to its end, and is held from now on: by the exchange, or by the carrier it was streamed
 * to. */
void exchange_admit(struct exchange *exchange, struct message *message);
/* Counts `bytes` as held for the message, instead of what was counted before. */
void exchange_hold(struct exchange *exchange, struct message *message, uint64_t bytes);
/* A message that is streamed waits for a carrier of its own. */
void exchange_await_carrier(struct exchange *exchange, struct stream *stream);
/* One that waits does so no longer. */
void exchange_unqueue_stream(struct exchange *exchange, struct stream *stream);

/* A scanner's memory, uninitialised; NULL when there is none. NULL may be put back. */
struct reading *exchange_take_reading(struct exchange *exchange);
void exchange_put_back(struct exchange *exchange, struct reading *reading);

/* Hands waiting messages to carriers that have room, and dials when there are too few. For whoever makes
 * room. */
void exchange_dispatch(struct exchange *exchange);

/* The upstream's addresses have changed, or are known at last. */
void exchange_endpoints_changed(struct exchange *exchange);

/* A fresh chunk id. */
void exchange_next_chunk(struct exchange *exchange, uint8_t value[CHUNK_ID_VALUE_BYTES]);

/* ---- for carriers and intakes ---- */

/* A message is settled: acknowledged, or sent with nothing more to be expected. Takes it. */
void exchange_settle(struct exchange *exchange, struct message *message);
/* A carrier has ended: takes back the messages in its ledger, to be sent again or to be given up. */
void exchange_carrier_ended(struct exchange *exchange, struct carrier *carrier, enum end_reason reason);
/* An agent is gone: what it asked acks for and has not been sent is dropped, since it will send it again. */
void exchange_forget(struct exchange *exchange, struct intake *intake);

#endif
