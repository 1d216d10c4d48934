#include "link/inlet.h"

#include "wire/socket.h"

static uint64_t now_ms(const struct inlet *inlet)
{
    return inlet->transport->reactor->now_ms;
}

static const struct route_options *route_of(const struct inlet *inlet)
{
    return inlet->transport->route;
}

void inlet_open(struct inlet *inlet, struct transport *transport, int fd, const struct socket_address *peer,
                struct task *task)
{
    struct acceptor *acceptor = &transport->acceptor;
    struct reactor *reactor = transport->reactor;
    struct side_metrics *metrics = &transport->metrics.side[SIDE_DOWNSTREAM];

    *inlet = (struct inlet) {
        .transport = transport,
        .state = acceptor->credentials ? INLET_SECURING : INLET_WAITING,
        .generation = acceptor->generation,
        .accepted_ms = reactor->now_ms,
        .peer = *peer,
    };
    leg_open(&inlet->leg, fd,
             &(struct leg_options) {
                 .io = &reactor->io, .metrics = metrics, .on_ready = task->run, .owner = task });
    metrics_add(&metrics->opened, 1);
    acceptor_count(acceptor, 1);
    refusals_give_way(&transport->refusals);
    if (inlet->state == INLET_WAITING) {
        inlet->deadline_ms = inlet->accepted_ms + route_of(inlet)->dial_delay_ms;
        return;
    }
    acceptor_begin_handshake(acceptor, &inlet->handshake, task);
    struct tls_channel *tls = tls_channel_new(&reactor->io.tls, acceptor->credentials, NULL, NULL);
    if (!tls) {
        leg_break(&inlet->leg, END_NO_MEMORY);
        return;
    }
    inlet->deadline_ms = inlet->accepted_ms + route_of(inlet)->handshake_timeout_ms;
    leg_start_tls(&inlet->leg, tls);
}

void inlet_close(struct inlet *inlet, enum leg_closing closing)
{
    struct leg *leg = &inlet->leg;
    struct acceptor *acceptor = &inlet->transport->acceptor;
    bool is_securing = inlet->state == INLET_SECURING;

    if (leg->fd < 0) /* see inlet_linger */
        return;
    if (is_securing)
        acceptor_end_handshake(acceptor, &inlet->handshake);
    if (is_securing && end_reason_sends_alert(leg->broken)) {
        const struct flight flight = tls_channel_flight(leg->tls);
        if (refusals_take(&inlet->transport->refusals, leg, &flight))
            return;
    }
    leg_close(leg, closing);
    acceptor_count(acceptor, -1);
}

bool inlet_linger(struct inlet *inlet)
{
    (void)leg_finish(&inlet->leg);
    return refusals_take(&inlet->transport->refusals, &inlet->leg, NULL);
}

enum end_reason inlet_judge(struct inlet *inlet)
{
    const struct acceptor *acceptor = &inlet->transport->acceptor;
    struct tls_channel *tls = inlet->leg.tls;
    const struct reactor *reactor = inlet->transport->reactor;
    bool is_judged = inlet->generation == acceptor->generation;

    if (inlet->state == INLET_SECURING)
        return END_NONE;
    inlet->generation = acceptor->generation;
    if (tls && !is_judged)
        tls_life_limit(&inlet->life, tls, reactor); /* the wall clock may have jumped */
    if (tls && tls_life_is_over(&inlet->life, tls, reactor))
        return END_EXPIRED;
    if (is_judged)
        return END_NONE;
    if (!tls || !acceptor->credentials) /* the route has begun or ceased to use TLS */
        return tls || acceptor->credentials ? END_DISTRUSTED : END_NONE;
    if (tls_channel_judge(tls, acceptor->credentials) != END_NONE)
        return END_DISTRUSTED;
    tls_life_limit(&inlet->life, tls, reactor);
    return END_NONE;
}

/* Why an unfinished TLS handshake ends before husk works on it: a peer that husk has not answered in time has
 * probably given up, and the work would delay those that wait. */
static enum end_reason handshake_verdict(const struct inlet *inlet)
{
    if (inlet->handshake.is_evicted)
        return END_HANDSHAKE_MEMORY;
    return !inlet->handshake.flights_sent && now_ms(inlet) >= inlet->deadline_ms ? leg_lateness(&inlet->leg)
                                                                                 : END_NONE;
}

static void inlet_secure(struct inlet *inlet, struct buffer *received)
{
    struct leg *leg = &inlet->leg;
    enum leg_status status = LEG_MOVED;

    while (status == LEG_MOVED && !leg_is_secured(leg))
        status = leg_read(leg, received, LEG_LEAST_WINDOW_BYTES);
    /* The handshake is over even if the leg broke afterwards, at a record in the same segment. */
    if (leg_is_secured(leg)) {
        inlet->state = INLET_WAITING;
        inlet->deadline_ms = now_ms(inlet) + route_of(inlet)->dial_delay_ms;
        tls_life_limit(&inlet->life, leg->tls, inlet->transport->reactor);
        acceptor_end_handshake(&inlet->transport->acceptor, &inlet->handshake);
    } else if (leg->broken == END_NONE) {
        struct acceptor *acceptor = &inlet->transport->acceptor;
        acceptor_advance_handshake(acceptor, &inlet->handshake, tls_channel_progress(leg->tls));
        if (inlet->handshake.is_evicted)
            leg_break(leg, END_HANDSHAKE_MEMORY);
        else if (now_ms(inlet) >= inlet->deadline_ms ||
                 tls_handshake_is_overdue(&acceptor->handshakes, &inlet->handshake))
            leg_break(leg, leg_lateness(leg));
    }
}

enum inlet_activity inlet_poll(struct inlet *inlet, struct buffer *received)
{
    struct leg *leg = &inlet->leg;

    /* In INLET_READY the upstream is dialled. A close_notify may then be a half-close and stays unread for
     * the upstream. After a reset, reading tells whether the peer has sent bytes. */
    if (leg->tls && !received->length &&
        (inlet->state == INLET_WAITING || socket_check(leg->fd, 0) == END_RESET))
        (void)leg_read(leg, received, LEG_LEAST_WINDOW_BYTES);
    if (received->length)
        return INLET_HAS_DATA;
    if (leg->read_over || leg->broken != END_NONE)
        return INLET_GONE;
    switch (socket_peek(leg->fd)) {
    case SOCKET_HAS_DATA:
        /* a TLS record is incomplete: it is read when the rest has arrived */
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

void inlet_watch(struct inlet *inlet)
{
    bool is_queued = inlet->state == INLET_SECURING && inlet->handshake.turn == TLS_HANDSHAKE_QUEUED;

    leg_watch(&inlet->leg, is_queued ? LEG_NO_READ : LEG_READ);
}

struct step inlet_advance(struct inlet *inlet, struct buffer *received)
{
    if (inlet->state == INLET_SECURING && inlet->leg.broken == END_NONE) {
        enum end_reason verdict = handshake_verdict(inlet);
        if (verdict != END_NONE)
            leg_break(&inlet->leg, verdict);
        else if (tls_handshake_take_turn(&inlet->transport->acceptor.handshakes, &inlet->handshake))
            inlet_secure(inlet, received);
    }
    if (inlet->state == INLET_SECURING)
        return step_waits_unless(inlet->leg.broken);
    if (inlet->state == INLET_WAITING) {
        enum inlet_activity activity = inlet_poll(inlet, received);
        if (activity == INLET_GONE)
            return step_waits_unless(inlet_departure(inlet));
        if (activity == INLET_SILENT && now_ms(inlet) < inlet->deadline_ms)
            return step_waits_unless(END_NONE);
        inlet->state = INLET_READY;
        inlet->deadline_ms = 0;
    }
    return step_goes_on_unless(END_NONE);
}
