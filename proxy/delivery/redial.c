#include "delivery/redial.h"

enum { MIN_MS = 100, MAX_MS = 5000 };

void redial_later(struct redial *redial, uint64_t now_ms, bool holds_all)
{
    uint64_t delay_ms = redial->delay_ms ? redial->delay_ms * 2 : MIN_MS;

    redial->delay_ms = delay_ms < MAX_MS ? delay_ms : MAX_MS;
    redial->at_ms = now_ms + redial->delay_ms;
    redial->holds_all = holds_all;
}

uint64_t redial_last(struct redial *redial, uint64_t now_ms)
{
    return redial->at_ms = now_ms + MAX_MS;
}

void redial_at_once(struct redial *redial)
{
    *redial = (struct redial) { .at_ms = 0 };
}

bool redial_must_wait(const struct redial *redial, uint64_t now_ms)
{
    return now_ms < redial->at_ms;
}
