/* One upstream connection: carries messages of many senders, and their acks back.
 *
 *   DIALLING ──outlet ready──▶ AUTHENTICATING ──shared key, if any──▶ READY ──▶ ENDED
 *
 * A connection retires when it is old, or its address or its credentials are no longer in use: it takes no
 * more messages and ends once those it has are settled.
 *
 * Owns its outlet, the bytes to be written, and, until they are settled, the messages sent on it. Reports to
 * its observer and knows nothing above it. Belongs to its worker's thread. */
#ifndef HUSK_DELIVERY_UPSTREAM_H
#define HUSK_DELIVERY_UPSTREAM_H

#include "delivery/message.h"
#include "delivery/retry.h"
#include "link/authentication.h"
#include "link/outlet.h"
#include "link/transport.h"
#include "runtime/timer.h"

enum upstream_state { UPSTREAM_DIALLING, UPSTREAM_AUTHENTICATING, UPSTREAM_READY, UPSTREAM_ENDED };

/* Who may send on it. */
enum upstream_use {
    UPSTREAM_SHARED,   /* everybody */
    UPSTREAM_ISOLATED, /* one message at which a connection has ended: if this one ends too, the message is at
                          fault */
    UPSTREAM_CUT_THROUGH, /* one message that is sent while it is read */
};

struct upstream;

/* Told to the observer, synchronously. Only on_ended may be the last call about a connection. */
struct upstream_events {
    /* It can carry messages. */
    void (*on_ready)(void *observer, struct upstream *upstream);
    /* A message got through: acknowledged, or sent with no ack to be expected. The observer takes the
     * message. */
    void (*on_settled)(void *observer, struct message *message);
    /* It has moved bytes, and may have space. */
    void (*on_progress)(void *observer, struct upstream *upstream);
    /* The message that was isolated on it has settled: others may use it. */
    void (*on_released)(void *observer, struct upstream *upstream);
    /* It has reached the age set by upstream_set_retirement. */
    void (*on_old)(void *observer, struct upstream *upstream);
    /* It has ended; upstream_take_unsettled gives its messages back. It is freed on the next turn of the
     * loop. */
    void (*on_ended)(void *observer, struct upstream *upstream, enum end_reason reason);
};

/* What the upstream connections of one worker share. All borrowed. */
struct upstream_shared {
    struct transport *transport;
    struct retry *retry;
    const struct upstream_events *events;
    void *observer;
};

struct upstream {
    struct task task;                     /* first */
    LIST_ENTRY(upstream) sibling;         /* the pool's */
    const struct upstream_shared *shared; /* borrowed */
    uint64_t id;                          /* unique in its worker; not 0 */
    size_t endpoint_at; /* its endpoint's index in the dialer's list; beyond it: unknown, or gone */
    enum upstream_state state;
    enum upstream_use use;
    bool is_retiring;
    bool has_settled;      /* a message has got through */
    void *holder;          /* borrowed: who cuts a message through; NULL: nobody */
    uint64_t retire_at_ms; /* in the reactor's now_ms, as below; 0: not because of its age */
    uint64_t oldest_ms;    /* since when the oldest message that expects an ack is the oldest */
    uint64_t check_ms;     /* when the peer is looked at again */
    struct outlet outlet;
    struct authentication authentication;
    struct buffer outgoing; /* messages to be written to the socket */
    struct buffer incoming; /* acks read from it */
    uint64_t queued_bytes;  /* ever put into outgoing */
    struct ledger ledger;   /* messages sent and not settled */
    uint64_t opened_ms;
    struct timer timer;
};

/* Begins to dial the endpoint at that index of the dialer's list; ENDPOINTS_MAX: any that answers. NULL when
 * out of memory. */
struct upstream *upstream_open(const struct upstream_shared *shared, uint64_t id, size_t endpoint_at);

/* Ends it: its messages go back to the observer. Harmless when it has ended. */
void upstream_end(struct upstream *upstream, enum end_reason reason);
/* Something failed that its next step reports: it ends then. */
void upstream_fail(struct upstream *upstream, enum end_reason reason);
/* Takes it out of use as soon as its messages are settled. */
void upstream_retire(struct upstream *upstream);
/* on_old is called at `retire_at_ms`. */
void upstream_set_retirement(struct upstream *upstream, uint64_t retire_at_ms);
/* Looks its address up in the dialer's list again, which has changed. False when the address has left the
 * list. */
bool upstream_locate(struct upstream *upstream);
/* Runs it soon: what it waits for may have come. */
void upstream_wake(struct upstream *upstream);

/* It takes more bytes for the moment. */
bool upstream_has_space(const struct upstream *upstream);
/* It can take a message of anybody now. */
bool upstream_is_available(const struct upstream *upstream);

/* Takes a message and writes it behind the others. An isolated one has the connection to itself. */
void upstream_send(struct upstream *upstream, struct message *message);

/* ---- for a message that is cut through ---- */

/* `holder` has the connection to itself until upstream_file or upstream_abort. */
void upstream_hold(struct upstream *upstream, void *holder);
/* Writes a piece of the message. False when out of memory. */
MUST_CHECK bool upstream_put(struct upstream *upstream, struct buffer *piece);
/* Others may use it again. */
void upstream_release(struct upstream *upstream);
/* Takes the message, whose last byte has been put, into the ledger. */
void upstream_file(struct upstream *upstream, struct message *message);
/* The message is cut: ends the connection by a reset, without a word to the holder. */
void upstream_abort(struct upstream *upstream);

/* ---- once it has ended ---- */

/* The message that failed, for retry_count_failure: the oldest, or the oldest that expects an ack. NULL:
 * none. */
const struct message *upstream_failed_message(const struct upstream *upstream, enum end_reason reason);
/* Gives back the oldest unsettled message; NULL: there is none. */
struct message *upstream_take_unsettled(struct upstream *upstream);

#endif
