/* The upstream connections of one worker: which one takes a message, when another one is dialled, and when
 * one retires.
 *
 * Endpoints of the lowest tier that has any that is not ejected are in use. Among their connections the one
 * with the fewest outstanding bytes, by weight, comes first. There is one connection until that is busy, then
 * one to each endpoint, then up to --max-upstream-connections each. Owns the connections; decides about no
 * message. Belongs to its worker's thread. */
#ifndef HUSK_DELIVERY_UPSTREAM_POOL_H
#define HUSK_DELIVERY_UPSTREAM_POOL_H

#include "delivery/upstream.h"

struct upstream_pool {
    struct upstream_shared shared;
    LIST_HEAD(, upstream) list;
    uint64_t last_id;         /* given to a connection */
    uint64_t redial_at_ms;    /* while every endpoint is ejected, no dial before it; 0: at once */
    uint64_t redial_delay_ms; /* the last back-off */
    size_t next_endpoint;     /* tried first, other things being equal */
};

/* The observer of `shared`, which is copied, is told of each connection. It passes on_ready, on_released,
 * on_old and on_ended to the pool. */
void upstream_pool_init(struct upstream_pool *pool, const struct upstream_shared *shared);
/* Ends every connection. */
void upstream_pool_end(struct upstream_pool *pool, enum end_reason reason);

/* The connection for a message whose sender's last one went to the connection `last_id`; NULL when none has
 * space. It stays the same while that has space and is not much busier than others, so that order is kept
 * where possible. */
struct upstream *upstream_pool_pick(struct upstream_pool *pool, uint64_t last_id);
/* An idle connection to be had exclusively; NULL when there is none, or --max-exclusive-connections are in
 * use. */
struct upstream *upstream_pool_pick_exclusive(struct upstream_pool *pool);

/* Some connection can carry messages. */
bool upstream_pool_is_ready(const struct upstream_pool *pool);

/* Why another connection might be dialled. */
enum upstream_need {
    UPSTREAM_FOR_BALANCE,   /* endpoints that should have a share have no connection */
    UPSTREAM_FOR_MESSAGE,   /* a message waits */
    UPSTREAM_FOR_EXCLUSIVE, /* a message waits for a connection to itself */
};
/* Dials a connection if it helps and settings allow it. Returns when to ask again (in the reactor's now_ms);
 * 0: when something has changed. */
uint64_t upstream_pool_dial(struct upstream_pool *pool, enum upstream_need need);

/* ---- what has happened to a connection ---- */

/* It can carry messages: its age counts from now on, and connections of higher tiers retire. */
void upstream_pool_on_ready(struct upstream_pool *pool, struct upstream *upstream);
/* It is not exclusive any more: it retires if there are too many. */
void upstream_pool_on_released(struct upstream_pool *pool, struct upstream *upstream);
/* It is old: it retires, unless too many retire already. */
void upstream_pool_on_old(struct upstream_pool *pool, struct upstream *upstream);
/* It has ended: it leaves the pool. If it was of no use, the next dial waits. */
void upstream_pool_on_ended(struct upstream_pool *pool, struct upstream *upstream, enum end_reason reason);
/* A message got through: dials need no back-off. */
void upstream_pool_on_settled(struct upstream_pool *pool);

/* The addresses have changed: connections whose address is gone retire. */
void upstream_pool_endpoints_changed(struct upstream_pool *pool);
/* The credentials have changed: all connections retire. */
void upstream_pool_retire_all(struct upstream_pool *pool);

#endif
