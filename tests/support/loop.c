#include "support/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void on_guard(struct ev_loop *loop, struct ev_timer *timer, int events)
{
    (void)loop, (void)events;
    *(bool *)timer->data = true;
}

static void guard_start(struct ev_loop *loop, struct ev_timer *guard, double seconds, bool *expired)
{
    *expired = false;
    ev_now_update(loop);
    ev_timer_init(guard, on_guard, seconds, 0);
    guard->data = expired;
    ev_timer_start(loop, guard);
}

void loop_turn(struct ev_loop *loop)
{
    struct ev_timer guard;
    bool expired;

    guard_start(loop, &guard, LOOP_GUARD_SECONDS, &expired);
    ev_run(loop, EVRUN_ONCE);
    ev_timer_stop(loop, &guard);
    assert_false(expired);
}

void loop_run_for(struct ev_loop *loop, unsigned duration_ms)
{
    struct ev_timer guard;
    bool expired;

    guard_start(loop, &guard, duration_ms / 1000.0, &expired);
    while (!expired)
        ev_run(loop, EVRUN_ONCE);
}
