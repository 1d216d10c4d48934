#include "link/tls_life.h"

#include "base/clock.h"

#include <stdlib.h>

static struct lifetime_now now_of(const struct reactor *reactor)
{
    return (struct lifetime_now) { .reactor_ms = reactor->now_ms, .wall_ms = clock_wall_ms() };
}

void tls_life_limit(struct lifetime *lifetime, const struct tls_channel *tls, const struct reactor *reactor)
{
    const struct lifetime_now now = now_of(reactor);

    lifetime_limit(lifetime, tls_channel_not_after(tls), arc4random(), &now);
}

bool tls_life_is_over(struct lifetime *lifetime, struct tls_channel *tls, const struct reactor *reactor)
{
    if (!lifetime_is_due(lifetime, reactor->now_ms))
        return false;
    const struct lifetime_now now = now_of(reactor);
    if (!lifetime_is_over(lifetime, &now))
        return false;
    tls_channel_describe_end(tls);
    return true;
}
