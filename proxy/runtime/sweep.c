#include "runtime/sweep.h"

static void on_task(void *task)
{
    struct sweep *sweep = task;

    for (unsigned left = SWEEP_TASKS_PER_TURN; left && sweep->at; left--) {
        struct task *current = sweep->at;
        sweep->at = sweep->next(current); /* first: the current task may end, and leave the list */
        current->run(current);
    }
    if (sweep->at)
        reactor_queue(sweep->reactor, &sweep->task);
}

void sweep_init(struct sweep *sweep, struct reactor *reactor, sweep_next *next)
{
    *sweep = (struct sweep) { .task.run = on_task, .reactor = reactor, .next = next };
}

void sweep_begin(struct sweep *sweep, struct task *first)
{
    sweep->at = first;
    if (first)
        reactor_queue(sweep->reactor, &sweep->task);
}

void sweep_forget(struct sweep *sweep, struct task *task)
{
    if (sweep->at == task)
        sweep->at = sweep->next(task);
}
