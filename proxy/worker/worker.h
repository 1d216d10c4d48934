/* One thread: its loop, its listener, its connections, its counters.
 *
 * Owns everything its connections use; shares credentials and endpoint lists with the other workers. Nothing
 * here is written by another thread but through the mailbox; counters may be read by any. Nobody is freed
 * inside a callback of its own: what has ended is put on the reap list and freed between two turns of the
 * loop. */
#ifndef HUSK_WORKER_WORKER_H
#define HUSK_WORKER_WORKER_H

#include "base/buffer.h"
#include "base/log.h"
#include "base/metrics.h"
#include "runtime/timer.h"
#include "delivery/body_filter.h"
#include "link/endpoint.h"
#include "delivery/dispatcher.h"
#include "worker/listener.h"
#include "worker/mailbox.h"
#include "delivery/message_policy.h"
#include "runtime/route.h"
#include "trust/credentials.h"
#include "wire/leg.h"

#include <ev.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

struct tunnel;

/* A connection's conductor, whatever kind: allocated by malloc, with its task as the first member. It is run
 * by its legs and its alarm, and by the worker soon, once: what used up its turn, or was told that something
 * changed. */
struct task {
    TAILQ_ENTRY(task) link;
    bool queued;
    void (*run)(struct task *task);
};

TAILQ_HEAD(task_queue, task);
LIST_HEAD(tunnel_list, tunnel);

/* The workers of a process, and what they share. Zero-initialise but for the borrowed ones. */
struct crew {
    const struct route_options *route; /* borrowed */
    struct log *log;                   /* borrowed */
    struct worker *workers;            /* borrowed; they do not move */
    _Atomic unsigned count;            /* of them, those that may be given connections */
};

/* Runs a task now: what its legs and its alarm call, with the task as their owner. */
void task_run(void *task);

struct worker {
    struct crew *crew;                 /* borrowed */
    const struct route_options *route; /* the crew's */
    struct log *log;                   /* likewise */
    pthread_t thread;
    struct ev_loop *loop;
    uint64_t now_us, now_ms; /* clock_monotonic_us and _ms, as of this turn of the loop: reading the clock is
                                dear on many virtual machines */
    struct mailbox mailbox;
    struct metrics metrics;
    struct buffer_pool pool;
    struct leg_io io;
    struct listener listener;
    struct credentials *credentials[SIDE_COUNT]; /* shared; NULL: that side is plain */
    struct tls_sessions sessions;                /* to resume with the upstream */
    struct endpoint_pool endpoints;
    bool resolved; /* the upstream's name has been looked up, well or badly */

    struct exchange exchange;     /* `protocol: forward` */
    struct message_meters meters; /* likewise */
    struct body_stage bodies;     /* likewise */
    struct tunnel_list tunnels;   /* `protocol: tcp`: all that live */
    _Atomic unsigned live;        /* accepted connections, and those on their way from other workers */
    unsigned handshakes;          /* of them, TLS handshakes under way */
    struct task_queue tasks;      /* to be run on the next turn */
    unsigned queued;              /* how many */
    struct task_queue ended;      /* to be disposed of between two turns */
    ev_check wake;                /* first in a turn: reads the clock */
    ev_prepare turn;              /* between two turns: runs tasks, reaps */
    ev_idle awake;                /* active while tasks wait, so that the loop does not sleep */
    struct log_limiter limiters[END_REASON_COUNT];
    struct alarm housekeeping; /* rings while there are lines held back, or handshakes at their limit */

    /* Read by the control thread. */
    _Atomic uint64_t upstream_outcome; /* of the last dial: clock_monotonic_ms × END_REASON_COUNT + reason,
                                          END_NONE for a good one; 0: none yet */
    _Atomic unsigned left_behind;      /* connections with undelivered bytes when the worker stopped */
};

/* Starts the thread. Takes `listen_fd` (also on failure) and one reference to each of `credentials`; borrows
 * `crew`, which outlives the worker. The worker does not move in memory. */
MUST_CHECK bool worker_start(struct worker *worker, struct crew *crew, int listen_fd,
                             struct credentials *const credentials[SIDE_COUNT], struct fault *fault);

/* Waits for the thread to end (post LETTER_STOP first). */
void worker_join(struct worker *worker);
/* Frees what the worker owns, once all of the crew have ended: until then they may still write to it. */
void worker_free(struct worker *worker);

/* ---- for the worker's own connections ---- */

/* Runs `task` on the next turn of the loop. */
void worker_queue(struct worker *worker, struct task *task);
/* Disposes of an ended task between two turns of the loop; it is not run any more. */
void worker_reap(struct worker *worker, struct task *task);

/* An accepted connection has come (+1) or gone (-1), has begun its TLS handshake or is through with it:
 * accepting may have to stop or go on. */
void worker_count_inlet(struct worker *worker, int handshakes, int connections);

/* How long a TLS handshake may take that was accepted at `accepted_ms`: less while so many are under way that
 * others wait. */
uint64_t worker_handshake_deadline_ms(const struct worker *worker, uint64_t accepted_ms);

/* A line about an ended connection was held back: it will be told of in sum. */
void worker_note_suppressed(struct worker *worker);

/* Files the outcome of a dial, for readiness. */
void worker_report_upstream(struct worker *worker, enum end_reason outcome);

#endif
