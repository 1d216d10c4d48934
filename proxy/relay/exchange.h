/* Where messages change over from agents' connections to upstream ones; one per worker.
 *
 * Owns the messages that wait for a carrier, and the carriers. A message that is complete leases a carrier:
 * it is written whole, behind the messages before it. While no carrier has room, or the memory for kept
 * messages is spent, intakes are not read: that is the back-pressure, there is no other queue. Belongs to its
 * worker's thread. */
#ifndef HUSK_RELAY_EXCHANGE_H
#define HUSK_RELAY_EXCHANGE_H

#include "base/end_reason.h"
#include "relay/alarm.h"
#include "relay/message.h"

struct carrier;
struct intake;
struct worker;

struct exchange {
    struct worker *worker; /* borrowed */
    struct intake *intakes;
    struct carrier *carriers;
    unsigned carrier_count;
    struct message *first, *last; /* waiting, oldest first */
    uint64_t held_bytes;          /* of all messages between an agent and their settlement */
    unsigned held_count;
    uint64_t redial_at_ms;    /* no dial before it; 0: at once */
    uint64_t redial_delay_ms; /* the next back-off */
    bool ever_acked;          /* an aggregator has acknowledged something */
    unsigned silences;        /* ack timeouts so far */
    bool starving;            /* intakes wait for room */
    bool closing;
    uint64_t id_seed, id_count; /* chunk ids: unlikely to meet another process's, never to repeat */
    struct alarm alarm;
};

/* False when the system gives no randomness. */
MUST_CHECK bool exchange_open(struct exchange *exchange, struct worker *worker);
/* Ends every intake and carrier; returns how many messages, and agents with anything else on its way, had to
 * be left behind. */
unsigned exchange_close(struct exchange *exchange);

/* Whether another message may be read from an agent. When not, the intake is run again once there is room. */
bool exchange_has_room(struct exchange *exchange);

/* Takes a complete message. */
void exchange_submit(struct exchange *exchange, struct message *message);

/* Hands waiting messages to carriers that have room, and dials when there are too few. For whoever makes
 * room. */
void exchange_dispatch(struct exchange *exchange);

/* The upstream's addresses have changed, or are known at last. */
void exchange_endpoints_changed(struct exchange *exchange);

/* A fresh chunk id, as 16 bytes. */
void exchange_next_id(struct exchange *exchange, uint8_t id[16]);

/* ---- for carriers and intakes ---- */

/* A message is settled: acknowledged, or sent with nothing more to be expected. Takes it. */
void exchange_settle(struct exchange *exchange, struct message *message);
/* A carrier has ended: takes back the messages in its ledger, to be sent again or to be given up. */
void exchange_carrier_ended(struct exchange *exchange, struct carrier *carrier, enum end_reason reason);
/* An agent is gone: what it asked acks for and has not been sent is dropped, since it will send it again. */
void exchange_forget(struct exchange *exchange, struct intake *intake);

#endif
