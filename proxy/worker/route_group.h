/* One route on all workers: opens its listening sockets, brings it to the workers, passes changes to all of
 * them, and ends it there.
 *
 *   CLOSED ──open──▶ RUNNING ──retire──▶ RETIRING ──end──▶ ENDING ──on_ended──▶ CLOSED
 *                       └────────────────end─────────────────▲
 *
 * Owns what the route listens on, and the memory of its parts on the workers. Belongs to the control thread;
 * talks to the workers only through their mailboxes and their counters. */
#ifndef HUSK_WORKER_ROUTE_GROUP_H
#define HUSK_WORKER_ROUTE_GROUP_H

#include "base/fault.h"
#include "base/log.h"
#include "base/metrics.h"
#include "runtime/route.h"
#include "worker/listening.h"
#include "worker/worker_group.h"

#include <stdbool.h>
#include <stdint.h>

/* All borrowed. The workers may be started after route_group_bind. */
struct route_group_options {
    struct worker_group *workers;
    struct ev_loop *loop;  /* the control thread's */
    unsigned worker_count; /* of `workers` when it is started */
    struct log *log;
    void (*on_ended)(void *owner); /* after route_group_end: no worker knows the route any more */
    void *owner;
};

struct route_group_change;

enum route_group_state { ROUTE_GROUP_CLOSED, ROUTE_GROUP_RUNNING, ROUTE_GROUP_RETIRING, ROUTE_GROUP_ENDING };

/* Zero-initialise. */
struct route_group {
    struct route_group_options options;
    enum route_group_state state;
    bool is_forgetting; /* ENDING: all connections have ended */
    struct listening listening;
    struct worker_route *routes; /* one per worker */
    struct worker_route_peers peers;
    struct receipt receipt;                  /* of the items of the end */
    LIST_HEAD(, route_group_change) changes; /* that the workers have not made yet; owned */
    const struct metrics **metrics;          /* of each worker; owned array */
};

/* Opens the listening sockets; connections wait in the kernel's queue. The fault names no setting. The group
 * must not move in memory afterwards. Call route_group_close also after a failure. */
MUST_CHECK bool route_group_bind(struct route_group *group, const struct route_group_options *options,
                                 const struct listening_options *listen, struct fault *fault);
/* The workers begin to accept connections, each with a copy of `route` and references of its own to
 * `credentials`. */
MUST_CHECK bool route_group_open(struct route_group *group, const struct route_options *route,
                                 struct credentials *const credentials[SIDE_COUNT], struct fault *fault);
/* Closes what no worker has, removes the files of Unix sockets and frees the memory. Call it only before
 * route_group_open, after on_ended, or after worker_group_stop and before worker_group_free. Returns the
 * number of connections and messages with undelivered bytes. Safe on all zeros. */
unsigned route_group_close(struct route_group *group);

/* ---- the end at run time ---- */

/* The route listens no more. Its downstream connections end between two messages, tunnels when a peer ends
 * them. */
void route_group_retire(struct route_group *group);
/* Ends what is left of the route. on_ended follows in a later turn of the loop. Harmless the second time. */
void route_group_end(struct route_group *group);

/* ---- changes, for all workers; ignored unless the route runs ---- */

/* A change of the options, in two steps, so that the second cannot fail. NULL when out of memory. Free it
 * with route_group_change_free, unless it begins. */
struct route_group_change *route_group_change_new(struct route_group *group, void (*on_changed)(void *owner),
                                                  void *owner);
void route_group_change_free(struct route_group_change *change);
/* Takes `change`. The route runs. Each worker goes on with a copy of `route`, whose `protocol` is the same as
 * before, and its connections with the new rules after their current messages. on_changed is called when no
 * worker reads the old options any more; never if the route ends before. */
void route_group_change_begin(struct route_group_change *change, const struct route_options *route);
/* Listens at the addresses of `listen`. Connections at an address that stays are not refused in between. The
 * route runs. A failure changes no address; the fault names no setting. */
MUST_CHECK bool route_group_listen(struct route_group *group, const struct listening_options *listen,
                                   struct fault *fault);
/* NULL on a side: that side is plaintext from now on. */
void route_group_set_credentials(struct route_group *group,
                                 struct credentials *const credentials[SIDE_COUNT]);
/* NULL on a side: no change there. */
void route_group_replace_credentials(struct route_group *group,
                                     struct credentials *const credentials[SIDE_COUNT]);
/* NULL: no name of the upstream resolves. */
void route_group_replace_endpoints(struct route_group *group, struct endpoint_list *list);
/* This process is going to end: messages that wait for a retry do not wait for long any more. */
void route_group_drain(struct route_group *group);
/* Refuses new connections, or accepts them again. */
void route_group_refuse(struct route_group *group);
void route_group_admit(struct route_group *group);

/* ---- sums over the workers ---- */

/* Accepted connections that have not ended. */
uint64_t route_group_connections(const struct route_group *group);
/* A number that changes with each new connection and each byte that moves. */
uint64_t route_group_activity(const struct route_group *group);
/* Whether a worker has unsettled messages. */
bool route_group_has_unsettled(const struct route_group *group);
/* The outcome of the newest dial of all workers. */
struct dialer_outcome route_group_last_dial(const struct route_group *group);
/* The number of workers that have counters, in `metrics`. */
unsigned route_group_size(const struct route_group *group);

#endif
