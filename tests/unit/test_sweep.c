/* proxy/runtime/sweep.c: every task of the list runs once, a few in each turn, and tasks may end meanwhile.
 */
#include "runtime/sweep.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>
#include <sys/queue.h>

enum { COUNT = 2 * SWEEP_TASKS_PER_TURN + 1 };

struct member {
    struct task task; /* first */
    LIST_ENTRY(member) sibling;
    unsigned runs;
    struct member *ends; /* leaves the list when this one runs; NULL: none */
};

static struct fixture {
    struct reactor reactor;
    struct sweep sweep;
    LIST_HEAD(, member) list;
    struct member members[COUNT]; /* in the order of the list */
} fixture;

static void on_run(void *task)
{
    struct member *member = task;

    member->runs++;
    if (!member->ends)
        return;
    sweep_forget(&fixture.sweep, &member->ends->task);
    LIST_REMOVE(member->ends, sibling);
    member->ends = NULL;
}

static struct task *next_of(struct task *task)
{
    struct member *next = LIST_NEXT((struct member *)task, sibling);

    return next ? &next->task : NULL;
}

static int set_up(void **state)
{
    struct fixture *f = &fixture;
    struct fault fault;

    memset(f, 0, sizeof *f);
    for (unsigned i = COUNT; i--;) {
        f->members[i].task.run = on_run;
        LIST_INSERT_HEAD(&f->list, &f->members[i], sibling);
    }
    *state = f;
    if (!reactor_open(&f->reactor, &fault))
        return -1;
    sweep_init(&f->sweep, &f->reactor, next_of);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    reactor_stop(&f->reactor);
    reactor_close(&f->reactor);
    return 0;
}

static void begin(struct fixture *f)
{
    sweep_begin(&f->sweep, &LIST_FIRST(&f->list)->task);
}

/* `runs` of the first `count` members, and none of the others. */
static void expect_runs(const struct fixture *f, unsigned count, unsigned runs)
{
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(f->members[i].runs, i < count ? runs : 0);
}

static void turns(struct fixture *f, unsigned count)
{
    while (count--)
        ev_run(f->reactor.loop, EVRUN_NOWAIT);
}

static void each_turn_runs_a_few(void **state)
{
    struct fixture *f = *state;

    begin(f);
    expect_runs(f, 0, 0);
    for (unsigned i = 1; i <= 2; i++) {
        turns(f, 1);
        expect_runs(f, i * SWEEP_TASKS_PER_TURN, 1);
    }
    turns(f, 3);
    expect_runs(f, COUNT, 1);
}

static void a_sweep_in_the_middle_begins_again(void **state)
{
    struct fixture *f = *state;

    begin(f);
    turns(f, 1);
    begin(f);
    turns(f, 1);
    expect_runs(f, SWEEP_TASKS_PER_TURN, 2);
    turns(f, 3);
    assert_int_equal(f->members[COUNT - 1].runs, 1);
}

static void the_task_that_is_next_may_end(void **state)
{
    struct fixture *f = *state;

    f->members[3].ends = &f->members[4];
    f->members[SWEEP_TASKS_PER_TURN].ends = &f->members[SWEEP_TASKS_PER_TURN + 1]; /* the last of its turn */
    begin(f);
    turns(f, 5);
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(f->members[i].runs, i != 4 && i != SWEEP_TASKS_PER_TURN + 1);
}

static void a_task_may_end_itself(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < COUNT; i++)
        f->members[i].ends = &f->members[i];
    begin(f);
    turns(f, 5);
    expect_runs(f, COUNT, 1);
    assert_true(LIST_EMPTY(&f->list));
}

static void the_last_task_may_end_before_its_run(void **state)
{
    struct fixture *f = *state;

    f->members[COUNT - 2].ends = &f->members[COUNT - 1];
    begin(f);
    turns(f, 5);
    expect_runs(f, COUNT - 1, 1);
}

static void an_empty_list_is_swept(void **state)
{
    struct fixture *f = *state;

    sweep_begin(&f->sweep, NULL);
    turns(f, 1);
    expect_runs(f, 0, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_turn_runs_a_few),
        TEST(a_sweep_in_the_middle_begins_again),
        TEST(the_task_that_is_next_may_end),
        TEST(a_task_may_end_itself),
        TEST(the_last_task_may_end_before_its_run),
        TEST(an_empty_list_is_swept),
    };

    return cmocka_run_group_tests_name("sweep", tests, NULL, NULL);
}
