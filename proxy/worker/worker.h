/* One thread: its loop, its mailbox, and its part of each route.
 *
 * Other threads write to it through the mailbox alone. */
#ifndef HUSK_WORKER_WORKER_H
#define HUSK_WORKER_WORKER_H

#include "worker/mailbox.h"
#include "worker/worker_route.h"

#include <pthread.h>
#include <sys/queue.h>

struct worker {
    pthread_t thread;
    struct reactor reactor;
    struct mailbox mailbox;
    struct mailbox_item stop, fence, pulse; /* they need no memory; of the control thread */
    struct mailbox_item signatures;   /* the same; of the threads of tokens, under the lock of `results` */
    struct token_results *results;    /* shared with signatures of tokens */
    LIST_HEAD(, worker_route) routes; /* that have begun and are not forgotten; borrowed */
};

/* Starts the thread, without a route. The worker must not move in memory afterwards. */
MUST_CHECK bool worker_start(struct worker *worker, struct fault *fault);

/* Makes the worker end all its routes, and then its thread. */
void worker_stop(struct worker *worker);
/* Waits for the thread to end. */
void worker_join(struct worker *worker);
/* Drops what is left in the mailbox. Call it after all workers have ended: until then other workers may post
 * to it. */
void worker_close_mailbox(struct worker *worker);
/* Frees what the worker owns. Call it after its routes were freed (worker_route_deinit). */
void worker_free(struct worker *worker);

#endif
