/* proxy/runtime/timer.c: a timer moves only to an earlier deadline. */
#include "runtime/timer.h"

#include "support/loop.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <unistd.h>

enum { FAR_MS = 3600 * 1000 };

struct fixture {
    struct reactor reactor;
    struct timer timer;
    unsigned fired;
};

static struct fixture fixture;

static void on_fire(void *owner)
{
    ((struct fixture *)owner)->fired++;
}

static int set_up(void **state)
{
    struct fault fault;

    fixture = (struct fixture) { 0 };
    *state = &fixture;
    if (!reactor_open(&fixture.reactor, &fault))
        return -1;
    timer_init(&fixture.timer, &fixture.reactor, on_fire, &fixture);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    timer_stop(&f->timer);
    reactor_close(&f->reactor);
    return 0;
}

static void turn_until_fired(struct fixture *f)
{
    while (!f->fired)
        loop_turn(f->reactor.loop);
    assert_int_equal(f->fired, 1);
}

static void a_timer_fires_once(void **state)
{
    struct fixture *f = *state;

    timer_set(&f->timer, f->reactor.now_ms + 5);
    assert_int_equal(f->timer.fires_at_ms, f->reactor.now_ms + 5);
    turn_until_fired(f);
    assert_int_equal(f->timer.fires_at_ms, 0);
    assert_false(ev_is_active(&f->timer.watcher));
    timer_set(&f->timer, f->reactor.now_ms + FAR_MS); /* it can be set again */
    assert_true(ev_is_active(&f->timer.watcher));
}

static void a_timer_moves_to_earlier_deadlines_only(void **state)
{
    struct fixture *f = *state;
    uint64_t now_ms = f->reactor.now_ms;

    timer_set(&f->timer, now_ms + 2 * FAR_MS);
    timer_set(&f->timer, now_ms + 3 * FAR_MS);
    assert_int_equal(f->timer.fires_at_ms, now_ms + 2 * FAR_MS);
    timer_set(&f->timer, now_ms + FAR_MS);
    assert_int_equal(f->timer.fires_at_ms, now_ms + FAR_MS);
    timer_set(&f->timer, now_ms + 1);
    turn_until_fired(f);
}

static void a_deadline_that_has_passed_fires_at_once(void **state)
{
    struct fixture *f = *state;

    timer_set(&f->timer, 1);
    turn_until_fired(f);
}

static void zero_is_no_deadline(void **state)
{
    struct fixture *f = *state;

    timer_set(&f->timer, 0);
    assert_false(ev_is_active(&f->timer.watcher));
    timer_set(&f->timer, f->reactor.now_ms + FAR_MS);
    timer_set(&f->timer, 0); /* does not stop it */
    assert_true(ev_is_active(&f->timer.watcher));
}

static void a_stopped_timer_does_not_fire(void **state)
{
    struct fixture *f = *state;

    timer_set(&f->timer, 1);
    timer_stop(&f->timer);
    assert_int_equal(f->timer.fires_at_ms, 0);
    loop_run_for(f->reactor.loop, 10);
    assert_int_equal(f->fired, 0);
    timer_set(&f->timer, f->reactor.now_ms + FAR_MS); /* a later deadline than the one before */
    assert_int_equal(f->timer.fires_at_ms, f->reactor.now_ms + FAR_MS);
}

static void on_input(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct fixture *f = watcher->data;

    (void)events;
    assert_int_equal(f->fired, 0);
    ev_io_stop(loop, watcher);
}

static void input_that_waits_is_served_before_a_deadline(void **state)
{
    struct fixture *f = *state;
    int ends[2];
    ev_io input;

    assert_int_equal(pipe(ends), 0);
    ev_io_init(&input, on_input, ends[0], EV_READ);
    input.data = f;
    ev_io_start(f->reactor.loop, &input);
    timer_set(&f->timer, 1);
    assert_int_equal(write(ends[1], "x", 1), 1);
    turn_until_fired(f);
    assert_false(ev_is_active(&input));
    close(ends[0]);
    close(ends[1]);
}

static void the_earlier_of_two_deadlines_ignores_zeros(void **state)
{
    (void)state;
    assert_int_equal(timer_earlier(1, 2), 1);
    assert_int_equal(timer_earlier(2, 1), 1);
    assert_int_equal(timer_earlier(0, 2), 2);
    assert_int_equal(timer_earlier(2, 0), 2);
    assert_int_equal(timer_earlier(0, 0), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_timer_fires_once),
        TEST(a_timer_moves_to_earlier_deadlines_only),
        TEST(a_deadline_that_has_passed_fires_at_once),
        TEST(zero_is_no_deadline),
        TEST(a_stopped_timer_does_not_fire),
        TEST(input_that_waits_is_served_before_a_deadline),
        TEST(the_earlier_of_two_deadlines_ignores_zeros),
    };

    return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
