#include "delivery/ack_timer.h"

void ack_timer_init(struct ack_timer *timer, uint64_t timeout_ms)
{
    *timer = (struct ack_timer) { .timeout_ms = timeout_ms };
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

uint64_t ack_timer_deadline(const struct ack_timer *timer, const struct ledger_entry *oldest)
{
    if (!oldest)
        return 0;
    uint64_t start = start_ms(timer, oldest);
    return start + (timer->check_ms > start ? timer->timeout_ms : timer->timeout_ms / 2);
}

bool ack_timer_is_late(struct ack_timer *timer, const struct ledger_entry *oldest, uint64_t taken_bytes,
                       uint64_t now_ms)
{
    uint64_t start = start_ms(timer, oldest);
    bool is_second_look = timer->check_ms > start;
    bool has_moved =
        timer->check_ms >= start && timer->taken_bytes < oldest->end && taken_bytes > timer->taken_bytes;

    timer->check_ms = now_ms;
    timer->taken_bytes = taken_bytes;
    if (has_moved)
        timer->since_ms = now_ms;
    return is_second_look && !has_moved && now_ms >= start + timer->timeout_ms;
}
