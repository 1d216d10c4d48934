/* The routes of the process: begins them, finds them by name, ends them, and answers for all of them.
 *
 * Owns the routes. Lives on the loop of the control thread. */
#ifndef HUSK_ROUTES_H
#define HUSK_ROUTES_H

#include "route.h"

struct routes_options {
    const struct process_options *process; /* borrowed, as are the next three */
    struct ev_loop *loop;
    struct worker_group *workers;
    struct log *log;
    /* Nothing uses these options any more: their route is gone, or runs with other options. NULL: the
     * owner does not need the call. */
    void (*on_unused)(void *owner, struct options *options);
    void *owner;
};

struct routes {
    struct route_process process; /* what each route gets */
    void (*on_unused)(void *owner, struct options *options);
    void *owner;
    TAILQ_HEAD(, route) list; /* in the order of their begin */
    unsigned left_behind;     /* connections and messages that ended routes left undelivered */
    uint64_t reloads_succeeded, reloads_failed; /* of ended routes */
};

/* `routes` must not move in memory afterwards. */
void routes_init(struct routes *routes, const struct routes_options *options);
/* Closes all routes; on_unused follows for each. The workers have stopped, or none was started. Returns the
 * number of connections and messages left undelivered, also by routes that ended before. */
unsigned routes_close(struct routes *routes);

/* ---- at the start of the process ---- */

/* Prepares another route: loads its credentials and opens its sockets. Borrows `options`, which do not move,
 * until routes_close or on_unused. A failure leaves nothing behind. */
MUST_CHECK bool routes_prepare(struct routes *routes, struct options *options, struct fault *fault);
/* Starts all routes that are prepared, after the workers. */
MUST_CHECK bool routes_start(struct routes *routes, struct fault *fault);
/* route_answer_heartbeats for all routes. */
void routes_answer_heartbeats(struct routes *routes);
/* Logs the addresses of all routes. */
void routes_log_addresses(const struct routes *routes);

/* ---- at run time ---- */

/* The route with this name that does not retire; NULL: there is none. Borrowed. */
struct route *routes_find(struct routes *routes, const char *name);
/* Prepares, starts and logs another route. As routes_prepare. */
MUST_CHECK bool routes_add(struct routes *routes, struct options *options, struct fault *fault);
/* A route is changed by route_change, and removed by route_retire. on_unused follows, for the options before.
 */

/* ---- events of the process ---- */

void routes_reload(struct routes *routes);
void routes_drain(struct routes *routes);
/* Call it about once a second. */
void routes_watch(struct routes *routes);

/* ---- answers ---- */

/* True when every route is ready. Appends why a route is not ready, and notes, to `text`, one per line. If
 * there are several routes, each line begins with the name of its route. */
bool routes_describe(const struct routes *routes, char *text, size_t size);
/* Fills what the routes know. The pointers are valid until the next call. */
void routes_snapshot(struct routes *routes, struct metrics_snapshot *snapshot);
/* Sums over the routes. */
uint64_t routes_connections(const struct routes *routes);
struct drain_activity routes_activity(const struct routes *routes);

#endif
