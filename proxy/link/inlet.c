#include "link/inlet.h"

#include "base/clock.h"
#include "worker/worker.h"
#include "wire/socket.h"

void inlet_open(struct inlet *inlet, struct worker *worker, int fd, const struct socket_address *peer,
                leg_on_ready *on_ready, void *owner)
{
    const struct route_options *route = worker->route;
    struct credentials *credentials = worker->credentials[SIDE_DOWNSTREAM];
    struct side_metrics *metrics = &worker->metrics.side[SIDE_DOWNSTREAM];

    *inlet = (struct inlet) {
        .worker = worker,
        .state = INLET_WAITING,
        .accepted_ms = clock_monotonic_ms(),
        .peer = *peer,
    };
    inlet->deadline_ms = inlet->accepted_ms + route->dial_delay_ms;
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
    inlet->deadline_ms = inlet->accepted_ms + route->handshake_timeout_ms;
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
        inlet->deadline_ms = clock_monotonic_ms() + inlet->worker->route->dial_delay_ms;
    } else if (clock_monotonic_ms() >= worker_handshake_deadline_ms(inlet->worker, inlet->accepted_ms)) {
        leg_break(leg, END_HANDSHAKE_TIMEOUT);
    }
    return leg->broken;
}

enum inlet_news inlet_listen(struct inlet *inlet, struct buffer *early)
{
    struct leg *leg = &inlet->leg;

    /* Once the dial has begun, a TLS peer's close_notify may be a half-close, and is left for the upstream.
     * One that has reset is gone: reading tells whether it left anything. */
    if (leg->tls && !early->length &&
        (inlet->state == INLET_WAITING || socket_check(leg->fd, 0) == END_RESET))
        (void)leg_read(leg, early, inlet->worker->route->buffer_bytes);
    if (early->length)
        return INLET_HAS_DATA;
    if (leg->read_over)
        return INLET_GONE;
    switch (socket_peek(leg->fd)) {
    case SOCKET_HAS_DATA:
        /* Of TLS, less than a record: it will be read when the rest is there. */
        return leg->tls && inlet->state == INLET_WAITING ? INLET_SILENT : INLET_HAS_DATA;
    case SOCKET_ENDED:
        return INLET_GONE;
    default:
        return INLET_SILENT;
    }
}

enum end_reason inlet_departure(const struct inlet *inlet)
{
    enum end_reason broken = inlet->leg.broken;

    if (broken != END_NONE && broken != END_RESET && broken != END_TRUNCATED)
        return broken;
    return inlet->state == INLET_READY ? END_LEFT : END_PROBE;
}

enum end_reason inlet_advance(struct inlet *inlet, struct buffer *early)
{
    struct leg *leg = &inlet->leg;

    if (leg->broken != END_NONE)
        return leg->broken;
    if (inlet->state == INLET_SECURING) {
        enum end_reason reason = inlet_secure(inlet, early);
        if (reason != END_NONE || inlet->state == INLET_SECURING)
            return reason;
    }
    if (inlet->state == INLET_WAITING) {
        enum inlet_news news = inlet_listen(inlet, early);
        if (news == INLET_GONE)
            return inlet_departure(inlet);
        if (news == INLET_HAS_DATA || clock_monotonic_ms() >= inlet->deadline_ms) {
            inlet->state = INLET_READY;
            inlet->deadline_ms = 0;
        }
    }
    return END_NONE;
}
