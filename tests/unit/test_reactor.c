/* proxy/runtime/reactor.c: when tasks run, and when they are freed. */
#include "runtime/reactor.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>

struct job {
    struct task task; /* first */
    struct reactor *reactor;
    unsigned *runs;              /* how often it has run */
    struct task *queues, *reaps; /* by its run; NULL: nothing */
};

struct fixture {
    struct reactor reactor;
    unsigned runs[3];
};

static struct fixture fixture;

static void on_run(void *task)
{
    struct job *job = (struct job *)task;

    ++*job->runs;
    if (job->queues)
        reactor_queue(job->reactor, job->queues);
    if (job->reaps)
        reactor_reap(job->reactor, job->reaps);
}

static struct job *job_new(struct fixture *f, unsigned at)
{
    struct job *job = calloc(1, sizeof *job);

    assert_non_null(job);
    *job = (struct job) { .task = { .run = on_run }, .reactor = &f->reactor, .runs = &f->runs[at] };
    return job;
}

static int set_up(void **state)
{
    struct fault fault;

    fixture = (struct fixture) { 0 };
    *state = &fixture;
    return reactor_open(&fixture.reactor, &fault) ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    reactor_stop(&f->reactor);
    reactor_close(&f->reactor);
    return 0;
}

static void turn(struct fixture *f)
{
    ev_run(f->reactor.loop, EVRUN_NOWAIT);
}

static void a_task_queued_twice_runs_once(void **state)
{
    struct fixture *f = *state;
    struct job *job = job_new(f, 0);

    reactor_queue(&f->reactor, &job->task);
    reactor_queue(&f->reactor, &job->task);
    assert_int_equal(f->runs[0], 0); /* not inside reactor_queue */
    turn(f);
    assert_int_equal(f->runs[0], 1);
    assert_int_equal(f->reactor.task_count, 0);
    assert_false(ev_is_active(&f->reactor.busy)); /* the loop may sleep */
    reactor_queue(&f->reactor, &job->task);
    turn(f);
    assert_int_equal(f->runs[0], 2);
    reactor_reap(&f->reactor, &job->task);
}

static void a_task_queued_meanwhile_waits_for_the_next_turn(void **state)
{
    struct fixture *f = *state;
    struct job *first = job_new(f, 0), *second = job_new(f, 1);

    first->queues = &first->task;
    reactor_queue(&f->reactor, &first->task);
    turn(f);
    assert_int_equal(f->runs[0], 1);
    first->queues = &second->task;
    assert_true(ev_is_active(&f->reactor.busy)); /* the loop must not sleep */
    turn(f);
    assert_int_equal(f->runs[0], 2);
    assert_int_equal(f->runs[1], 0);
    turn(f);
    assert_int_equal(f->runs[0], 2);
    assert_int_equal(f->runs[1], 1);
    reactor_reap(&f->reactor, &first->task);
    reactor_reap(&f->reactor, &second->task);
}

static void tasks_run_in_the_order_they_were_queued(void **state)
{
    struct fixture *f = *state;
    struct job *first = job_new(f, 0), *second = job_new(f, 1);

    first->reaps = &second->task; /* so the second does not run any more */
    reactor_queue(&f->reactor, &first->task);
    reactor_queue(&f->reactor, &second->task);
    turn(f);
    assert_int_equal(f->runs[0], 1);
    assert_int_equal(f->runs[1], 0);
    assert_int_equal(f->reactor.task_count, 0);
    reactor_reap(&f->reactor, &first->task);
}

/* A sanitizer sees it when the task is freed while it runs, or not at all. */
static void a_task_that_ends_itself_is_freed_after_it_has_run(void **state)
{
    struct fixture *f = *state;
    struct job *job = job_new(f, 0);

    job->reaps = &job->task;
    reactor_queue(&f->reactor, &job->task);
    turn(f);
    assert_int_equal(f->runs[0], 1);
    assert_true(TAILQ_EMPTY(&f->reactor.ended));
}

static void a_queued_task_that_is_reaped_does_not_run(void **state)
{
    struct fixture *f = *state;
    struct job *ended = job_new(f, 0), *other = job_new(f, 1);

    reactor_queue(&f->reactor, &ended->task);
    reactor_queue(&f->reactor, &other->task);
    reactor_reap(&f->reactor, &ended->task);
    assert_int_equal(f->reactor.task_count, 1);
    turn(f);
    assert_int_equal(f->runs[0], 0);
    assert_int_equal(f->runs[1], 1);
    assert_true(TAILQ_EMPTY(&f->reactor.ended));
    reactor_reap(&f->reactor, &other->task);
}

static void on_stop(void *task)
{
    struct job *job = (struct job *)task;

    ++*job->runs;
    reactor_reap(job->reactor, job->reaps);
    reactor_stop(job->reactor);
}

static void a_stop_leaves_the_loop_and_frees_ended_tasks(void **state)
{
    struct fixture *f = *state;
    struct job *job = job_new(f, 0), *ended = job_new(f, 1);

    job->task.run = on_stop;
    job->reaps = &ended->task;
    reactor_queue(&f->reactor, &job->task);
    reactor_run(&f->reactor); /* returns */
    assert_int_equal(f->runs[0], 1);
    assert_true(TAILQ_EMPTY(&f->reactor.ended));
    reactor_reap(&f->reactor, &job->task);
}

static void the_clock_is_read_once_a_turn(void **state)
{
    struct fixture *f = *state;
    struct job *job = job_new(f, 0);

    assert_true(f->reactor.now_us > 0);
    f->reactor.now_us = f->reactor.now_ms = 0;
    reactor_queue(&f->reactor, &job->task);
    turn(f);
    assert_true(f->reactor.now_us > 0);
    assert_int_equal(f->reactor.now_ms, f->reactor.now_us / 1000);
    reactor_reap(&f->reactor, &job->task);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_task_queued_twice_runs_once),
        TEST(a_task_queued_meanwhile_waits_for_the_next_turn),
        TEST(tasks_run_in_the_order_they_were_queued),
        TEST(a_task_that_ends_itself_is_freed_after_it_has_run),
        TEST(a_queued_task_that_is_reaped_does_not_run),
        TEST(a_stop_leaves_the_loop_and_frees_ended_tasks),
        TEST(the_clock_is_read_once_a_turn),
    };

    return cmocka_run_group_tests_name("reactor", tests, NULL, NULL);
}
