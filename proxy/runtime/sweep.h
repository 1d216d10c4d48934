/* Runs every connection of a list once, a few in each turn of the loop: if thousands of connections ran in
 * one turn, all messages would wait.
 *
 * Knows the list only through `next`. Connections that join the list at its front while the sweep runs are
 * not swept. Belongs to its worker's thread. */
#ifndef HUSK_RUNTIME_SWEEP_H
#define HUSK_RUNTIME_SWEEP_H

#include "runtime/reactor.h"

enum { SWEEP_TASKS_PER_TURN = 8 };

/* The task after `task` in its list; NULL: `task` is the last one. */
typedef struct task *sweep_next(struct task *task);

struct sweep {
    struct task task;        /* first */
    struct reactor *reactor; /* borrowed */
    sweep_next *next;
    struct task *at; /* the next task to run; NULL: the sweep is over */
};

void sweep_init(struct sweep *sweep, struct reactor *reactor, sweep_next *next);
/* Begins with `first`, the front of the list (NULL: the list is empty), in the next turn of the loop. A sweep
 * that is not over begins again. */
void sweep_begin(struct sweep *sweep, struct task *first);
/* Call it before `task` leaves the list. */
void sweep_forget(struct sweep *sweep, struct task *task);

#endif
