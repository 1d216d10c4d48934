/* The routes of the process: begins them, finds them by name, ends them, and answers for all of them.
 *
 * Owns the routes. Lives on the loop of the control thread. */
#ifndef HUSK_ROUTES_H
#define HUSK_ROUTES_H

#include "route.h"

struct routes_options {
    const struct process_options *process; /* borrowed, as are the next four */
    struct ev_loop *loop;
    struct worker_group *workers;
    struct tokens *tokens;
    struct log *log;
    struct inherited *inherited; /* sockets that the routes may take; NULL: none */
    /* Nothing uses these options any more: their route is gone, or runs with other options. NULL: the
     * owner does not need the call. */
    void (*on_unused)(void *owner, struct options *options);
    void *owner;
};

struct routes {
    struct route_process process; /* what each route gets */
    struct reloads reloads;
    void (*on_unused)(void *owner, struct options *options);
    void *owner;
    TAILQ_HEAD(, route) list;     /* in the order of their begin */
    uint64_t removed_undelivered; /* connections and messages of removed routes, since these were removed */
    uint64_t reloads_succeeded, reloads_failed; /* of ended routes */
};

/* `routes` must not move in memory afterwards. */
void routes_init(struct routes *routes, const struct routes_options *options);
/* Closes all routes; on_unused follows for each. The workers have stopped, or none was started. Returns the
 * number of connections and messages left undelivered now; what removed routes left is not counted again. */
unsigned routes_close(struct routes *routes);

/* ---- begin ---- */

/* Begins the streams of the Workload APIs that a route with these options needs. */
MUST_CHECK bool routes_want_credentials(struct routes *routes, const struct options *options,
                                        struct fault *fault);
/* Prepares another route (route_prepare), and lists it. Borrows `options`, which do not move, until
 * routes_close or on_unused. NULL: a failure, which leaves nothing behind. */
struct route *routes_prepare(struct routes *routes, struct options *options, struct fault *fault);
/* Frees a route that no worker has. */
void routes_drop(struct routes *routes, struct route *route);
/* Opens what all routes that are prepared need to start, after the workers. */
MUST_CHECK bool routes_open(struct routes *routes, struct fault *fault);
/* Starts these routes. They listen. */
void routes_start(struct routes *routes);
/* route_answer_heartbeats for all routes. */
void routes_answer_heartbeats(struct routes *routes);
/* Logs the addresses of all routes. */
void routes_log_addresses(const struct routes *routes);

/* ---- at run time ---- */

/* The route with this name that runs; NULL: there is none. Borrowed. */
struct route *routes_find(struct routes *routes, const char *name);
/* A route is changed by route_change_begin, and removed by route_retire. on_unused follows for the former
 * options. */

/* ---- events of the process ---- */

/* Loads the files of all routes again. A file that a route has loaded since reloads_begin is not loaded once
 * more, unless it has changed. */
void routes_reload(struct routes *routes);
void routes_drain(struct routes *routes);
/* Another process has the listening sockets of all routes, too, and goes on. */
void routes_hand_over(struct routes *routes);
/* The other process has ended before it has taken over: routes that refused connections refuse them again. */
void routes_refuse_again(struct routes *routes);
/* Whether no route takes connections any more. */
bool routes_have_retired(const struct routes *routes);
/* The files of Unix sockets stay when the routes are closed. */
void routes_give_up_files(struct routes *routes);
/* Call it about once a second. */
void routes_watch(struct routes *routes);

/* ---- answers ---- */

/* True when every route is ready. Appends why a route is not ready, and notes, to `text`, one per line. If
 * there are several routes, each line about a route begins with its name. */
bool routes_describe(const struct routes *routes, char *text, size_t size);
/* Fills what the routes know. The pointers are valid until the next call. */
void routes_snapshot(struct routes *routes, struct metrics_snapshot *snapshot);
/* Sums over the routes. */
uint64_t routes_connections(const struct routes *routes);
struct drain_activity routes_activity(const struct routes *routes);

#endif
