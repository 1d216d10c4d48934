/* The upstream connections of one worker: which one takes a message, when another one is dialled, and when
 * one retires.
 *
 * The tier in use is the lowest tier with an endpoint that is not ejected; an endpoint that leaves is in a
 * tier after all others. Among the connections of this tier, the one with the fewest outstanding bytes, by
 * weight, comes first. The pool has one connection until that is busy, then one per endpoint, then up to
 * --max-upstream-connections per endpoint. Owns the connections; decides about no message. Belongs to its
 * worker's thread. */
#ifndef HUSK_DELIVERY_UPSTREAM_POOL_H
#define HUSK_DELIVERY_UPSTREAM_POOL_H

#include "delivery/address_records.h"
#include "delivery/redial.h"
#include "delivery/upstream.h"

struct upstream_pool {
    struct upstream_shared shared;
    LIST_HEAD(, upstream) list;
    uint64_t last_id;     /* the last id given to a connection */
    struct redial redial; /* holds all endpoints after a failure of our own, and after an early goaway */
    size_t next_endpoint; /* index of the endpoint that is preferred when all others are equal */
    struct address_records addresses;
};

/* Copies `shared` and sets its `run`. Its observer receives the callbacks of each connection and passes
 * on_ready, on_released, on_old and on_ended to the pool. */
void upstream_pool_init(struct upstream_pool *pool, const struct upstream_shared *shared);
/* Ends every connection. No connection may be dialled afterwards. */
void upstream_pool_end(struct upstream_pool *pool, enum end_reason reason);

/* The connection for the next message of a sender; NULL when none has space. `last_id`: the connection that
 * took the sender's last message. It is preferred while it has space and is not much busier than others, so
 * that order is kept where possible. */
struct upstream *upstream_pool_pick(struct upstream_pool *pool, uint64_t last_id);
/* An idle connection for exclusive use; NULL when there is none, or --max-exclusive-connections are in
 * use. */
struct upstream *upstream_pool_pick_exclusive(struct upstream_pool *pool);
/* Reserves an idle connection for a message that must wait for `delay_ms` on it. False when there is none, or
 * --max-exclusive-connections are reserved: as many more may be in use. */
bool upstream_pool_reserve(struct upstream_pool *pool, struct message *message, uint64_t delay_ms);
/* Ends a reservation that is due and returns its connection, for exclusive use. NULL when the reservation
 * is not due, when its connection retires, or when --max-exclusive-connections are in use. */
struct upstream *upstream_pool_redeem(struct upstream_pool *pool, struct reservation *reservation);
/* This process is going to end: the next dial does not wait, and reservations are due within `delay_ms`. */
void upstream_pool_hasten(struct upstream_pool *pool, uint64_t delay_ms);

/* Whether a connection can carry messages. */
bool upstream_pool_is_ready(const struct upstream_pool *pool);
/* Whether no address of the upstream acknowledges messages, and husk keeps them (--on-no-acks hold). */
bool upstream_pool_is_on_hold(const struct upstream_pool *pool);

/* Why another connection might be dialled. */
enum upstream_need {
    UPSTREAM_FOR_BALANCE,     /* an endpoint has no connection although all connections are busy */
    UPSTREAM_FOR_MESSAGE,     /* a message waits */
    UPSTREAM_FOR_EXCLUSIVE,   /* a message waits for an exclusive connection */
    UPSTREAM_FOR_RESERVATION, /* a message waits for a connection that is reserved for it */
};
/* Dials a connection if it helps and the settings allow it. Returns when to try again (on the reactor's
 * clock); 0: when something has changed. */
uint64_t upstream_pool_dial(struct upstream_pool *pool, enum upstream_need need);

/* ---- events of a connection ---- */

/* The connection can carry messages: its age counts from now on, and connections of higher tiers retire. */
void upstream_pool_on_ready(struct upstream_pool *pool, struct upstream *upstream);
/* The connection is no longer exclusive: it retires if there are too many. */
void upstream_pool_on_released(struct upstream_pool *pool, struct upstream *upstream);
/* The connection is old: it retires, unless too many retire already. */
void upstream_pool_on_old(struct upstream_pool *pool, struct upstream *upstream);
/* The verdict about a connection that ends for `reason`, by what is known of its address. */
enum retry_fault upstream_pool_judge(struct upstream_pool *pool, const struct upstream *upstream,
                                     enum end_reason reason);
/* The connection has ended: it leaves the pool. If the address alone is at fault, the next dial waits. If
 * acks were expected on a shared connection, the send window of the address shrinks, except after an ack
 * timeout. */
void upstream_pool_on_ended(struct upstream_pool *pool, struct upstream *upstream, enum end_reason reason);
/* A message was settled on the connection: the send window of its address grows. An ack is evidence that
 * messages get through: dials need no back-off. */
void upstream_pool_on_settled(struct upstream_pool *pool, const struct upstream *upstream,
                              enum upstream_settlement how);

/* The addresses have changed: connections to removed addresses retire. */
void upstream_pool_endpoints_changed(struct upstream_pool *pool);
/* The dialer's credentials have been replaced: each connection judges its server. */
void upstream_pool_credentials_changed(struct upstream_pool *pool);
/* The options of the route have changed; `before`: what they were. Connections that differ from new ones
 * retire. */
void upstream_pool_options_changed(struct upstream_pool *pool, const struct route_options *before);

#endif
