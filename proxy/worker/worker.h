/* One thread: its loop, its listener, its connections, its counters.
 *
 * Owns everything its connections use; shares credentials and endpoint lists with the other workers. Other
 * threads write to it through the mailbox alone, and may read its counters. */
#ifndef HUSK_WORKER_WORKER_H
#define HUSK_WORKER_WORKER_H

#include "delivery/delivery.h"
#include "link/transport.h"
#include "tcp/tunnels.h"
#include "worker/admission.h"
#include "worker/listener.h"
#include "worker/mailbox.h"

#include <pthread.h>

struct worker;

/* The workers of a process to which an accepted connection can be passed. */
struct worker_peers {
    struct worker *workers; /* do not move in memory */
    _Atomic unsigned count;
};

/* What the workers of a process share. All borrowed. */
struct worker_options {
    const struct route_options *route;
    struct log *log;
    const struct worker_peers *peers;
};

struct worker {
    const struct worker_peers *peers; /* borrowed */
    pthread_t thread;
    struct reactor reactor;
    struct transport transport;
    struct delivery delivery; /* the connections of `protocol: forward` */
    struct tunnels tunnels;   /* the connections of `protocol: tcp` */
    struct mailbox mailbox;
    struct listener listener;
    struct admission admission;
    unsigned left_behind; /* connections and messages with undelivered bytes at the end */
};

/* Starts the thread. Takes the descriptors `fds`, also on failure. Takes over one reference of the caller to
 * each of `credentials`; NULL: that side is plaintext. Copies `options`. The worker must not move in memory
 * afterwards. */
MUST_CHECK bool worker_start(struct worker *worker, const struct worker_options *options,
                             struct listener_fds *fds, struct credentials *const credentials[SIDE_COUNT],
                             struct fault *fault);

/* Waits for the thread to end (post MAILBOX_STOP first). */
void worker_join(struct worker *worker);
/* Frees what the worker owns. Call it after all workers have ended: until then other workers may post to its
 * mailbox. */
void worker_free(struct worker *worker);

#endif
