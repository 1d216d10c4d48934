#include "relay/inlet.h"

#include "relay/worker.h"
#include "wire/socket.h"

void inlet_open(struct inlet *inlet, struct worker *worker, int fd, const struct socket_address *peer,
                leg_on_ready *on_ready, void *owner)
{
    const struct route_options *route = worker->route;
    struct credentials *credentials = worker->credentials[SIDE_DOWNSTREAM];
    struct side_metrics *metrics = &worker->metrics.side[SIDE_DOWNSTREAM];

    *inlet = (struct inlet) { .worker = worker, .state = INLET_WAITING, .peer = *peer };
    inlet->deadline_ms = worker_now_ms(worker) + route->dial_delay_ms;
    socket_tune(fd, route->dead_peer_ms);
    leg_open(&inlet->leg, &worker->io, fd, metrics, on_ready, owner);
    metrics_add(&metrics->opened, 1);
    if (!credentials)
        return;
    struct tls_channel *tls = tls_channel_new(&worker->io.tls, credentials, NULL, NULL);
    if (!tls) {
        leg_break(&inlet->leg, END_NO_MEMORY);
        return;
    }
    inlet->state = INLET_SECURING;
    inlet->deadline_ms = worker_now_ms(worker) + route->handshake_timeout_ms;
    leg_start_tls(&inlet->leg, tls);
}

static enum end_reason inlet_secure(struct inlet *inlet, struct buffer *early)
{
    struct leg *leg = &inlet->leg;
    enum leg_status status = LEG_MOVED;

    while (status == LEG_MOVED && !leg_is_secured(leg))
        status = leg_read(leg, early, inlet->worker->route->buffer_bytes);
    if (leg->broken != END_NONE)
        return leg->broken;
    if (leg_is_secured(leg)) {
        inlet->state = INLET_WAITING;
        inlet->deadline_ms = worker_now_ms(inlet->worker) + inlet->worker->route->dial_delay_ms;
    } else if (worker_now_ms(inlet->worker) >= inlet->deadline_ms) {
        leg_break(leg, END_HANDSHAKE_TIMEOUT);
    }
    return leg->broken;
}

enum end_reason inlet_check(struct inlet *inlet, const struct buffer *early)
{
    if (early->length)
        return END_NONE;
    if (inlet->leg.read_over || socket_peek(inlet->leg.fd) == SOCKET_ENDED)
        return inlet->state == INLET_READY ? END_LEFT : END_PROBE;
    return END_NONE;
}

enum end_reason inlet_advance(struct inlet *inlet, struct buffer *early)
{
    if (inlet->leg.broken != END_NONE)
        return inlet->leg.broken;
    if (inlet->state == INLET_SECURING) {
        enum end_reason reason = inlet_secure(inlet, early);
        if (reason != END_NONE || inlet->state == INLET_SECURING)
            return reason;
    }
    if (inlet->state == INLET_WAITING) {
        enum end_reason reason = inlet_check(inlet, early);
        if (reason != END_NONE)
            return reason;
        if (early->length || socket_peek(inlet->leg.fd) == SOCKET_HAS_DATA ||
            worker_now_ms(inlet->worker) >= inlet->deadline_ms) {
            inlet->state = INLET_READY;
            inlet->deadline_ms = 0;
        }
    }
    return END_NONE;
}
