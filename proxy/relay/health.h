/* Is the upstream there? A bare TCP connect from time to time, for readiness; no traffic depends on it.
 *
 * Owns its timer and its one connection attempt; lives on the control thread's loop. */
#ifndef HUSK_RELAY_HEALTH_H
#define HUSK_RELAY_HEALTH_H

#include "base/end_reason.h"
#include "relay/endpoint.h"

#include <ev.h>
#include <stdbool.h>

struct health {
    struct ev_loop *loop;
    double interval_seconds;
    double timeout_seconds;
    struct endpoint_list *list; /* shared; NULL: not resolved */
    size_t at;                  /* address under trial */
    int fd;                     /* -1: no attempt under way */
    ev_io watcher;
    ev_timer timer;          /* the attempt's deadline, or the next round */
    bool known;              /* a round has been finished */
    enum end_reason failure; /* of the last round: END_NONE when an address answered */
};

/* Idle until the first health_replace. interval_ms 0: never probes, and `known` stays false. */
void health_open(struct health *health, struct ev_loop *loop, uint64_t interval_ms, uint64_t timeout_ms);
void health_close(struct health *health);

/* Takes a reference to `list` and begins a round at once. */
void health_replace(struct health *health, struct endpoint_list *list);

#endif
