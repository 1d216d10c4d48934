/* Probes whether the upstream accepts connections: a bare TCP connect from time to time. Only readiness
 * depends on it; traffic never does.
 *
 * Owns its timer and its one connection attempt; lives on the loop of the control thread. */
#ifndef HUSK_CONTROL_HEALTH_H
#define HUSK_CONTROL_HEALTH_H

#include "base/end_reason.h"
#include "link/endpoint.h"

#include <ev.h>
#include <stdbool.h>

struct health_options {
    uint64_t interval_ms; /* 0: never probes; after a failed round the next one comes sooner */
    uint64_t timeout_ms;  /* for one address */
    /* HEALTH_UNTIL_GOOD probes no more after a good round, until health_refresh. A TLS server takes a bare
     * connect for a failed handshake, and may log it; the dials for messages report as much. */
    enum health_persistence { HEALTH_ALWAYS, HEALTH_UNTIL_GOOD } persistence;
};

struct health {
    struct ev_loop *loop;
    struct health_options options;
    struct endpoint_list *list; /* shared; NULL: not resolved */
    size_t at;                  /* the address that is tried, in the list */
    int fd;                     /* -1: no attempt under way */
    ev_io watcher;
    ev_timer timer;                 /* the attempt's deadline, or the next round */
    bool is_known;                  /* a round has ended */
    enum end_reason failure;        /* of the last round; END_NONE: an address answered */
    struct socket_address answered; /* the address that answered, if one did */
    uint64_t ended_ms;              /* of the last round, clock_monotonic_ms */
    uint64_t retry_ms;              /* until the next round, if this one fails; not more than the interval */
};

/* Idle until the first health_replace. Without an interval it never probes, and `is_known` stays false. */
void health_open(struct health *health, struct ev_loop *loop, const struct health_options *options);
void health_close(struct health *health);

/* Takes over the caller's reference to `list` and begins a round at once. Until the new round ends, the
 * result of the last round stays. */
void health_replace(struct health *health, struct endpoint_list *list);
/* The same for the first list, after the probes of `before`, which stop. The result of the last round stays
 * if `list` has the address that answered; or if none answered, and `list` has no other address. If both
 * lists have the same addresses and no round is under way, the next round begins when the next round of
 * `before` would begin, and at the latest after the own interval. */
void health_follow(struct health *health, struct endpoint_list *list, struct health *before);

/* Begins a round if probing has ended with a good one: something failed since. */
void health_refresh(struct health *health);

#endif
