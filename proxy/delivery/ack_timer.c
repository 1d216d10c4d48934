#include "delivery/ack_timer.h"

void ack_timer_init(struct ack_timer *timer, uint64_t timeout_ms)
{
    *timer = (struct ack_timer) { .timeout_ms = timeout_ms };
}

void ack_timer_set_minimum(struct ack_timer *timer, uint64_t minimum_ms)
{
    timer->minimum_ms = minimum_ms;
    ack_timer_set_timeout(timer, timer->timeout_ms);
}

void ack_timer_set_timeout(struct ack_timer *timer, uint64_t timeout_ms)
{
    timer->timeout_ms = timeout_ms > timer->minimum_ms ? timeout_ms : timer->minimum_ms;
}

void ack_timer_restart(struct ack_timer *timer, uint64_t now_ms)
{
    timer->since_ms = now_ms;
    timer->check_ms = 0;
}

/* When the time for the ack began. */
static uint64_t start_ms(const struct ack_timer *timer, const struct ledger_entry *oldest)
{
    uint64_t filed_ms = oldest->filed_us / 1000;

    return filed_ms > timer->since_ms ? filed_ms : timer->since_ms;
}

static uint64_t later(uint64_t a_ms, uint64_t b_ms)
{
    return a_ms > b_ms ? a_ms : b_ms;
}

/* Each check is at least half of the timeout after the check before it, however late that check was. */
uint64_t ack_timer_deadline(const struct ack_timer *timer, const struct ledger_entry *oldest)
{
    uint64_t half_ms = timer->timeout_ms / 2;

    if (!oldest)
        return 0;
    uint64_t start = start_ms(timer, oldest);
    return timer->check_ms > start ? later(start + timer->timeout_ms, timer->check_ms + half_ms)
                                   : start + half_ms;
}

bool ack_timer_is_late(struct ack_timer *timer, const struct ledger_entry *oldest, uint64_t taken_bytes,
                       uint64_t now_ms)
{
    uint64_t start = start_ms(timer, oldest);
    bool is_second_look = timer->check_ms > start && now_ms >= ack_timer_deadline(timer, oldest);
    bool has_moved =
        timer->check_ms >= start && timer->taken_bytes < oldest->end && taken_bytes > timer->taken_bytes;

    timer->check_ms = now_ms;
    timer->taken_bytes = taken_bytes;
    if (has_moved)
        timer->since_ms = now_ms;
    return is_second_look && !has_moved;
}
