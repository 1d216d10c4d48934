#include "link/acceptor.h"

void acceptor_init(struct acceptor *acceptor, struct reactor *reactor, const struct route_options *route,
                   struct credentials *credentials)
{
    *acceptor = (struct acceptor) { .reactor = reactor, .route = route, .credentials = credentials };
}

void acceptor_deinit(struct acceptor *acceptor)
{
    credentials_release(acceptor->credentials);
    acceptor->credentials = NULL;
}

void acceptor_observe(struct acceptor *acceptor, acceptor_on_change *on_change, void *owner)
{
    acceptor->on_change = on_change;
    acceptor->owner = owner;
}

void acceptor_set_credentials(struct acceptor *acceptor, struct credentials *credentials)
{
    credentials_release(acceptor->credentials);
    acceptor->credentials = credentials;
}

void acceptor_count(struct acceptor *acceptor, int connections, int handshakes)
{
    acceptor->handshakes += (unsigned)handshakes;
    atomic_fetch_add_explicit(&acceptor->connections, (unsigned)connections, memory_order_relaxed);
    if (acceptor->on_change)
        acceptor->on_change(acceptor->owner);
}

void acceptor_reserve(struct acceptor *acceptor)
{
    atomic_fetch_add_explicit(&acceptor->connections, 1, memory_order_relaxed);
}

void acceptor_unreserve(struct acceptor *acceptor)
{
    atomic_fetch_sub_explicit(&acceptor->connections, 1, memory_order_relaxed);
}

unsigned acceptor_connections(const struct acceptor *acceptor)
{
    return atomic_load_explicit(&acceptor->connections, memory_order_relaxed);
}

bool acceptor_handshakes_are_full(const struct acceptor *acceptor)
{
    return acceptor->handshakes >= acceptor->route->max_handshakes;
}

bool acceptor_is_full(const struct acceptor *acceptor)
{
    return acceptor_connections(acceptor) >= acceptor->route->max_connections ||
           acceptor_handshakes_are_full(acceptor);
}

uint64_t acceptor_handshake_deadline_ms(const struct acceptor *acceptor, uint64_t accepted_ms)
{
    uint64_t timeout_ms = acceptor->route->handshake_timeout_ms;

    if (acceptor_handshakes_are_full(acceptor) && timeout_ms > ACCEPTOR_FULL_HANDSHAKE_MS)
        timeout_ms = ACCEPTOR_FULL_HANDSHAKE_MS;
    return accepted_ms + timeout_ms;
}
