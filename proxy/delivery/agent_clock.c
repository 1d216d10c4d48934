#include "delivery/agent_clock.h"

#include "runtime/timer.h"

enum {
    PRESSURE_STALL_MS = 1000,  /* under pressure: longest pause in a message */
    PRESSURE_BYTES_PER_MS = 64 /* under pressure: lowest rate of an agent that holds budget */
};

void agent_clock_pause(struct agent_clock *clock, struct message_metrics *metrics, uint64_t now_ms,
                       uint64_t wait_ms)
{
    bool was_paused = clock->paused_until_ms;

    if (!wait_ms && !was_paused)
        return;
    if (wait_ms && !was_paused) {
        metrics_add(&metrics->rate_limited, 1);
        metrics_add(&metrics->rate_limited_agents, 1);
    } else if (!wait_ms) {
        metrics_take(&metrics->rate_limited_agents, 1);
    }
    clock->progress_ms = now_ms;
    clock->paused_until_ms = wait_ms ? now_ms + wait_ms : 0;
}

void agent_clock_start(struct agent_clock *clock, uint64_t now_ms)
{
    clock->progress_ms = now_ms;
}

void agent_clock_progress(struct agent_clock *clock, const struct agent_facts *facts, size_t moved)
{
    uint64_t earned_ms = moved / PRESSURE_BYTES_PER_MS;

    if (!facts->holds_budget || !facts->is_under_pressure || earned_ms > facts->now_ms ||
        clock->progress_ms + earned_ms > facts->now_ms)
        clock->progress_ms = facts->now_ms;
    else
        clock->progress_ms += earned_ms;
}

/* ---- deadlines; 0: never ---- */

static uint64_t stall_deadline(const struct agent_clock *clock, const struct agent_facts *facts)
{
    uint64_t timeout_ms = facts->route->message_timeout_ms;

    if (!timeout_ms || facts->waits_for_husk || !facts->is_mid_message)
        return 0;
    if (timeout_ms > PRESSURE_STALL_MS && facts->is_under_pressure)
        timeout_ms = PRESSURE_STALL_MS;
    return clock->progress_ms + timeout_ms;
}

static uint64_t idle_deadline(const struct agent_clock *clock, const struct agent_facts *facts)
{
    uint64_t timeout_ms = facts->route->idle_timeout_ms;

    return timeout_ms && !facts->has_unsettled ? clock->progress_ms + timeout_ms : 0;
}

static uint64_t acks_deadline(const struct agent_clock *clock, const struct agent_facts *facts)
{
    uint64_t timeout_ms = facts->route->unread_acks_timeout_ms;

    return timeout_ms && facts->leaves_acks ? clock->progress_ms + timeout_ms : 0;
}

static uint64_t silence_deadline(const struct agent_clock *clock, const struct agent_facts *facts)
{
    const struct route_options *route = facts->route;

    if (route->key[SIDE_DOWNSTREAM] || !route->silence_hint_ms || !facts->is_untouched)
        return 0;
    return clock->progress_ms + route->silence_hint_ms;
}

static bool is_past(const struct agent_facts *facts, uint64_t deadline_ms)
{
    return deadline_ms && facts->now_ms >= deadline_ms;
}

bool agent_clock_is_stalled(const struct agent_clock *clock, const struct agent_facts *facts)
{
    return is_past(facts, stall_deadline(clock, facts));
}

bool agent_clock_is_idle(const struct agent_clock *clock, const struct agent_facts *facts)
{
    return is_past(facts, idle_deadline(clock, facts));
}

bool agent_clock_leaves_acks(const struct agent_clock *clock, const struct agent_facts *facts)
{
    return is_past(facts, acks_deadline(clock, facts));
}

bool agent_clock_is_silent(const struct agent_clock *clock, const struct agent_facts *facts)
{
    return is_past(facts, silence_deadline(clock, facts));
}

uint64_t agent_clock_deadline(const struct agent_clock *clock, const struct agent_facts *facts)
{
    uint64_t silence_ms = silence_deadline(clock, facts);
    uint64_t agent_ms =
        timer_earlier(stall_deadline(clock, facts), facts->now_ms < silence_ms ? silence_ms : 0);

    agent_ms = timer_earlier(agent_ms, acks_deadline(clock, facts));
    return timer_earlier(agent_ms, timer_earlier(idle_deadline(clock, facts), clock->paused_until_ms));
}
