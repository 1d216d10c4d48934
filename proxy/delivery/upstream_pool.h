/* The carriers of one worker, by endpoint: which one takes a message, when another one is dialled, and when
 * one retires.
 *
 * Endpoints of the lowest tier that has any fit for use are the ones in use; among their carriers the one
 * with the least outstanding bytes, by weight, comes first. There is one connection until that is busy; then
 * one to each endpoint, then up to --max-upstream-connections each. Owns the carriers; decides about no message. Belongs
 * to its worker's thread. */
#ifndef HUSK_DELIVERY_UPSTREAM_POOL_H
#define HUSK_DELIVERY_UPSTREAM_POOL_H

#include "base/end_reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct carrier;
struct exchange;
struct worker;

LIST_HEAD(carrier_list, carrier);

struct roster {
    struct worker *worker;     /* borrowed */
    struct exchange *exchange; /* borrowed: what carriers report to */
    struct carrier_list carriers;
    uint64_t redial_at_ms;    /* while every endpoint rests, no dial before it; 0: at once */
    uint64_t redial_delay_ms; /* the next back-off */
    size_t turn;              /* endpoint that is next, other things being equal */
};

void roster_init(struct roster *roster, struct worker *worker, struct exchange *exchange);

/* The carrier for a message of an agent whose last one went to `last` (NULL: none); NULL when none has room.
 * It stays with the last one while that has room and is not much busier than others, so that order is kept
 * where it can be. */
struct carrier *roster_pick(struct roster *roster, struct carrier *last);
/* One to be leased, without anybody's unsettled message: for a stream, or a suspect. NULL when there is none,
 * or enough are leased. */
struct carrier *roster_pick_idle(struct roster *roster);

/* Who had a carrier alone is through: others may use it, unless it is one too many. */
void roster_end_lease(struct roster *roster, struct carrier *carrier);

/* Some carrier is fit for traffic. */
bool roster_is_ready(const struct roster *roster);

/* Why another carrier might be dialled. */
enum roster_need {
    ROSTER_BALANCE, /* endpoints that should have a share have no connection */
    ROSTER_MESSAGE, /* a message waits */
    ROSTER_LEASE,   /* somebody waits for a carrier of its own */
};
/* Dials one if it is worth it and settings allow. Returns when to ask again (worker's now_ms), 0: when
 * something has changed. */
uint64_t roster_dial(struct roster *roster, enum roster_need need);

/* A carrier joins, on being opened, and leaves, on its end; `reason` says why, and is held against its
 * endpoint if it was of no use. */
void roster_join(struct roster *roster, struct carrier *carrier);
void roster_leave(struct roster *roster, struct carrier *carrier, enum end_reason reason);
/* It has become fit for traffic: its age is counted from now on, and carriers of higher tiers retire. */
void roster_ready(struct roster *roster, struct carrier *carrier);
/* A message has got through. */
void roster_note_success(struct roster *roster);

/* The addresses have changed: carriers whose address is gone retire. */
void roster_endpoints_changed(struct roster *roster);
/* One has come of age: it retires, unless too many wait for their last acks already. */
void roster_retire_old(struct roster *roster, struct carrier *carrier);
/* All retire: the credentials they were opened with are no longer in use. */
void roster_retire_all(struct roster *roster);

#endif
