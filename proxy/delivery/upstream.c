#include "delivery/upstream.h"

#include <stdlib.h>

enum {
    STEP_BYTES = 256 * 1024, /* moved per step, so that one busy connection does not delay others */
    INCOMING_BYTES = 64 * 1024,
    GONE_DELAY_MS = 1000,    /* how long the end of a sender may wait for other bytes to be sent with it */
    FLUSH_BYTES = 240 * 1024 /* more bytes are written at once, while they are in the processor's cache */
};

static void upstream_step(struct upstream *upstream);

static void on_task(void *task)
{
    upstream_step(task);
}

static struct reactor *reactor_of(const struct upstream *upstream)
{
    return upstream->shared->transport->reactor;
}

static const struct route_options *route_of(const struct upstream *upstream)
{
    return upstream->shared->transport->route;
}

/* ---- open and end ---- */

struct upstream *upstream_open(const struct upstream_shared *shared, uint64_t id, size_t endpoint_at)
{
    struct reactor *reactor = shared->transport->reactor;
    struct upstream *upstream = calloc(1, sizeof *upstream);

    if (!upstream)
        return NULL;
    upstream->task.run = on_task;
    upstream->shared = shared;
    upstream->id = id;
    upstream->endpoint_at = endpoint_at;
    upstream->opened_ms = reactor->now_ms;
    upstream->reservation.upstream = upstream;
    upstream->acks = (struct peer_acks) { .transport = shared->transport,
                                          .outlet = &upstream->outlet,
                                          .stream = &upstream->stream };
    upstream_stream_init(&upstream->stream, &reactor->pool, &reactor->metrics.messages,
                         shared->transport->route->ack_timeout_ms);
    timer_init(&upstream->timer, reactor, on_task, &upstream->task);
    outlet_open(&upstream->outlet, &shared->transport->dialer, &upstream->task);
    if (endpoint_at < ENDPOINTS_MAX)
        outlet_aim(&upstream->outlet, endpoint_at);
    upstream_wake(upstream);
    return upstream;
}

static struct connection_end end_of(const struct upstream *upstream, enum end_reason reason)
{
    return (struct connection_end) {
        .side = SIDE_UPSTREAM,
        .reason = reason,
        .phase = upstream->state >= UPSTREAM_READY ? "deliver" : outlet_phase(&upstream->outlet),
        .detail = outlet_detail(&upstream->outlet),
        .leg = &upstream->outlet.leg,
        .upstream = outlet_address(&upstream->outlet),
        .opened_ms = upstream->opened_ms,
    };
}

static void end_report(struct upstream *upstream, enum end_reason reason)
{
    struct transport *transport = upstream->shared->transport;
    const struct connection_end end = end_of(upstream, reason);

    outlet_count_end(&upstream->outlet, reason);
    connection_log_write(&transport->connection_log, &end);
    if (end_reason_is_ours(reason))
        return;
    if (upstream->state < UPSTREAM_READY || !end_reason_is_benign(reason))
        dialer_report(&transport->dialer, reason);
    /* The outlet has already counted a failed dial. */
    if (upstream->outlet.state == OUTLET_READY && retry_blames_address(upstream->fault) &&
        !end_reason_is_local(reason))
        outlet_blame_endpoint(&upstream->outlet);
}

void upstream_end(struct upstream *upstream, enum end_reason reason)
{
    struct leg *leg = &upstream->outlet.leg;

    if (upstream->state == UPSTREAM_ENDED)
        return;
    upstream->fault = upstream->shared->events->judge(upstream->shared->observer, upstream, reason);
    end_report(upstream, reason);
    upstream->state = UPSTREAM_ENDED;
    if (upstream->reservation.message)
        reservation_cancel(upstream->reservation.message);
    bool in_order =
        end_reason_is_benign(reason) && leg->broken == END_NONE && upstream->use != UPSTREAM_CUT_THROUGH;
    if (in_order && leg->fd >= 0)
        (void)leg_finish(leg);
    outlet_close(&upstream->outlet, in_order ? LEG_CLOSE : LEG_RESET);
    upstream_stream_clear(&upstream->stream);
    timer_stop(&upstream->timer);
    reactor_reap(reactor_of(upstream), &upstream->task);
    upstream->shared->events->on_ended(upstream->shared->observer, upstream, reason);
}

void upstream_wake(struct upstream *upstream)
{
    reactor_queue(reactor_of(upstream), &upstream->task);
}

void upstream_fail(struct upstream *upstream, enum end_reason reason)
{
    leg_break(&upstream->outlet.leg, reason);
    upstream_wake(upstream);
}

void upstream_retire(struct upstream *upstream)
{
    upstream->is_retiring = true;
    upstream_wake(upstream);
}

void upstream_set_retirement(struct upstream *upstream, uint64_t retire_at_ms)
{
    upstream->retire_at_ms = retire_at_ms;
}

bool upstream_locate(struct upstream *upstream)
{
    return outlet_locate(&upstream->outlet, &upstream->endpoint_at);
}

struct message *upstream_failed_message(const struct upstream *upstream, enum end_reason reason)
{
    return upstream->holder ? upstream->holder->message
                            : in_flight_failed(&upstream->stream.in_flight, reason);
}

uint64_t upstream_sent_us(const struct upstream *upstream, const struct message *message)
{
    return upstream->holder ? upstream->held_us : message->entry.filed_us;
}

struct message *upstream_take_unsettled(struct upstream *upstream)
{
    return in_flight_take_oldest(&upstream->stream.in_flight);
}

/* ---- sending ---- */

bool upstream_has_space(const struct upstream *upstream)
{
    return upstream->state == UPSTREAM_READY && leg_can_send(&upstream->outlet.leg) &&
           upstream->stream.outgoing.length < route_of(upstream)->buffer_bytes;
}

bool upstream_is_available(const struct upstream *upstream)
{
    return upstream->use == UPSTREAM_SHARED && !upstream->reservation.message && !upstream->is_retiring &&
           (!upstream->outlet.leg.tls || in_flight_acks_fit(&upstream->stream.in_flight)) &&
           upstream_has_space(upstream);
}

/* Ends the connection in its next step if a write ran out of memory. */
static void check_written(struct upstream *upstream, bool is_written)
{
    if (!is_written)
        leg_break(&upstream->outlet.leg, END_NO_MEMORY);
}

/* Whether it is known at once that the peer is a husk that speaks the link. */
static bool speaks_link(const struct upstream *upstream)
{
    return upstream->outlet.leg.tls ? leg_peer_protocol(&upstream->outlet.leg) == TLS_PEER_LINK
                                    : route_of(upstream)->upstream_link == ROUTE_LINK_ON;
}

static void link_begin(struct upstream *upstream)
{
    check_written(upstream,
                  upstream_stream_begin_link(&upstream->stream, route_of(upstream)->ack_timeout_ms));
}

void upstream_say_gone(struct upstream *upstream, uint64_t sender_number)
{
    /* A frame may not stand inside a message. The peer also forgets idle senders without this frame. */
    if (!upstream->stream.link.is_link || upstream->state != UPSTREAM_READY ||
        upstream->use == UPSTREAM_CUT_THROUGH)
        return;
    check_written(upstream, upstream_stream_say_gone(&upstream->stream, sender_number));
    timer_set(&upstream->timer, reactor_of(upstream)->now_ms + GONE_DELAY_MS);
}

/* The next step reports a failure. */
static void flush(struct upstream *upstream)
{
    if (upstream->stream.outgoing.length >= FLUSH_BYTES)
        (void)leg_write(&upstream->outlet.leg, &upstream->stream.outgoing);
    upstream_wake(upstream);
}

/* A message is in flight. */
static void note_filed(struct upstream *upstream, const struct message *message)
{
    if (message_is_isolated(message))
        upstream->use = UPSTREAM_ISOLATED;
    flush(upstream);
}

void upstream_file(struct upstream *upstream, struct message *message)
{
    in_flight_file(&upstream->stream.in_flight, message, reactor_of(upstream)->now_us);
    note_filed(upstream, message);
}

void upstream_send(struct upstream *upstream, struct message *message)
{
    check_written(upstream, upstream_stream_put(&upstream->stream, message, reactor_of(upstream)->now_us));
    note_filed(upstream, message);
    if (!message->sender)
        upstream_say_gone(upstream, message->entry.sender);
}

void upstream_reserve(struct upstream *upstream, struct message *message, uint64_t delay_ms)
{
    reservation_make(&upstream->reservation, message, reactor_of(upstream)->now_ms + delay_ms);
    upstream_wake(upstream); /* its timer must be set */
}

void upstream_redeem(struct upstream *upstream)
{
    reservation_cancel(upstream->reservation.message);
    upstream->reservation.due_ms = 0;
    upstream->was_quiet = true;
}

void upstream_hasten(struct upstream *upstream, uint64_t delay_ms)
{
    reservation_hasten(&upstream->reservation, reactor_of(upstream)->now_ms + delay_ms);
    upstream_wake(upstream);
}

void upstream_hold(struct upstream *upstream, struct exclusive_request *holder, uint64_t sender_number)
{
    check_written(upstream, upstream_stream_name(&upstream->stream, sender_number));
    upstream->use = UPSTREAM_CUT_THROUGH;
    upstream->holder = holder;
    upstream->held_us = reactor_of(upstream)->now_us;
}

bool upstream_put(struct upstream *upstream, struct buffer *piece)
{
    bool moved = upstream_stream_put_piece(&upstream->stream, piece);

    flush(upstream);
    return moved;
}

void upstream_release(struct upstream *upstream)
{
    upstream->use = UPSTREAM_SHARED;
    upstream->holder = NULL;
    upstream->was_quiet = false;
}

void upstream_abort(struct upstream *upstream)
{
    upstream_release(upstream);
    leg_break(&upstream->outlet.leg, END_OTHER_SIDE); /* by a reset: the message is incomplete */
    upstream_end(upstream, END_OTHER_SIDE);
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
    const struct connection_end refusal = end_of(upstream, answer->reason);

    connection_log_refusal(&upstream->shared->transport->connection_log, &refusal);
    message_count(upstream, answer->message);
    upstream->shared->events->on_refused(upstream->shared->observer, upstream, answer->message,
                                         answer->refused, answer->reason);
}

static void waiting_note(struct upstream *upstream, const struct in_flight_answer *answer)
{
    if (!answer->is_waiting && !answer->message)
        return;
    if (answer->waiting != upstream->peer_waits && answer->waiting != END_NONE)
        connection_log_waiting(&upstream->shared->transport->connection_log, answer->waiting,
                               outlet_address(&upstream->outlet));
    upstream->peer_waits = answer->waiting;
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
        waiting_note(upstream, &answer);
        /* A frame may stand only between two messages. The next ack offers the link again. */
        if (answer.offers_link && !upstream->outlet.leg.tls && upstream->use != UPSTREAM_CUT_THROUGH &&
            route_of(upstream)->upstream_link == ROUTE_LINK_AUTO)
            link_begin(upstream);
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

static struct step open_step(struct upstream *upstream)
{
    struct step step =
        outlet_establish(&upstream->outlet, &upstream->stream.incoming, &upstream->stream.outgoing);

    if (step.outcome != STEP_GOES_ON)
        return step;
    in_flight_queue(&upstream->stream.in_flight,
                    upstream->stream.outgoing.length); /* the last bytes of authentication */
    upstream->state = UPSTREAM_READY;
    if (speaks_link(upstream))
        link_begin(upstream);
    upstream->ready_ms = reactor_of(upstream)->now_ms;
    dialer_report(&upstream->shared->transport->dialer, END_NONE);
    upstream->shared->events->on_ready(upstream->shared->observer, upstream);
    return step;
}

static bool is_drained(const struct upstream *upstream)
{
    return !upstream->stream.in_flight.ledger.count && upstream->use != UPSTREAM_CUT_THROUGH &&
           !upstream->stream.outgoing.length && !upstream->outlet.leg.unsent.length;
}

/* Why a ready connection must end; END_NONE: it goes on. */
static enum end_reason verdict(const struct upstream *upstream)
{
    const struct leg *leg = &upstream->outlet.leg;
    bool is_in_use = upstream->stream.in_flight.ledger.count || upstream->use == UPSTREAM_CUT_THROUGH;

    if (leg->broken != END_NONE)
        return leg->broken;
    if (leg->read_over)
        return is_in_use ? END_UPSTREAM_CLOSED : END_CLOSED;
    return upstream->is_retiring && is_drained(upstream) ? END_RETIRED : END_NONE;
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

static struct step ready_step(struct upstream *upstream)
{
    const struct upstream_shared *shared = upstream->shared;
    bool was_isolated = upstream->use == UPSTREAM_ISOLATED;
    enum end_reason reason = bytes_move(upstream);

    if (upstream->retire_at_ms && !upstream->is_retiring &&
        reactor_of(upstream)->now_ms >= upstream->retire_at_ms)
        shared->events->on_old(shared->observer, upstream);
    reason = reason != END_NONE ? reason : verdict(upstream);
    reason = reason != END_NONE ? reason : peer_acks_check_time(&upstream->acks);
    reason = reason != END_NONE ? reason : outlet_check_peer(&upstream->outlet);
    if (upstream->use != UPSTREAM_CUT_THROUGH && peer_acks_ask(&upstream->acks, reason)) {
        upstream->state = UPSTREAM_ASKING;
        upstream->is_retiring = true; /* another connection may take its place */
        return step_waits_unless(END_NONE);
    }
    if (reason != END_NONE)
        return step_waits_unless(reason);
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
        timer_set(timer, upstream->is_retiring ? 0 : upstream->retire_at_ms);
        timer_set(timer, reservation_deadline(&upstream->reservation));
        break;
    case UPSTREAM_ASKING:
        leg_watch(&upstream->outlet.leg, LEG_READ);
        timer_set(timer, upstream->acks.asks_until_ms);
        break;
    case UPSTREAM_ENDED:
        break;
    }
}

static void upstream_step(struct upstream *upstream)
{
    bool is_unwanted = upstream->is_retiring && upstream->state < UPSTREAM_READY;
    struct step step = step_goes_on_unless(is_unwanted ? END_RETIRED : END_NONE);

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
