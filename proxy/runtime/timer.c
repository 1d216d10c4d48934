#include "runtime/timer.h"

#include "base/clock.h"

uint64_t alarm_earlier(uint64_t a_ms, uint64_t b_ms)
{
    if (!a_ms || !b_ms)
        return a_ms ? a_ms : b_ms;
    return a_ms < b_ms ? a_ms : b_ms;
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct alarm *alarm = timer->data;

    (void)loop, (void)events;
    alarm->at_ms = 0;
    alarm->on_ring(alarm->owner);
}

void alarm_init(struct alarm *alarm, struct ev_loop *loop, alarm_on_ring *on_ring, void *owner)
{
    *alarm = (struct alarm) { .loop = loop, .on_ring = on_ring, .owner = owner };
    ev_timer_init(&alarm->timer, on_timer, 0, 0);
    alarm->timer.data = alarm;
}

void alarm_set(struct alarm *alarm, uint64_t deadline_ms)
{
    if (!deadline_ms || (alarm->at_ms && alarm->at_ms <= deadline_ms))
        return;
    uint64_t now_ms = clock_monotonic_ms();
    ev_timer_stop(alarm->loop, &alarm->timer);
    ev_timer_set(&alarm->timer, deadline_ms > now_ms ? (double)(deadline_ms - now_ms) / 1000 : 0, 0);
    ev_timer_start(alarm->loop, &alarm->timer);
    alarm->at_ms = deadline_ms;
}

void alarm_stop(struct alarm *alarm)
{
    ev_timer_stop(alarm->loop, &alarm->timer);
    alarm->at_ms = 0;
}
