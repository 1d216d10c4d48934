#include "control/drain.h"

#include "base/clock.h"

#include <signal.h>

enum { TICK_MS = 20 };

void drain_begin(struct drain *drain, const struct drain_activity *activity, uint64_t now_ms)
{
    drain->is_draining = true;
    drain->quiet_since_ms = now_ms;
    drain->deadline_ms = now_ms + drain->options.timeout_ms;
    drain->activity_count = activity->count;
}

void drain_note(struct drain *drain, const struct drain_activity *activity, uint64_t now_ms)
{
    if (activity->count == drain->activity_count && !activity->has_unsettled)
        return;
    drain->activity_count = activity->count;
    drain->quiet_since_ms = now_ms;
}

bool drain_is_over(const struct drain *drain, uint64_t now_ms)
{
    return now_ms >= drain->deadline_ms || now_ms - drain->quiet_since_ms >= drain->options.quiet_ms;
}

static struct drain_activity activity_measure(const struct drain *drain)
{
    struct drain_activity activity = { 0 };

    drain->options.measure(drain->options.owner, &activity);
    return activity;
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct drain *drain = timer->data;
    const struct drain_activity activity = activity_measure(drain);
    uint64_t now_ms = clock_monotonic_ms();

    (void)events;
    drain_note(drain, &activity, now_ms);
    if (activity.is_complete || drain_is_over(drain, now_ms))
        ev_break(loop, EVBREAK_ALL);
}

void drain_start(struct drain *drain, struct ev_loop *loop)
{
    const struct drain_activity activity = activity_measure(drain);

    if (drain->is_draining)
        return;
    drain_begin(drain, &activity, clock_monotonic_ms());
    drain->options.on_begin(drain->options.owner);
    ev_timer_start(loop, &drain->tick);
}

static void on_stop_signal(struct ev_loop *loop, ev_signal *watcher, int events)
{
    struct drain *drain = watcher->data;

    (void)events;
    if (drain->is_asked)
        ev_break(loop, EVBREAK_ALL);
    drain->is_asked = true;
    drain_start(drain, loop);
}

void drain_open(struct drain *drain, struct ev_loop *loop, const struct drain_options *options)
{
    *drain = (struct drain) { .options = *options };
    ev_signal_init(&drain->terminate, on_stop_signal, SIGTERM);
    ev_signal_init(&drain->interrupt, on_stop_signal, SIGINT);
    ev_timer_init(&drain->tick, on_tick, 0, TICK_MS / 1000.0);
    drain->terminate.data = drain->interrupt.data = drain->tick.data = drain;
    ev_signal_start(loop, &drain->terminate);
    ev_signal_start(loop, &drain->interrupt);
}
