#include "runtime/lifetime.h"

static void due_set(struct lifetime *lifetime, const struct lifetime_now *now)
{
    int64_t left_ms = lifetime->end_ms - now->wall_ms;

    lifetime->due_ms = now->reactor_ms + (left_ms > 0 ? (uint64_t)left_ms : 0);
}

static int64_t spread_of(int64_t left_ms, uint32_t random)
{
    int64_t most_ms = left_ms > 0 ? left_ms / LIFETIME_SPREAD_SHARE : 0;

    if (most_ms > LIFETIME_SPREAD_MAX_MS)
        most_ms = LIFETIME_SPREAD_MAX_MS;
    return (int64_t)((uint64_t)most_ms * random >> 32);
}

void lifetime_limit(struct lifetime *lifetime, int64_t not_after, uint32_t random,
                    const struct lifetime_now *now)
{
    if (!not_after || not_after >= INT64_MAX / 1000) {
        *lifetime = (struct lifetime) { 0 };
        return;
    }
    if (lifetime->not_after != not_after) {
        lifetime->not_after = not_after;
        lifetime->end_ms = not_after * 1000 - spread_of(not_after * 1000 - now->wall_ms, random);
    }
    due_set(lifetime, now);
}

bool lifetime_is_due(const struct lifetime *lifetime, uint64_t reactor_ms)
{
    return lifetime->due_ms && reactor_ms >= lifetime->due_ms;
}

bool lifetime_is_over(struct lifetime *lifetime, const struct lifetime_now *now)
{
    if (now->wall_ms < lifetime->end_ms) {
        due_set(lifetime, now);
        return false;
    }
    *lifetime = (struct lifetime) { 0 };
    return true;
}
