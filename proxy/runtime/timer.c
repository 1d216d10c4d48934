#include "runtime/timer.h"

uint64_t timer_earlier(uint64_t a_ms, uint64_t b_ms)
{
    if (!a_ms || !b_ms)
        return a_ms ? a_ms : b_ms;
    return a_ms < b_ms ? a_ms : b_ms;
}

static void start(struct timer *timer, double seconds)
{
    struct ev_loop *loop = timer->reactor->loop;

    ev_timer_stop(loop, &timer->watcher);
    ev_timer_set(&timer->watcher, seconds, 0);
    ev_timer_start(loop, &timer->watcher);
}

static void on_timeout(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct timer *timer = watcher->data;

    (void)loop, (void)events;
    if (!timer->is_due) {
        timer->is_due = true;
        start(timer, 0);
        return;
    }
    timer->is_due = false;
    timer->fires_at_ms = 0;
    timer->on_fire(timer->owner);
}

void timer_init(struct timer *timer, struct reactor *reactor, timer_on_fire *on_fire, void *owner)
{
    *timer = (struct timer) { .reactor = reactor, .on_fire = on_fire, .owner = owner };
    ev_timer_init(&timer->watcher, on_timeout, 0, 0);
    ev_set_priority(&timer->watcher, EV_MINPRI);
    timer->watcher.data = timer;
}

void timer_set(struct timer *timer, uint64_t deadline_ms)
{
    uint64_t now_ms = timer->reactor->now_ms;

    if (!deadline_ms || (timer->fires_at_ms && timer->fires_at_ms <= deadline_ms))
        return;
    start(timer, deadline_ms > now_ms ? (double)(deadline_ms - now_ms) / 1000 : 0);
    timer->fires_at_ms = deadline_ms;
    timer->is_due = false;
}

void timer_stop(struct timer *timer)
{
    ev_timer_stop(timer->reactor->loop, &timer->watcher);
    timer->fires_at_ms = 0;
    timer->is_due = false;
}
