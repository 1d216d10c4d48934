#include "delivery/upstream_step.h"

enum {
    STEP_BYTES = 256 * 1024, /* moved per step, so that one busy connection does not delay others */
    INCOMING_BYTES = 64 * 1024,
};

static struct reactor *reactor_of(const struct upstream *upstream)
{
    return upstream->shared->transport->reactor;
}

static const struct route_options *route_of(const struct upstream *upstream)
{
    return upstream->shared->transport->route;
}

/* ---- settling ---- */

/* A message has an answer. A window that the peer has closed ends with the last message of its sender. */
static void message_count(struct upstream *upstream, struct message *message)
{
    struct sender *sender = message->sender;

    if (sender && sender_is_closed(sender) &&
        !in_flight_has_sender(&upstream->stream.in_flight, sender->number))
        sender_note_window(sender, upstream->id, SENDER_OPEN);
    if (upstream->use == UPSTREAM_ISOLATED)
        upstream_release(upstream);
}

static void message_settle(struct upstream *upstream, struct message *message, enum upstream_settlement how)
{
    message_count(upstream, message);
    upstream->shared->events->on_settled(upstream->shared->observer, upstream, message, how);
}

/* Messages that expect no ack settle when the socket has taken them. */
static void taken_settle(struct upstream *upstream)
{
    uint64_t taken = upstream_stream_taken(&upstream->stream, upstream->outlet.leg.unsent.length);
    struct message *message;

    while ((message = in_flight_take_taken(&upstream->stream.in_flight, taken)))
        message_settle(upstream, message, UPSTREAM_TAKEN);
}

static void refused_settle(struct upstream *upstream, const struct in_flight_answer *answer)
{
    const struct connection_end refusal = upstream_end_of(upstream, answer->reason);

    connection_log_refusal(&upstream->shared->transport->connection_log, &refusal);
    message_count(upstream, answer->message);
    upstream->shared->events->on_refused(upstream->shared->observer, upstream, answer->message,
                                         answer->refused, answer->reason);
}

static void works_note(struct upstream *upstream)
{
    if (!upstream->is_proven)
        outlet_report_works(&upstream->outlet, &upstream->shared->transport->connection_log);
    upstream->is_proven = true;
}

static void answer_note(struct upstream *upstream, const struct in_flight_answer *answer)
{
    if (!answer->is_waiting && !answer->message)
        return;
    works_note(upstream);
    /* New connections may have another upstream, or other credentials, than one that retires. */
    if (answer->message && upstream->retires_for == END_NONE)
        dialer_note_ack(&upstream->shared->transport->dialer);
    if (answer->waiting != upstream->peer_waits && answer->waiting != END_NONE)
        connection_log_waiting(&upstream->shared->transport->connection_log, answer->waiting,
                               outlet_address(&upstream->outlet));
    upstream->peer_waits = answer->waiting;
}

/* After goaway the connection retires like an old connection. A husk that stops is left for other endpoints.
 */
static void goaway_note(struct upstream *upstream, const struct in_flight_answer *answer)
{
    if (!answer->is_goaway || upstream->got_goaway)
        return;
    upstream->got_goaway = true;
    connection_log_goaway(&upstream->shared->transport->connection_log, answer->goaway,
                          outlet_address(&upstream->outlet));
    if (answer->goaway == END_DISTRUSTED || answer->goaway == END_EXPIRED)
        dialer_await_again(&upstream->shared->transport->dialer);
    if (answer->goaway == END_SHUTDOWN)
        outlet_note_leaving(&upstream->outlet);
    upstream_retire(upstream, END_RETIRED);
}

/* Takes the complete answers. END_NONE, or why an answer is refused. */
static enum end_reason answers_take(struct upstream *upstream)
{
    while (upstream->stream.incoming.length) {
        struct in_flight_answer answer;
        enum end_reason reason = in_flight_take_answer(
            &upstream->stream.in_flight, &upstream->stream.incoming, reactor_of(upstream)->now_us, &answer);
        if (answer.is_of_aggregator)
            peer_acks_note(&upstream->acks);
        if (reason != END_NONE || !answer.is_complete)
            return reason;
        answer_note(upstream, &answer);
        goaway_note(upstream, &answer);
        /* A frame may stand only between two messages. The next ack offers the link again. */
        if (answer.offers_link && !upstream->outlet.leg.tls && upstream->use != UPSTREAM_CUT_THROUGH &&
            route_of(upstream)->upstream_link == ROUTE_LINK_AUTO)
            upstream_begin_link(upstream);
        if (answer.sender)
            sender_note_window(answer.sender, upstream->id, answer.is_closed ? SENDER_CLOSED : SENDER_OPEN);
        if (!answer.message)
            continue;
        upstream->acked_count++;
        if (answer.refused)
            refused_settle(upstream, &answer);
        else
            message_settle(upstream, answer.message, UPSTREAM_ACKED);
    }
    return END_NONE;
}

/* ---- steps of the states ---- */

/* Whether husk knows at once that the peer is a husk that speaks the link. */
static bool speaks_link(const struct upstream *upstream)
{
    return upstream->outlet.leg.tls ? leg_peer_protocol(&upstream->outlet.leg) == TLS_PEER_LINK
                                    : route_of(upstream)->upstream_link == ROUTE_LINK_ON;
}

static struct step open_step(struct upstream *upstream)
{
    struct connection_log *connection_log = &upstream->shared->transport->connection_log;
    struct step step =
        outlet_establish(&upstream->outlet, &upstream->stream.incoming, &upstream->stream.outgoing);

    if (step.outcome != STEP_GOES_ON)
        return step;
    in_flight_queue(&upstream->stream.in_flight,
                    upstream->stream.outgoing.length); /* the last bytes of authentication */
    upstream->state = UPSTREAM_READY;
    if (speaks_link(upstream))
        upstream_begin_link(upstream);
    upstream->ready_ms = reactor_of(upstream)->now_ms;
    dialer_report(&upstream->shared->transport->dialer, END_NONE);
    connection_log_secured(connection_log, SIDE_UPSTREAM, &upstream->outlet.leg,
                           outlet_address(&upstream->outlet));
    upstream->shared->events->on_ready(upstream->shared->observer, upstream);
    return step;
}

static bool is_drained(const struct upstream *upstream)
{
    return !upstream->stream.in_flight.ledger.count && upstream->use != UPSTREAM_CUT_THROUGH &&
           !upstream->stream.outgoing.length && !upstream->outlet.leg.unsent.length;
}

/* Why the connection ends when the peer has ended it. After goaway the end is a failure neither of the peer
 * nor of a message. */
static enum end_reason peer_end(const struct upstream *upstream, enum end_reason reason)
{
    return upstream->got_goaway ? upstream->retires_for : reason;
}

/* Why a ready connection must end; END_NONE: it goes on. */
static enum end_reason verdict(const struct upstream *upstream)
{
    const struct leg *leg = &upstream->outlet.leg;
    bool is_in_use = upstream->stream.in_flight.ledger.count || upstream->use == UPSTREAM_CUT_THROUGH;

    if (leg->broken == END_RESET || leg->broken == END_TRUNCATED)
        return peer_end(upstream, leg->broken);
    if (leg->broken != END_NONE)
        return leg->broken;
    if (leg->read_over)
        return peer_end(upstream, is_in_use ? END_UPSTREAM_CLOSED : END_CLOSED);
    bool is_late = upstream->end_at_ms && reactor_of(upstream)->now_ms >= upstream->end_at_ms;
    return is_late || is_drained(upstream) ? upstream->retires_for : END_NONE;
}

/* Moves messages and acks until nothing moves or STEP_BYTES have moved. After STEP_BYTES the connection
 * continues in the next turn. */
static enum end_reason bytes_move(struct upstream *upstream)
{
    struct leg *leg = &upstream->outlet.leg;
    enum end_reason reason = END_NONE;
    size_t total = 0, moved;

    peer_acks_update(&upstream->acks);
    do {
        size_t before = upstream->stream.outgoing.length;
        (void)leg_write(leg, &upstream->stream.outgoing);
        moved = before - upstream->stream.outgoing.length;
        before = upstream->stream.incoming.length;
        (void)leg_read(leg, &upstream->stream.incoming, INCOMING_BYTES);
        moved += upstream->stream.incoming.length - before;
        reason = answers_take(upstream);
        total += moved;
    } while (moved && total < STEP_BYTES && reason == END_NONE);
    taken_settle(upstream);
    if (moved)
        upstream_wake(upstream);
    return reason;
}

/* husk has ended its direction: reads what still comes. Once in a turn: the peer may send without end. */
static struct step asking_step(struct upstream *upstream)
{
    enum leg_status status = leg_read(&upstream->outlet.leg, &upstream->stream.incoming, INCOMING_BYTES);
    bool goes_on = status == LEG_MOVED && reactor_of(upstream)->now_ms < upstream->acks.asks_until_ms;

    if (answers_take(upstream) != END_NONE)
        buffer_clear(&upstream->stream.incoming);
    if (goes_on)
        upstream_wake(upstream);
    enum end_reason reason = goes_on ? END_NONE : peer_acks_check(&upstream->acks);
    taken_settle(upstream);
    return step_waits_unless(reason);
}

/* When a connection proves by its age that the upstream works. */
static uint64_t proof_ms(const struct upstream *upstream)
{
    return upstream->ready_ms + UPSTREAM_BRIEF_MS;
}

static struct step ready_step(struct upstream *upstream)
{
    const struct upstream_shared *shared = upstream->shared;
    bool was_isolated = upstream->use == UPSTREAM_ISOLATED;
    enum end_reason reason = bytes_move(upstream);

    upstream_judge(upstream);
    if (upstream->retire_at_ms && upstream->retires_for == END_NONE &&
        reactor_of(upstream)->now_ms >= upstream->retire_at_ms)
        shared->events->on_old(shared->observer, upstream);
    reason = reason != END_NONE ? reason : verdict(upstream);
    reason = reason != END_NONE ? reason : peer_acks_check_time(&upstream->acks);
    reason = reason != END_NONE ? reason : outlet_check_peer(&upstream->outlet);
    if (upstream->use != UPSTREAM_CUT_THROUGH && peer_acks_ask(&upstream->acks, reason)) {
        upstream->state = UPSTREAM_ASKING;
        if (upstream->retires_for == END_NONE)
            upstream->retires_for = END_RETIRED; /* another connection may take its place */
        return step_waits_unless(END_NONE);
    }
    if (reason != END_NONE)
        return step_waits_unless(reason);
    if (reactor_of(upstream)->now_ms >= proof_ms(upstream) &&
        !in_flight_expects_ack(&upstream->stream.in_flight))
        works_note(upstream);
    bool is_given_up = reservation_check(&upstream->reservation, reactor_of(upstream)->now_ms);
    shared->events->on_progress(shared->observer, upstream);
    if ((was_isolated || is_given_up) && upstream->use == UPSTREAM_SHARED)
        shared->events->on_released(shared->observer, upstream);
    return step_waits_unless(END_NONE);
}

static void watch(struct upstream *upstream)
{
    struct timer *timer = &upstream->timer;

    switch (upstream->state) {
    case UPSTREAM_OPENING:
        outlet_watch(&upstream->outlet);
        timer_set(timer, outlet_deadline(&upstream->outlet));
        break;
    case UPSTREAM_READY:
        leg_watch(&upstream->outlet.leg, LEG_READ);
        timer_set(timer,
                  timer_earlier(upstream->outlet.check_ms, in_flight_deadline(&upstream->stream.in_flight)));
        timer_set(timer, upstream->retires_for == END_NONE ? upstream->retire_at_ms : upstream->end_at_ms);
        timer_set(timer, upstream->outlet.life.due_ms);
        timer_set(timer, reservation_deadline(&upstream->reservation));
        if (reactor_of(upstream)->now_ms < proof_ms(upstream))
            timer_set(timer, proof_ms(upstream));
        break;
    case UPSTREAM_ASKING:
        leg_watch(&upstream->outlet.leg, LEG_READ);
        timer_set(timer, upstream->acks.asks_until_ms);
        break;
    case UPSTREAM_ENDED:
        break;
    }
}

void upstream_step(void *task)
{
    struct upstream *upstream = task;
    struct step step =
        step_goes_on_unless(upstream->state < UPSTREAM_READY ? upstream->retires_for : END_NONE);

    if (step.outcome == STEP_GOES_ON && upstream->state == UPSTREAM_OPENING)
        step = open_step(upstream);
    if (step.outcome == STEP_GOES_ON && upstream->state == UPSTREAM_READY)
        step = ready_step(upstream);
    else if (step.outcome == STEP_GOES_ON && upstream->state == UPSTREAM_ASKING)
        step = asking_step(upstream);
    if (step.outcome == STEP_ENDS)
        upstream_end(upstream, step.reason);
    else
        watch(upstream);
}
