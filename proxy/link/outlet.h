/* A connection we dial: a leg, and the steps from an upstream's name to a connection fit for traffic.
 *
 *   RESOLVING ─▶ CONNECTING ─▶ SECURING ─▶ CONFIRMING ─▶ READY
 *                    ▲             │            │
 *                    └─ next address ◀──────────┘
 *
 * Owns its leg and its walk over the addresses. Its owner calls outlet_advance when anything happens. Belongs
 * to its worker's thread. */
#ifndef HUSK_LINK_OUTLET_H
#define HUSK_LINK_OUTLET_H

#include "link/dialer.h"
#include "wire/leg.h"

enum outlet_state {
    OUTLET_RESOLVING, /* the name has no address yet */
    OUTLET_CONNECTING,
    OUTLET_SECURING,   /* TLS handshake */
    OUTLET_CONFIRMING, /* TLS 1.3: has the server accepted our certificate? */
    OUTLET_READY
};

struct outlet {
    struct leg leg;
    struct dialer *dialer; /* borrowed */
    struct task *task;     /* borrowed: its owner */
    enum outlet_state state;
    uint64_t deadline_ms; /* in the reactor's now_ms; 0: none */
    struct endpoint_walk walk;
    const struct endpoint *endpoint; /* of the current attempt, in the walk; NULL before the first. Its stats
                                        count the outlet in its state */
};

/* Dials nothing before the first outlet_advance. Runs `task` when something may be possible. */
void outlet_open(struct outlet *outlet, struct dialer *dialer, struct task *task);

/* Before the first outlet_advance: dials the endpoint at index `at` of the dialer's list, and no other. */
void outlet_aim(struct outlet *outlet, size_t at);

/* Goes as far as it can. END_NONE while it lives; else why the last address failed, its leg still open for
 * its detail. Bytes that arrive with the end of the handshake are put into `received`. */
enum end_reason outlet_advance(struct outlet *outlet, struct buffer *received);

/* A ready connection was of no use: its address counts as failed. */
void outlet_blame_endpoint(struct outlet *outlet);

/* Of the current attempt; NULL before the first, and once it is closed. Borrowed from the walk. */
const struct socket_address *outlet_address(const struct outlet *outlet);

/* The state as log lines name it: "resolve", "connect", "handshake", "confirm", "relay". */
const char *outlet_state_name(enum outlet_state state);

/* Sets the interest of the leg while the outlet is not ready. */
void outlet_watch(struct outlet *outlet);

void outlet_close(struct outlet *outlet, enum leg_closing closing);

#endif
