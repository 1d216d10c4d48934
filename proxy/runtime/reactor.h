/* What every connection of one worker uses: the event loop, the clock, memory for bytes, and tasks.
 *
 * A connection is a task. The watchers of its legs and its timer run the task at once. reactor_queue runs the
 * task once, in the next turn of the loop. A task that has ended is freed between two turns, never inside one
 * of its own callbacks. Belongs to its worker's thread. */
#ifndef HUSK_RUNTIME_REACTOR_H
#define HUSK_RUNTIME_REACTOR_H

#include "base/buffer.h"
#include "base/fault.h"
#include "wire/leg.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

/* First member of the struct of a connection, or of a unit that goes on in the next turn. malloc has
 * allocated a struct that is given to reactor_reap. */
struct task {
    TAILQ_ENTRY(task) link;
    bool is_queued;
    void (*run)(void *task); /* also the callback of its legs and timers */
};

TAILQ_HEAD(task_queue, task);

struct reactor {
    struct ev_loop *loop;
    uint64_t now_us, now_ms; /* the reactor's clock: clock_monotonic_us and _ms, read once per turn of the
                                loop, because reading the clock is slow on many virtual machines */
    struct buffer_pool pool;
    struct leg_io io;
    struct task_queue tasks; /* run in the next turn */
    unsigned task_count;     /* number of queued tasks */
    struct task_queue ended; /* freed between two turns */
    ev_check check;          /* runs first in a turn: reads the clock */
    ev_prepare prepare;      /* runs between two turns: runs tasks, frees ended ones */
    ev_idle busy;            /* active while tasks are queued, so that the loop does not sleep */
    ev_timer trim;           /* active while the pool has more idle segments than its limit */
};

/* The reactor must not move in memory afterwards. Call reactor_close also after a failure. */
MUST_CHECK bool reactor_open(struct reactor *reactor, struct fault *fault);
/* Runs the loop until reactor_stop. */
void reactor_run(struct reactor *reactor);
/* Frees ended tasks and leaves the loop after this turn. */
void reactor_stop(struct reactor *reactor);
void reactor_close(struct reactor *reactor);

/* Runs `task` in the next turn of the loop. A task that is queued twice runs once. */
void reactor_queue(struct reactor *reactor, struct task *task);
/* Frees `task` between two turns of the loop. The task does not run any more. */
void reactor_reap(struct reactor *reactor, struct task *task);

#endif
