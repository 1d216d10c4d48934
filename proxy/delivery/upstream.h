/* One upstream connection that carries messages of many agents, and their acks back.
 *
 *   DIALLING ──outlet ready──▶ GREETING ──shared key, if any──▶ READY ──▶ ended
 *
 * One that retires (it is old, its address or its credentials are no longer in use) takes no more messages,
 * and ends once those it has are settled.
 *
 * Owns its outlet, the bytes to be written, and, until they are settled, the messages sent on it. Belongs to
 * its worker's thread. */
#ifndef HUSK_DELIVERY_UPSTREAM_H
#define HUSK_DELIVERY_UPSTREAM_H

#include "runtime/timer.h"
#include "link/authentication.h"
#include "delivery/message.h"
#include "link/outlet.h"
#include "worker/worker.h"

enum carrier_state { CARRIER_DIALLING, CARRIER_GREETING, CARRIER_READY, CARRIER_ENDED };

struct stream;

struct carrier {
    struct task task;            /* first */
    LIST_ENTRY(carrier) sibling; /* in the roster */
    struct exchange *exchange;   /* borrowed */
    struct stream *lease;        /* that has it to itself; NULL: none */
    size_t at;                   /* its endpoint in the pool's list; beyond it: not known, or gone */
    bool retiring;
    uint64_t retire_at_ms; /* 0: not because of its age */
    uint64_t oldest_ms;    /* since when the oldest message that expects an ack is the oldest */
    uint64_t check_ms;     /* when it is looked at whether the peer is still there */
    enum carrier_state state;
    struct outlet outlet;
    struct greeting greeting;
    uint64_t greeting_deadline_ms;
    struct buffer outgoing; /* messages on their way to the socket */
    struct buffer incoming; /* acks on their way from it */
    uint64_t queued;        /* bytes ever put into outgoing */
    struct ledger ledger;   /* messages sent and not settled */
    bool has_settled;       /* a message has got through */
    uint64_t opened_us;
    struct alarm alarm;
};

/* Begins to dial the endpoint at `at` of the pool's list; ENDPOINTS_MAX: whichever answers. False when out of
 * memory. */
MUST_CHECK bool carrier_open(struct exchange *exchange, size_t at);

/* Whether it takes more bytes for the moment. */
bool carrier_has_space(const struct carrier *carrier);
/* The message it carries at which a connection has ended before; NULL: none. Nothing shares a carrier with
 * it: if this one ends too, it is known whose fault that is. It was put on an idle one, so it is the first
 * there. */
const struct message *carrier_suspect(const struct carrier *carrier);
/* Somebody has it alone: a stream, or a suspect. */
bool carrier_is_leased(const struct carrier *carrier);
/* Whether it can take a message now: it has space, and is not leased. */
bool carrier_has_room(const struct carrier *carrier);

/* Takes a message, and writes it behind the others. */
void carrier_send(struct carrier *carrier, struct message *message);

/* Writes a piece of the message that is streamed on it. False when out of memory. */
MUST_CHECK bool carrier_put(struct carrier *carrier, struct buffer *piece);
/* Takes a message whose last byte has been written. */
void carrier_file(struct carrier *carrier, struct message *message);

/* Takes it out of use as soon as its messages are settled. */
void carrier_retire(struct carrier *carrier);

/* Ends it: its messages go back to the exchange. */
void carrier_end(struct carrier *carrier, enum end_reason reason);

/* Runs it soon, when what it waits for may have come. */
void carrier_wake(struct carrier *carrier);

#endif
