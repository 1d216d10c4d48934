/* A connection we dial: a leg, and the way from an upstream's name to being fit for traffic.
 *
 *   RESOLVING ─▶ CONNECTING ─▶ SECURING ─▶ CONFIRMING ─▶ READY
 *                    ▲             │            │
 *                    └─ next address ◀──────────┘
 *
 * Owns its leg and its walk over the addresses. Whoever conducts it calls outlet_advance when anything
 * happens. Belongs to its worker's thread. */
#ifndef HUSK_LINK_OUTLET_H
#define HUSK_LINK_OUTLET_H

#include "link/endpoint.h"
#include "wire/leg.h"

struct worker;

enum outlet_state {
    OUTLET_RESOLVING, /* the name has no address yet */
    OUTLET_CONNECTING,
    OUTLET_SECURING,   /* TLS handshake */
    OUTLET_CONFIRMING, /* TLS 1.3: has the server accepted our certificate? */
    OUTLET_READY
};

struct outlet {
    struct leg leg;
    struct worker *worker; /* borrowed */
    enum outlet_state state;
    uint64_t deadline_ms; /* clock_monotonic_ms; 0: none */
    struct endpoint_walk walk;
    const struct endpoint *endpoint; /* of the current attempt, in the walk; NULL before the first. Its tally
                                        counts the outlet in its state */
    leg_on_ready *on_ready;
    void *owner;
};

/* Nothing is dialled before the first outlet_advance. */
void outlet_open(struct outlet *outlet, struct worker *worker, leg_on_ready *on_ready, void *owner);

/* Before the first outlet_advance: dials the endpoint at `at` of the pool's list, and no other. */
void outlet_aim(struct outlet *outlet, size_t at);

/* Goes as far as it can. END_NONE while it lives; else why the last address failed, its leg still open for
 * its detail. Bytes that come along with the end of the handshake are put into `early`. */
enum end_reason outlet_advance(struct outlet *outlet, struct buffer *early);

/* Of the current attempt; NULL before the first, and once it is closed. Borrowed from the walk. */
const struct socket_address *outlet_address(const struct outlet *outlet);

/* The state as log lines call it: "resolve", "connect", "handshake", "confirm", "relay". */
const char *outlet_state_name(enum outlet_state state);

/* Whether the leg wants to read in this state. */
bool outlet_reads(const struct outlet *outlet);

void outlet_close(struct outlet *outlet, enum leg_closing closing);

#endif
