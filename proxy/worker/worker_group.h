/* The workers of the process: starts the threads, and stops them.
 *
 * Owns the workers, and no route. Belongs to the control thread. */
#ifndef HUSK_WORKER_WORKER_GROUP_H
#define HUSK_WORKER_WORKER_GROUP_H

#include "base/fault.h"
#include "base/log.h"
#include "worker/worker.h"

enum { WORKER_GROUP_MAX = 64 };

/* Zero-initialise. */
struct worker_group {
    struct log *log; /* borrowed */
    struct worker *workers;
    unsigned count;  /* workers that were started */
    bool is_stopped; /* their threads have ended */
};

/* Starts `count` workers, 1 to WORKER_GROUP_MAX. Call worker_group_free also after a failure. */
MUST_CHECK bool worker_group_start(struct worker_group *group, unsigned count, struct log *log,
                                   struct fault *fault);
/* Ends all routes on the workers, and the threads. Nothing can be posted afterwards. */
void worker_group_stop(struct worker_group *group);
/* Frees the workers, whose routes were freed before. Stops the threads first if they run. Safe on all
 * zeros. */
void worker_group_free(struct worker_group *group);

/* Posts `item` to the worker `at`. A failure (out of memory) is logged. */
void worker_group_post(struct worker_group *group, unsigned at, struct mailbox_item item);
/* The same with mailbox_put: cannot fail. */
void worker_group_put(struct worker_group *group, unsigned at, struct mailbox_item *item);
/* `receipt` tells when all workers have handled what was posted to them before. One receipt at a time. */
void worker_group_fence(struct worker_group *group, struct receipt *receipt);
/* The same for another receipt, which may be under way at the same time. */
void worker_group_pulse(struct worker_group *group, struct receipt *receipt);

#endif
