/* One running route: its options, and everything that runs for it: credentials with their reload, discovery,
 * readiness, heartbeats, and its part of each worker.
 *
 *   NEW ──prepare──▶ PREPARED ──start──▶ RUNNING ──retire──▶ RETIRING ──quiet, or late──▶ ENDING ──on_retired
 *
 * Owns these parts, and borrows its options. Lives on the loop of the control thread. */
#ifndef HUSK_ROUTE_H
#define HUSK_ROUTE_H

#include "base/metrics.h"
#include "control/discovery.h"
#include "control/drain.h"
#include "control/readiness.h"
#include "control/reload.h"
#include "options.h"
#include "route_certificates.h"
#include "route_heartbeat.h"
#include "worker/route_group.h"

#include <sys/queue.h>

struct route;
struct route_change;

/* What the routes of the process share. All borrowed. */
struct route_process {
    const struct process_options *options;
    struct ev_loop *loop;
    struct worker_group *workers;
    struct reloads *reloads;
    struct inherited *inherited; /* sockets that the routes may take; NULL: none */
    struct log *log;
    /* After route_retire: no worker has the route any more. Frees the route with route_close. */
    void (*on_retired)(void *owner, struct route *route);
    /* After route_change_begin: nothing uses the former options any more. */
    void (*on_unused)(void *owner, struct options *options);
    void *owner;
};

enum route_state { ROUTE_NEW, ROUTE_PREPARED, ROUTE_RUNNING, ROUTE_RETIRING, ROUTE_ENDING };

struct route {
    TAILQ_ENTRY(route) sibling;          /* in the list of routes */
    const struct route_process *process; /* borrowed */
    struct options *options;             /* borrowed */
    enum route_state state;
    bool is_draining; /* the process is going to end */
    struct route_group group;
    struct reload reload;
    struct discovery *discovery; /* owned */
    struct readiness readiness;
    struct route_certificates certificates;
    struct route_heartbeat heartbeat;
    struct drain retirement; /* the rule alone: when a retiring route ends */
    ev_timer tick;           /* runs while the route retires */
    struct metrics_route metrics;
    LIST_HEAD(, route_change) changes; /* that the workers have not made yet; owned */
};

/* ---- begin: the steps in this order. Nobody outside sees the route before route_listen ---- */

/* Loads the credentials and binds the listening sockets: everything that a user can get wrong. `route` is all
 * zeros, but for `sibling`. Borrows `process` and `options` until route_close; `options` is changed only here
 * and in route_change_new. The route must not move in memory afterwards. Call route_close also after a
 * failure. */
MUST_CHECK bool route_prepare(struct route *route, const struct route_process *process,
                              struct options *options, struct fault *fault);
/* Listens: connections wait in the kernel's queue. */
MUST_CHECK bool route_listen(struct route *route, struct fault *fault);
/* Opens what route_start needs; the workers run. Before or after route_listen. */
MUST_CHECK bool route_open(struct route *route, struct fault *fault);
/* Begins to accept connections. */
void route_start(struct route *route);

/* ---- changes, in three steps, so that several routes change together or not at all ---- */

/* Opens what `options` need; name and protocol must be the same. Borrows `options`. The route runs. NULL: a
 * failure, which changes nothing. */
struct route_change *route_change_new(struct route *route, struct options *options, struct fault *fault);
/* What to listen on: route_group_change_binding. */
struct listening_change *route_change_binding(const struct route_change *change);
/* Takes `change`. Connections go on where the new options allow it. on_unused follows for the old options. */
void route_change_begin(struct route_change *change);
/* Nothing has changed. NULL is fine. */
void route_change_cancel(struct route_change *change);

/* ---- a route that runs ---- */

/* Answers heartbeats at the addresses of the route where it does not answer them yet, if the route runs. Call
 * it after route_start and route_change_begin, when no other route has the addresses any more. */
void route_answer_heartbeats(struct route *route);
/* Logs the addresses where the route listens. */
void route_log_addresses(const struct route *route);
/* Ends the route at run time: it listens no more, connections end between two messages, and the others end
 * after --drain-quiet without traffic, or after --drain-timeout. on_retired follows. Harmless the second
 * time. */
void route_retire(struct route *route);
/* Another process has the listening sockets, too, and goes on: as route_retire, but the files of Unix sockets
 * stay, and the route lives until the process ends. */
void route_hand_over(struct route *route);
/* Frees the route, before route_start, after on_retired, or after the workers have stopped. Returns the
 * number of connections and messages left undelivered. Safe on all zeros. */
unsigned route_close(struct route *route);

/* ---- events of the process ---- */

/* Loads the credentials again (SIGHUP). */
void route_reload(struct route *route);
/* The process is going to end. */
void route_drain(struct route *route);
/* Call it about once a second. */
void route_watch(struct route *route);

/* ---- answers ---- */

/* Writes why the route is not ready, see readiness_describe. */
bool route_describe(const struct route *route, char *text, size_t size);
/* The current values for a scrape. Borrowed until the next call; `next` is the caller's. */
struct metrics_route *route_metrics(struct route *route);
/* Whether a worker of the route may still listen where `address` would. */
bool route_may_listen(const struct route *route, const struct socket_address *address);
/* What a drain measures. */
struct drain_activity route_activity(const struct route *route);

#endif
