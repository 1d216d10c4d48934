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
    const char *route;           /* the name; used until route_group_begin, as is the next one */
    struct inherited *inherited; /* sockets that the route may take; NULL: none */
    struct worker_group *workers;
    struct ev_loop *loop;  /* the control thread's */
    unsigned worker_count; /* of `workers` when it is started */
    struct log *log;
    void (*on_ended)(void *owner); /* after route_group_end: no worker knows the route any more */
    void *owner;
};

struct route_group_change;

/* In this order; RUNNING leads to ENDING also at once. */
enum route_group_state {
    ROUTE_GROUP_CLOSED,
    ROUTE_GROUP_RUNNING,
    ROUTE_GROUP_RETIRING, /* workers may still take connections that wait at a socket */
    ROUTE_GROUP_RETIRED,  /* no new connection comes any more */
    ROUTE_GROUP_ENDING,
    ROUTE_GROUP_FORGETTING, /* all connections have ended */
};

/* Zero-initialise. */
struct route_group {
    struct route_group_options options;
    enum route_group_state state;
    bool is_end_due; /* RETIRING: route_group_end was called */
    struct listening listening;
    struct listening_change *binding; /* owned; until route_group_begin */
    struct worker_route *routes;      /* one per worker */
    struct worker_route_peers peers;
    struct receipt receipt;                  /* of the items of the end */
    LIST_HEAD(, route_group_change) changes; /* that the workers have not made yet; owned */
    const struct metrics **metrics;          /* of each worker; owned array */
};

/* Binds the listening sockets: nobody can connect yet. The fault names no setting. The group must not move in
 * memory afterwards. Call route_group_close also after a failure. */
MUST_CHECK bool route_group_bind(struct route_group *group, const struct route_group_options *options,
                                 const struct listening_options *listen, struct fault *fault);
/* The workers run: makes their parts of the route, each with a copy of `route` and references of its own to
 * `credentials`. */
MUST_CHECK bool route_group_open(struct route_group *group, const struct route_options *route,
                                 struct credentials *const credentials[SIDE_COUNT], struct fault *fault);
/* Listens: connections wait in the kernel's queue. After route_group_bind. */
MUST_CHECK bool route_group_listen(struct route_group *group, struct fault *fault);
/* The workers begin to accept connections. After the other three. */
void route_group_begin(struct route_group *group);
/* Closes what no worker has, removes the files of Unix sockets and frees the memory. Call it only before
 * route_group_open, after on_ended, or after worker_group_stop and before worker_group_free. Returns the
 * number of connections and messages with undelivered bytes. Safe on all zeros. */
unsigned route_group_close(struct route_group *group);

/* ---- the end at run time ---- */

/* The route listens no more, and has no file of a Unix socket. Connections that wait at its sockets are
 * taken. Its downstream connections end between two messages, tunnels when a peer ends them. */
void route_group_retire(struct route_group *group);
/* The same, while another process goes on at the sockets. The files stay. */
void route_group_hand_over(struct route_group *group);
/* Whether all workers have retired the route: no connection waits to be taken. */
bool route_group_has_retired(const struct route_group *group);
/* Ends what is left of the route. on_ended follows in a later turn of the loop. Harmless the second time. */
void route_group_end(struct route_group *group);

/* ---- changes, for all workers; ignored unless the route runs ---- */

/* A change, in three steps, so that several routes change together or not at all. Connections at an address
 * that stays are not refused in between. Binds the new addresses of `listen`. Borrows `group`, which runs.
 * The fault names no setting. NULL: a failure, which changes nothing. */
struct route_group_change *route_group_change_new(struct route_group *group,
                                                  const struct listening_options *listen,
                                                  struct fault *fault);
/* What to listen on, for listening_change_set_rights and listening_change_listen. Borrowed until the change
 * begins. */
struct listening_change *route_group_change_binding(const struct route_group_change *change);
/* Takes `change`. Each worker goes on with what `to` has, which is copied and shared, and its connections
 * with the new rules after their current messages. on_changed is called when no worker reads the old options
 * any more; never if the route ends before. */
void route_group_change_begin(struct route_group_change *change, const struct worker_route_change *to,
                              void (*on_changed)(void *owner), void *owner);
/* Nothing has changed. NULL is fine. */
void route_group_change_cancel(struct route_group_change *change);
/* NULL on a side: no change there. */
void route_group_replace_credentials(struct route_group *group,
                                     struct credentials *const credentials[SIDE_COUNT]);
/* NULL: no name of the upstream resolves. */
void route_group_replace_endpoints(struct route_group *group, struct endpoint_list *list);
/* This process is going to end: messages that wait for a retry do not wait for long any more. */
void route_group_drain(struct route_group *group);
/* The upstream fails meanwhile: connections of peers that send unsettled messages again end. */
void route_group_shed(struct route_group *group);
/* Whether the route listens at sockets that can refuse connections and accept them again. */
bool route_group_can_refuse(const struct route_group *group);
/* Refuses new connections, or accepts them again. */
void route_group_refuse(struct route_group *group);
void route_group_admit(struct route_group *group);

/* ---- sums over the workers ---- */

/* After on_ended: messages that the route gave up while it retired. */
uint64_t route_group_given_up(const struct route_group *group);
/* Accepted connections that have not ended, also those on their way from one worker to another. */
uint64_t route_group_connections(const struct route_group *group);
/* A number that changes with each new connection and each byte that moves. */
uint64_t route_group_activity(const struct route_group *group);
/* Whether a worker has unsettled messages. */
bool route_group_has_unsettled(const struct route_group *group);
/* The outcome of the newest dial of all workers, and whether one of them awaits the first connection. */
struct dialer_outcome route_group_last_dial(const struct route_group *group);
/* The number of workers that have counters, in `metrics`. */
unsigned route_group_size(const struct route_group *group);

#endif
