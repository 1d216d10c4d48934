#include "delivery/first_connection.h"

static struct dialer *dialer_of(const struct upstream_pool *pool)
{
    return &pool->shared.transport->dialer;
}

/* The state of the connection that is furthest; UPSTREAM_ENDED: there is none. A connection that retires was
 * opened with what is no longer in use. */
static enum upstream_state furthest_state(const struct upstream_pool *pool)
{
    const struct upstream *upstream;
    enum upstream_state state = UPSTREAM_ENDED;

    LIST_FOREACH (upstream, &pool->list, sibling) {
        if (upstream->retires_for == END_NONE && state != UPSTREAM_READY)
            state = upstream->state;
    }
    return state;
}

void first_connection_await(struct upstream_pool *pool)
{
    if (!pool->shared.transport->route->opens_first) {
        dialer_forgo_first(dialer_of(pool));
        return;
    }
    dialer_await_first(dialer_of(pool));
    if (furthest_state(pool) == UPSTREAM_READY)
        dialer_stop_awaiting(dialer_of(pool));
}

/* Without an address, or with credentials that are withdrawn, the dial would only repeat in the log what is
 * known. */
static bool may_succeed(const struct dialer *dialer)
{
    return dialer->endpoints.list && dialer->endpoints.list->count &&
           !credentials_are_withdrawn(dialer->credentials);
}

uint64_t first_connection_dial(struct upstream_pool *pool)
{
    struct dialer *dialer = dialer_of(pool);

    if (!dialer_awaits_first(dialer))
        return 0;
    enum upstream_state state = furthest_state(pool);
    if (state == UPSTREAM_READY)
        dialer_stop_awaiting(dialer);
    return state == UPSTREAM_ENDED && may_succeed(dialer) ? upstream_pool_dial(pool, UPSTREAM_FOR_MESSAGE)
                                                          : 0;
}
