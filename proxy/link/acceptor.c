#include "link/acceptor.h"

void acceptor_init(struct acceptor *acceptor, struct reactor *reactor, const struct route_options *route,
                   struct credentials *credentials)
{
    *acceptor = (struct acceptor) { .reactor = reactor, .route = route, .credentials = credentials };
    tls_handshakes_init(&acceptor->handshakes, reactor, route);
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
    acceptor->generation++;
}

static void changed(struct acceptor *acceptor)
{
    if (acceptor->on_change)
        acceptor->on_change(acceptor->owner);
}

void acceptor_options_changed(struct acceptor *acceptor)
{
    changed(acceptor);
}

void acceptor_count(struct acceptor *acceptor, int connections)
{
    if (connections == 1 && acceptor->has_claim)
        acceptor->has_claim = false;
    else
        atomic_fetch_add_explicit(&acceptor->connections, (unsigned)connections, memory_order_relaxed);
    changed(acceptor);
}

void acceptor_begin_handshake(struct acceptor *acceptor, struct tls_handshake *handshake, struct task *task)
{
    tls_handshake_begin(&acceptor->handshakes, handshake, task);
    changed(acceptor);
}

void acceptor_advance_handshake(struct acceptor *acceptor, struct tls_handshake *handshake,
                                struct tls_progress progress)
{
    tls_handshake_advance(&acceptor->handshakes, handshake, progress);
    changed(acceptor);
}

void acceptor_end_handshake(struct acceptor *acceptor, struct tls_handshake *handshake)
{
    tls_handshake_end(&acceptor->handshakes, handshake);
    changed(acceptor);
}

void acceptor_reserve(struct acceptor *acceptor)
{
    atomic_fetch_add_explicit(&acceptor->connections, 1, memory_order_relaxed);
}

void acceptor_unreserve(struct acceptor *acceptor)
{
    atomic_fetch_sub_explicit(&acceptor->connections, 1, memory_order_relaxed);
}

void acceptor_claim(struct acceptor *acceptor)
{
    acceptor->has_claim = true;
}

void acceptor_unclaim(struct acceptor *acceptor)
{
    if (acceptor->has_claim)
        acceptor_unreserve(acceptor);
    acceptor->has_claim = false;
}

unsigned acceptor_connections(const struct acceptor *acceptor)
{
    return atomic_load_explicit(&acceptor->connections, memory_order_relaxed);
}

bool acceptor_is_full(const struct acceptor *acceptor)
{
    return acceptor_connections(acceptor) >= acceptor->route->max_connections ||
           tls_handshakes_are_full(&acceptor->handshakes);
}
