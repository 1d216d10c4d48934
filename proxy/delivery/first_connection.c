#include "delivery/first_connection.h"

static struct dialer *dialer_of(const struct upstream_pool *pool)
{
    return &pool->shared.transport->dialer;
}

/* Whether there is a connection, or one that is ready. A connection that retires does not count: its address
 * or credentials may be no longer in use. */
static bool has_connection(const struct upstream_pool *pool, bool is_ready)
{
    const struct upstream *upstream;

    LIST_FOREACH (upstream, &pool->list, sibling) {
        if (upstream->retires_for == END_NONE && (!is_ready || upstream->state == UPSTREAM_READY))
            return true;
    }
    return false;
}

void first_connection_await(struct upstream_pool *pool)
{
    if (pool->shared.transport->route->opens_first)
        dialer_await_first(dialer_of(pool));
    else
        first_connection_forgo(pool);
}

void first_connection_forgo(struct upstream_pool *pool)
{
    dialer_forgo_first(dialer_of(pool));
}

/* Without an address, or with withdrawn credentials, a dial fails, and only repeats in the log what is
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
    if (has_connection(pool, true))
        dialer_stop_awaiting(dialer);
    return has_connection(pool, false) || !may_succeed(dialer)
               ? 0
               : upstream_pool_dial(pool, UPSTREAM_FOR_MESSAGE);
}
