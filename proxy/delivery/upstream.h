/* One upstream connection: carries messages of many senders, and their acks back.
 *
 *   OPENING ──outlet established──▶ READY ────────────▶ ENDED
 *                                     │                   ▲
 *                                     └─no ack─▶ ASKING ──┘
 *
 * ASKING: an ack is missing, husk has ended its direction, and waits for the peer's end (peer_acks.h).
 *
 * A connection retires when it is old, when its address or our certificate is no longer in use, when its
 * server is no longer trusted, when a certificate of either side ends, or when the husk at the other end asks
 * for it (`goaway` in docs/link.md). The connection then takes no more messages and ends when its messages
 * are settled.
 *
 * Owns its outlet, the bytes to be written and, until they are settled, the messages sent on it. Reports to
 * its observer and knows nothing above it. Belongs to its worker's thread. */
#ifndef HUSK_DELIVERY_UPSTREAM_H
#define HUSK_DELIVERY_UPSTREAM_H

#include "delivery/peer_acks.h"
#include "delivery/request_queue.h"
#include "delivery/reservation.h"
#include "delivery/retry.h"
#include "delivery/upstream_stream.h"
#include "link/outlet.h"
#include "link/transport.h"
#include "runtime/timer.h"

/* A connection that the peer ends so soon after it became ready is of no use, unless it got an ack. */
enum { UPSTREAM_BRIEF_MS = 500 };

enum upstream_state { UPSTREAM_OPENING, UPSTREAM_READY, UPSTREAM_ASKING, UPSTREAM_ENDED };

/* Which messages may use the connection. */
enum upstream_use {
    UPSTREAM_SHARED,   /* messages of all senders, unless it is reserved */
    UPSTREAM_ISOLATED, /* one message at which another connection has ended: if this connection ends too, the
                          message is at fault */
    UPSTREAM_CUT_THROUGH, /* one message that is cut through */
};

/* How a message was settled. */
enum upstream_settlement {
    UPSTREAM_ACKED, /* the peer has acknowledged it */
    UPSTREAM_TAKEN, /* its last byte is written: no ack was asked for, or the address sends none */
};

struct upstream;

/* Synchronous callbacks to the observer. on_ended is the last one of a connection. */
struct upstream_events {
    /* The connection can carry messages. */
    void (*on_ready)(void *observer, struct upstream *upstream);
    /* A message is settled. The observer takes the message. */
    void (*on_settled)(void *observer, struct upstream *upstream, struct message *message,
                       enum upstream_settlement how);
    /* The peer, a husk, has refused `events` of the events in the message, for `reason`; the other events are
     * settled. The observer takes the message. */
    void (*on_refused)(void *observer, struct upstream *upstream, struct message *message, uint64_t events,
                       enum end_reason reason);
    /* Bytes have moved, and the connection may have space. */
    void (*on_progress)(void *observer, struct upstream *upstream);
    /* The isolated message has settled, or the connection is no longer reserved: other messages may use the
     * connection. */
    void (*on_released)(void *observer, struct upstream *upstream);
    /* The connection has reached the age set by upstream_set_retirement. */
    void (*on_old)(void *observer, struct upstream *upstream);
    /* The connection has ended; upstream_take_unsettled returns its messages. The connection is freed in the
     * next turn of the loop. */
    void (*on_ended)(void *observer, struct upstream *upstream, enum end_reason reason);
    /* Whose failure it is that the connection ends now for `reason`. */
    enum retry_fault (*judge)(void *observer, const struct upstream *upstream, enum end_reason reason);
};

/* What the upstream connections of one worker share. All borrowed. */
struct upstream_shared {
    struct transport *transport;
    const struct hash_key *hash_key; /* random; NULL: zeros, for tests */
    const struct upstream_events *events;
    void *observer;
    void (*run)(void *upstream); /* the step of a connection (upstream_step.h) */
};

struct upstream {
    struct task task;                     /* first */
    LIST_ENTRY(upstream) sibling;         /* in the list of the pool */
    const struct upstream_shared *shared; /* borrowed */
    uint64_t id;                          /* unique in its worker; not 0 */
    size_t endpoint_at; /* index of its endpoint in the dialer's list; beyond the list: unknown, or removed */
    enum upstream_state state;
    enum upstream_use use;
    enum end_reason retires_for;    /* END_NONE: the connection does not retire */
    enum end_reason peer_waits;     /* on a link: why messages wait at the peer; END_NONE: no failure */
    bool got_goaway;                /* on a link: the peer takes no more messages, and may end at any time */
    unsigned acked_count;           /* messages that were acknowledged */
    enum retry_fault fault;         /* whose failure its end is; set at its end */
    uint64_t ready_ms;              /* when it became ready; 0: not yet */
    bool is_proven;                 /* it has proved that the upstream works: by an answer, or by its age */
    struct reservation reservation; /* for an isolated message, or one that is cut through */
    bool was_quiet;                 /* its exclusive message was put on it when the reservation was due */
    struct exclusive_request *holder; /* borrowed: set by upstream_hold; NULL: not held */
    uint64_t held_us;                 /* when it was held, by the reactor's now_us */
    uint64_t retire_at_ms;            /* on the reactor's clock, as below; 0: its age is not limited */
    uint64_t end_at_ms;               /* the latest end of its retirement; 0: no limit */
    struct outlet outlet;
    struct upstream_stream stream;
    struct peer_acks acks; /* whether the peer acknowledges messages */
    uint64_t opened_ms;
    struct timer timer;
};

/* Begins to dial the endpoint at index `endpoint_at` of the dialer's list; ENDPOINTS_MAX: any endpoint. NULL
 * when out of memory. */
struct upstream *upstream_open(const struct upstream_shared *shared, uint64_t id, size_t endpoint_at);

/* Ends the connection: its messages go back to the observer. Harmless if it has ended. */
void upstream_end(struct upstream *upstream, enum end_reason reason);
/* Something failed: the next step of the connection ends it for `reason`. */
void upstream_fail(struct upstream *upstream, enum end_reason reason);
/* The connection takes no more messages and ends for `reason` when its messages are settled: END_RETIRED;
 * or END_DISTRUSTED or END_EXPIRED, after --drain-timeout at the latest. These replace END_RETIRED. */
void upstream_retire(struct upstream *upstream, enum end_reason reason);
/* The connection retires if a certificate of either side ends, or if the dialer's credentials have been
 * replaced and do not admit the server, or show the server another certificate. */
void upstream_judge(struct upstream *upstream);
/* The connection is ready: makes it call on_old at --max-connection-age, counted from then. */
void upstream_limit_age(struct upstream *upstream);
/* The options of the route have changed; `before`: what they were. The connection retires if it differs from
 * a new one, and sets its deadlines anew. */
void upstream_options_changed(struct upstream *upstream, const struct route_options *before);
/* Makes the connection call on_old at `retire_at_ms`. */
void upstream_set_retirement(struct upstream *upstream, uint64_t retire_at_ms);
/* The dialer's list has changed: looks up the connection's address again. False when the list no longer has
 * the address. */
bool upstream_locate(struct upstream *upstream);
/* The connection for the log, for an end or a refusal. */
struct connection_end upstream_end_of(const struct upstream *upstream, enum end_reason reason);
/* Runs the connection in the next turn of the loop: it may be able to go on. */
void upstream_wake(struct upstream *upstream);

/* Whether the connection takes more bytes at the moment. */
bool upstream_has_space(const struct upstream *upstream);
/* Whether the connection can take a message of any sender now. */
bool upstream_is_available(const struct upstream *upstream);

/* ---- for a message that is sent alone ---- */

/* Reserves an available connection for the message. The reservation is due after `delay_ms`, and lasts until
 * upstream_redeem or reservation_cancel. */
void upstream_reserve(struct upstream *upstream, struct message *message, uint64_t delay_ms);
/* The reservation is due, and the message is put on the connection now: ends the reservation. */
void upstream_redeem(struct upstream *upstream);
/* Makes the reservation due within `delay_ms`. */
void upstream_hasten(struct upstream *upstream, uint64_t delay_ms);

/* Takes a message and writes it after the others. An isolated message has the connection exclusively. */
void upstream_send(struct upstream *upstream, struct message *message);

/* The peer speaks the link: frames may be written from now on. */
void upstream_begin_link(struct upstream *upstream);
/* On a link: tells the peer that the sender has ended. */
void upstream_say_gone(struct upstream *upstream, uint64_t sender_number);

/* ---- for a message that is cut through ---- */

/* `holder` has the connection exclusively for a message of the sender with this number, until
 * upstream_release or upstream_abort. */
void upstream_hold(struct upstream *upstream, struct exclusive_request *holder, uint64_t sender_number);
/* Writes a piece of the message. False when out of memory. */
MUST_CHECK bool upstream_put(struct upstream *upstream, struct buffer *piece);
/* Other messages may use the connection again. */
void upstream_release(struct upstream *upstream);
/* Takes the message, whose last byte was written by upstream_put, into the ledger. */
void upstream_file(struct upstream *upstream, struct message *message);
/* The message is incomplete: ends the connection by a reset and does not call the holder. */
void upstream_abort(struct upstream *upstream);

/* ---- after the end ---- */

/* The message at which the connection failed, for retry_count_failure: the one that is cut through, or the
 * oldest unsettled one, or after an ack timeout the oldest one that expects an ack. NULL: none. */
struct message *upstream_failed_message(const struct upstream *upstream, enum end_reason reason);
/* When this message was put on the connection, by the reactor's now_us. */
uint64_t upstream_sent_us(const struct upstream *upstream, const struct message *message);
/* Removes and returns the oldest unsettled message; NULL: none is left. */
struct message *upstream_take_unsettled(struct upstream *upstream);

#endif
