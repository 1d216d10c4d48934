#include "link/transport.h"

void transport_init(struct transport *transport, struct reactor *reactor, const struct route_options *route,
                    struct log *log, struct credentials *const credentials[SIDE_COUNT])
{
    const struct dialer_options dialer = {
        .reactor = reactor,
        .route = route,
        .log = log,
        .metrics = &transport->metrics,
    };

    *transport = (struct transport) { .reactor = reactor, .route = route };
    acceptor_init(&transport->acceptor, reactor, route, credentials[SIDE_DOWNSTREAM]);
    refusals_init(&transport->refusals, &transport->acceptor);
    dialer_init(&transport->dialer, &dialer, credentials[SIDE_UPSTREAM]);
    connection_log_init(&transport->connection_log, reactor, log, route, &transport->metrics);
}

void transport_deinit(struct transport *transport)
{
    dialer_deinit(&transport->dialer);
    acceptor_deinit(&transport->acceptor);
}
