#include "delivery/upstream.h"

#include <stdlib.h>
#include <string.h>

enum {
    GONE_DELAY_MS = 1000,    /* how long the end of a sender may wait for other bytes to be sent with it */
    FLUSH_BYTES = 240 * 1024 /* more bytes are written at once, while they are in the processor's cache */
};

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
    const struct hash_key key = hash_key_derive(shared->hash_key, id);

    if (!upstream)
        return NULL;
    upstream->task.run = shared->run;
    upstream->shared = shared;
    upstream->id = id;
    upstream->endpoint_at = endpoint_at;
    upstream->opened_ms = reactor->now_ms;
    upstream->reservation.upstream = upstream;
    upstream->acks = (struct peer_acks) { .transport = shared->transport,
                                          .outlet = &upstream->outlet,
                                          .stream = &upstream->stream };
    upstream_stream_init(&upstream->stream, &reactor->pool, &shared->transport->metrics.messages,
                         shared->transport->route->ack_timeout_ms, &key);
    timer_init(&upstream->timer, reactor, shared->run, &upstream->task);
    outlet_open(&upstream->outlet, &shared->transport->dialer, &upstream->task);
    if (endpoint_at < ENDPOINTS_MAX)
        outlet_aim(&upstream->outlet, endpoint_at);
    upstream_wake(upstream);
    return upstream;
}

struct connection_end upstream_end_of(const struct upstream *upstream, enum end_reason reason)
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
    const struct connection_end end = upstream_end_of(upstream, reason);
    size_t at;

    outlet_count_end(&upstream->outlet, reason);
    connection_log_write(&transport->connection_log, &end);
    if (end_reason_is_ours(reason))
        return;
    /* The end at an address that left the list says nothing about the upstream. */
    if (outlet_locate(&upstream->outlet, &at) &&
        (upstream->state < UPSTREAM_READY || !end_reason_is_benign(reason)))
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
        end_reason_is_orderly(reason) && leg->broken == END_NONE && upstream->use != UPSTREAM_CUT_THROUGH;
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

void upstream_retire(struct upstream *upstream, enum end_reason reason)
{
    if (upstream->retires_for != END_NONE && upstream->retires_for != END_RETIRED)
        return;
    upstream->retires_for = reason;
    if (reason != END_RETIRED)
        upstream->end_at_ms = reactor_of(upstream)->now_ms + route_of(upstream)->drain_timeout_ms;
    upstream_wake(upstream);
}

void upstream_judge(struct upstream *upstream)
{
    enum end_reason reason = outlet_judge(&upstream->outlet);

    if (reason != END_NONE)
        upstream_retire(upstream, reason);
}

void upstream_set_retirement(struct upstream *upstream, uint64_t retire_at_ms)
{
    upstream->retire_at_ms = retire_at_ms;
}

/* Up to a tenth more or less, so that connections opened together do not retire together. */
void upstream_limit_age(struct upstream *upstream)
{
    struct endpoint_pool *endpoints = &upstream->shared->transport->dialer.endpoints;
    uint64_t age_ms = route_of(upstream)->max_connection_age_ms;

    upstream->retire_at_ms =
        age_ms ? upstream->ready_ms + age_ms - age_ms / 10 + endpoint_pool_random(endpoints) % (age_ms / 5)
               : 0;
}

/* Whether a connection that was opened with the options `a` is not what `b` ask for. */
static bool must_differ(const struct route_options *a, const struct route_options *b)
{
    bool is_name_new = (a->server_name || b->server_name) &&
                       (!a->server_name || !b->server_name || strcmp(a->server_name, b->server_name) != 0);

    return is_name_new || a->upstream_link != b->upstream_link || a->dead_peer_ms != b->dead_peer_ms ||
           a->key[SIDE_UPSTREAM] != b->key[SIDE_UPSTREAM];
}

void upstream_options_changed(struct upstream *upstream, const struct route_options *before)
{
    const struct route_options *route = route_of(upstream);

    in_flight_set_ack_timeout(&upstream->stream.in_flight, route->ack_timeout_ms);
    if (must_differ(before, route))
        upstream_retire(upstream, END_RETIRED);
    if (upstream->ready_ms && before->max_connection_age_ms != route->max_connection_age_ms)
        upstream_limit_age(upstream);
    upstream_wake(upstream);
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
    return upstream->use == UPSTREAM_SHARED && !upstream->reservation.message &&
           upstream->retires_for == END_NONE &&
           (!upstream->outlet.leg.tls || in_flight_acks_fit(&upstream->stream.in_flight)) &&
           upstream_has_space(upstream);
}

/* Ends the connection in its next step if a write ran out of memory. */
static void check_written(struct upstream *upstream, bool is_written)
{
    if (!is_written)
        leg_break(&upstream->outlet.leg, END_NO_MEMORY);
}

void upstream_begin_link(struct upstream *upstream)
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
