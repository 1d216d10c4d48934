#include "delivery/link_upstreams.h"

void link_upstreams_say_gone(struct upstream_pool *pool, const struct sender *sender)
{
    struct upstream *upstream;

    if (!sender->filed)
        return;
    LIST_FOREACH (upstream, &pool->list, sibling)
        upstream_say_gone(upstream, sender->number);
}

bool link_upstreams_exist(const struct upstream_pool *pool)
{
    const struct upstream *upstream;

    LIST_FOREACH (upstream, &pool->list, sibling) {
        if (upstream->stream.link.is_link)
            return true;
    }
    return false;
}

static enum end_reason failure_of(const struct upstream_pool *pool)
{
    const struct upstream *upstream;

    if (!upstream_pool_is_ready(pool))
        return dialer_last_outcome(&pool->shared.transport->dialer).reason;
    LIST_FOREACH (upstream, &pool->list, sibling) {
        if (upstream->peer_waits != END_NONE)
            return upstream->peer_waits;
    }
    return END_NONE;
}

const char *link_upstreams_why_waiting(const struct upstream_pool *pool)
{
    enum end_reason reason = failure_of(pool);

    return reason == END_NONE ? "busy" : end_reason_name(reason);
}
