/* One route on one worker: its listener, its connections, its counters.
 *
 * Owns everything its connections use, with a copy of the route's options; shares credentials and endpoint
 * lists with the other workers. The control thread makes it; after MAILBOX_BEGIN it belongs to the thread of
 * its worker, and other threads write to it through the worker's mailbox alone. Every thread may read its
 * counters and its number of connections. */
#ifndef HUSK_WORKER_WORKER_ROUTE_H
#define HUSK_WORKER_WORKER_ROUTE_H

#include "delivery/delivery.h"
#include "link/transport.h"
#include "tcp/tunnels.h"
#include "worker/admission.h"
#include "worker/listener.h"
#include "worker/mailbox.h"

#include <sys/queue.h>

/* The same route on all workers: an accepted connection can be passed to another worker. */
struct worker_route_peers {
    struct worker_route *items; /* do not move in memory */
    _Atomic unsigned count;     /* 0: none may be used */
};

struct worker_route_options {
    const struct route_options *route; /* copied */
    struct reactor *reactor;           /* borrowed, as are the others: of its worker */
    struct mailbox *mailbox;           /* of its worker */
    struct log *log;
    const struct worker_route_peers *peers;
    bool is_first; /* the worker that opens the first connection of the route */
};

/* What a route has from now on. */
struct worker_route_change {
    struct route_options options;                /* `protocol` is the same as before */
    struct credentials *credentials[SIDE_COUNT]; /* shared; NULL: that side is plaintext */
    struct endpoint_list *endpoints; /* shared; NULL: as before; without an address: not known yet */
};

enum worker_route_state {
    WORKER_ROUTE_NEW,   /* all zeros, or not begun */
    WORKER_ROUTE_BEGUN, /* accepts connections, or retires */
    WORKER_ROUTE_ENDED, /* has no connection */
    WORKER_ROUTE_FREED,
};

struct worker_route {
    LIST_ENTRY(worker_route) sibling; /* among the routes of its worker */
    struct mailbox *mailbox;          /* borrowed, as are the next two */
    struct log *log;
    const struct worker_route_peers *peers;
    bool is_first; /* see the options; false when the route drains */
    enum worker_route_state state;
    struct mailbox_item
        end; /* MAILBOX_END, then MAILBOX_FORGET: they need no memory; of the control thread */
    struct listener_fd *fds; /* owned; until the route begins; of the control thread */
    unsigned fd_count;
    struct route_options options;
    struct transport transport;
    struct delivery delivery; /* the connections of `protocol: forward` */
    struct tunnels tunnels;   /* the connections of `protocol: tcp` */
    struct listener listener;
    struct admission admission;
    uint64_t given_up_before; /* messages, until the route retired */
    uint64_t given_up;        /* messages, from then on until the end */
    unsigned left_behind;     /* connections and messages with undelivered bytes at the end */
};

/* On the control thread. Takes one reference of the caller to each of `credentials` (NULL: that side is
 * plaintext), also on failure. The route must not move in memory afterwards. Call worker_route_deinit also
 * after a failure. */
MUST_CHECK bool worker_route_init(struct worker_route *route, const struct worker_route_options *options,
                                  struct credentials *const credentials[SIDE_COUNT], struct fault *fault);
/* On the control thread, before MAILBOX_BEGIN: takes the descriptors to listen on, at least one. */
void worker_route_set_fds(struct worker_route *route, struct listener_fds *fds);
/* Frees what the route owns. Safe on all zeros, and harmless the second time. After worker_route_begin: on
 * the thread of the worker, at least one turn of the loop after worker_route_end; or after that thread has
 * ended. */
void worker_route_deinit(struct worker_route *route);

/* ---- on the thread of the worker ---- */

/* Begins to accept connections. */
void worker_route_begin(struct worker_route *route);
/* Ends all connections and sets `left_behind` and `given_up`. Harmless the second time. */
void worker_route_end(struct worker_route *route);
/* Does what the item says: any kind but those that worker/worker.c handles. */
void worker_route_receive(struct worker_route *route, const struct mailbox_item *item);

#endif
