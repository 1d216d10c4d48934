#include "runtime/reactor.h"

#include "base/clock.h"

#include <stdlib.h>

enum { POOL_IDLE_SEGMENTS = 16 };

static const double trim_seconds = 0.5;

/* ---- tasks ---- */

void reactor_queue(struct reactor *reactor, struct task *task)
{
    if (task->is_queued)
        return;
    task->is_queued = true;
    TAILQ_INSERT_TAIL(&reactor->tasks, task, link);
    reactor->task_count++;
    ev_idle_start(reactor->loop, &reactor->busy);
}

static void task_unqueue(struct reactor *reactor, struct task *task)
{
    if (!task->is_queued)
        return;
    TAILQ_REMOVE(&reactor->tasks, task, link);
    task->is_queued = false;
    reactor->task_count--;
}

static void tasks_run(struct reactor *reactor)
{
    /* A task that is queued by one of these tasks runs in the next turn. */
    for (unsigned left = reactor->task_count; left && reactor->task_count; left--) {
        struct task *task = TAILQ_FIRST(&reactor->tasks);
        task_unqueue(reactor, task);
        task->run(task);
    }
    if (!reactor->task_count)
        ev_idle_stop(reactor->loop, &reactor->busy);
}

void reactor_reap(struct reactor *reactor, struct task *task)
{
    task_unqueue(reactor, task);
    TAILQ_INSERT_TAIL(&reactor->ended, task, link);
}

static void ended_free(struct reactor *reactor)
{
    while (!TAILQ_EMPTY(&reactor->ended)) {
        struct task *task = TAILQ_FIRST(&reactor->ended);
        TAILQ_REMOVE(&reactor->ended, task, link);
        free(task);
    }
}

/* ---- a turn of the loop ---- */

static void clock_read(struct reactor *reactor)
{
    reactor->now_us = clock_monotonic_us();
    reactor->now_ms = reactor->now_us / 1000;
}

static void on_check(struct ev_loop *loop, ev_check *check, int events)
{
    (void)loop, (void)events;
    clock_read(check->data);
}

static void on_prepare(struct ev_loop *loop, ev_prepare *prepare, int events)
{
    struct reactor *reactor = prepare->data;

    (void)events;
    tasks_run(reactor);
    ended_free(reactor);
    if (reactor->pool.idle_count > reactor->pool.idle_limit && !ev_is_active(&reactor->trim)) {
        ev_timer_set(&reactor->trim, trim_seconds, 0);
        ev_timer_start(loop, &reactor->trim);
    }
}

static void on_busy(struct ev_loop *loop, ev_idle *busy, int events)
{
    (void)loop, (void)busy, (void)events;
}

static void on_trim(struct ev_loop *loop, ev_timer *trim, int events)
{
    struct reactor *reactor = trim->data;

    (void)loop, (void)events;
    buffer_pool_trim(&reactor->pool);
}

/* ---- open and close ---- */

bool reactor_open(struct reactor *reactor, struct fault *fault)
{
    *reactor =
        (struct reactor) { .loop = ev_loop_new(EVFLAG_AUTO), .pool = { .idle_limit = POOL_IDLE_SEGMENTS } };
    TAILQ_INIT(&reactor->tasks);
    TAILQ_INIT(&reactor->ended);
    clock_read(reactor);
    if (!reactor->loop || !leg_io_init(&reactor->io, reactor->loop, &reactor->pool)) {
        fault_set(fault, "cannot set up a worker: out of memory or descriptors");
        return false;
    }
    ev_check_init(&reactor->check, on_check);
    ev_set_priority(&reactor->check, EV_MAXPRI);
    ev_prepare_init(&reactor->prepare, on_prepare);
    ev_idle_init(&reactor->busy, on_busy);
    ev_timer_init(&reactor->trim, on_trim, 0, 0);
    reactor->check.data = reactor->prepare.data = reactor->busy.data = reactor->trim.data = reactor;
    ev_check_start(reactor->loop, &reactor->check);
    ev_prepare_start(reactor->loop, &reactor->prepare);
    return true;
}

void reactor_run(struct reactor *reactor)
{
    ev_run(reactor->loop, 0);
}

void reactor_stop(struct reactor *reactor)
{
    ended_free(reactor);
    ev_break(reactor->loop, EVBREAK_ALL);
}

void reactor_close(struct reactor *reactor)
{
    leg_io_deinit(&reactor->io);
    buffer_pool_deinit(&reactor->pool);
    if (reactor->loop)
        ev_loop_destroy(reactor->loop);
}
