/* The workers of a route: opens their listening sockets, starts them, passes changes to all of them, stops
 * them.
 *
 * Owns the workers and what they listen on. Belongs to the control thread; talks to the workers only through
 * their mailboxes and their counters. */
#ifndef HUSK_WORKER_WORKER_GROUP_H
#define HUSK_WORKER_WORKER_GROUP_H

#include "base/fault.h"
#include "base/log.h"
#include "base/metrics.h"
#include "runtime/route.h"
#include "worker/listening.h"
#include "worker/worker.h"

#include <stdbool.h>
#include <stdint.h>

enum { WORKER_GROUP_MAX = 64 };

struct worker_group_options {
    const struct route_options *route;      /* borrowed */
    struct log *log;                        /* borrowed */
    const struct listening_options *listen; /* borrowed */
    unsigned workers;                       /* 1 to WORKER_GROUP_MAX */
};

/* Zero-initialise. */
struct worker_group {
    struct worker_group_options options;
    struct listening listening;
    unsigned started; /* workers that run */
    struct worker *workers;
    struct worker_peers peers;
    const struct metrics *metrics[WORKER_GROUP_MAX]; /* of each started worker */
};

/* Opens the listening sockets; connections wait in the kernel's queue. The fault names no setting. Call
 * worker_group_stop also after a failure. */
MUST_CHECK bool worker_group_bind(struct worker_group *group, const struct worker_group_options *options,
                                  struct fault *fault);
/* Starts the workers, each with references of its own to `credentials`. */
MUST_CHECK bool worker_group_start(struct worker_group *group,
                                   struct credentials *const credentials[SIDE_COUNT], struct fault *fault);
/* Ends and frees the workers, closes the listening descriptors and removes the file of a Unix socket. Returns
 * the number of connections and messages with undelivered bytes. Safe on all zeros. */
unsigned worker_group_stop(struct worker_group *group);

/* ---- changes, for all workers ---- */

/* NULL on a side: no change there. */
void worker_group_replace_credentials(struct worker_group *group,
                                      struct credentials *const credentials[SIDE_COUNT]);
/* NULL: no name of the upstream resolves. */
void worker_group_replace_endpoints(struct worker_group *group, struct endpoint_list *list);
/* This process is going to end: messages that wait for a retry do not wait for long any more. */
void worker_group_drain(struct worker_group *group);
/* Refuses new connections, or accepts them again. */
void worker_group_refuse(struct worker_group *group);
void worker_group_admit(struct worker_group *group);

/* ---- sums over the workers ---- */

/* Accepted connections that have not ended. */
uint64_t worker_group_connections(const struct worker_group *group);
/* A number that changes with each new connection and each byte that moves. */
uint64_t worker_group_activity(const struct worker_group *group);
/* Whether a worker has unsettled messages. */
bool worker_group_has_unsettled(const struct worker_group *group);
/* The outcome of the newest dial of all workers. */
struct dialer_outcome worker_group_last_dial(const struct worker_group *group);

#endif
