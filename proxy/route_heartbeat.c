#include "route_heartbeat.h"

/* Returns the number of addresses. */
static unsigned addresses_of(const struct listening *listening,
                             struct socket_address addresses[LISTENER_SOCKETS_MAX])
{
    unsigned count = 0;

    for (unsigned i = 0; i < listening->count; i++) {
        if (listening->sockets[i].address.storage.ss_family != AF_UNIX)
            addresses[count++] = listening->sockets[i].address;
    }
    return count;
}

void route_heartbeat_answer(struct route_heartbeat *heartbeat, struct ev_loop *loop,
                            const struct heartbeat_options *options, const struct listening *listening)
{
    struct socket_address addresses[LISTENER_SOCKETS_MAX];
    unsigned count = addresses_of(listening, addresses);
    bool fails = false;
    struct fault fault;

    _Static_assert((int)HEARTBEAT_SOCKETS_MAX >= (int)LISTENER_SOCKETS_MAX, "a socket for each TCP port");
    if (!options->per_second)
        return;
    if (!heartbeat->heartbeat.loop)
        heartbeat_open(&heartbeat->heartbeat, loop, options);
    for (unsigned i = 0; i < count; i++) {
        bool is_bound = heartbeat_bind(&heartbeat->heartbeat, &addresses[i], &fault);
        fails = fails || !is_bound;
        if (!is_bound && !heartbeat->fails)
            log_say_of(options->log, LOG_WARN, options->route, "UDP heartbeats are not answered: %s",
                       fault.text);
    }
    heartbeat->fails = fails;
}

void route_heartbeat_change(struct route_heartbeat *heartbeat, const struct heartbeat_options *options,
                            const struct listening *listening)
{
    struct socket_address addresses[LISTENER_SOCKETS_MAX];

    if (!options->per_second) {
        route_heartbeat_close(heartbeat);
    } else if (heartbeat->heartbeat.loop) {
        heartbeat_set_options(&heartbeat->heartbeat, options);
        heartbeat_keep(&heartbeat->heartbeat, addresses, addresses_of(listening, addresses));
    }
    heartbeat->fails = false;
}

void route_heartbeat_close(struct route_heartbeat *heartbeat)
{
    heartbeat_close(&heartbeat->heartbeat);
    heartbeat->fails = false;
}
