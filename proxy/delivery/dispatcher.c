#include "delivery/dispatcher.h"

#include "delivery/upstream.h"
#include "delivery/downstream.h"
#include "delivery/cut_through.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    SILENCES_MAX = 3,      /* ack timeouts of an aggregator that has never acknowledged anything */
    WAITING_TICK_MS = 500, /* how often waiting messages are looked at */
    RUN_PARTS = 8          /* of a run that ends connections: each is to go alone */
};

/* ---- the queues of waiting messages ---- */

static void queue_note(struct exchange *exchange, struct message *message)
{
    exchange->waiting_bytes += message->entry.size;
    exchange->waiting_count += message->count;
    message->is_waiting = true;
}

static void queue_append(struct exchange *exchange, struct message *message)
{
    TAILQ_INSERT_TAIL(&exchange->waiting, message, of_queue);
    queue_note(exchange, message);
}

/* Puts `messages` in front of those that wait. */
static void queue_prepend(struct exchange *exchange, struct message_queue *messages)
{
    struct message *message;

    TAILQ_FOREACH (message, messages, of_queue)
        queue_note(exchange, message);
    TAILQ_CONCAT(messages, &exchange->waiting, of_queue);
    TAILQ_CONCAT(&exchange->waiting, messages, of_queue);
}

static void queue_remove(struct exchange *exchange, struct message *message)
{
    TAILQ_REMOVE(&exchange->waiting, message, of_queue);
    exchange->waiting_bytes -= message->entry.size;
    exchange->waiting_count -= message->count;
    message->is_waiting = false;
}

/* Tells the metrics of it, once a change is complete. */
static void queue_publish(struct exchange *exchange)
{
    atomic_store_explicit(&exchange->worker->metrics.messages.waiting, exchange->waiting_count,
                          memory_order_relaxed);
}

static void stream_enqueue(struct exchange *exchange, struct stream *stream)
{
    stream->waiting_since_ms = exchange->worker->now_ms;
    TAILQ_INSERT_TAIL(&exchange->streams, stream, waiting);
    metrics_add(&exchange->worker->metrics.messages.cut_through_waiting, 1);
}

void exchange_unqueue_stream(struct exchange *exchange, struct stream *stream)
{
    TAILQ_REMOVE(&exchange->streams, stream, waiting);
    metrics_take(&exchange->worker->metrics.messages.cut_through_waiting, 1);
}

/* ---- life of a message ---- */

void exchange_hold(struct exchange *exchange, struct message *message, uint64_t bytes)
{
    struct message_metrics *metrics = &exchange->worker->metrics.messages;

    exchange->room.held_bytes += bytes - message->held_bytes;
    message->held_bytes = bytes;
    atomic_store_explicit(&metrics->held_bytes, exchange->room.held_bytes, memory_order_relaxed);
}

static void message_hold(struct exchange *exchange, struct message *message)
{
    exchange->held_count += message->count;
    exchange_hold(exchange, message, sizeof *message + (message->kept ? message->entry.size : 0));
}

static void message_leave(struct exchange *exchange, struct message *message)
{
    exchange_hold(exchange, message, 0);
    exchange->held_count -= message->count;
    message_free(message);
}

void exchange_settle(struct exchange *exchange, struct message *message)
{
    struct message_metrics *metrics = &exchange->worker->metrics.messages;

    metrics_add(&metrics->settled, message->count);
    metrics_add(&metrics->events_settled, message->events);
    metrics_take(&metrics->unacked, message->count);
    roster_note_success(&exchange->roster);
    if (message->origin)
        intake_settle(message->origin, message);
    message_leave(exchange, message);
}

/* A message that goes no further: counted, and told to its agent by a reset, if that still listens. */
static void message_drop(struct exchange *exchange, struct message *message, enum end_reason reason)
{
    struct intake *origin = message->origin;

    metrics_add(&exchange->worker->metrics.messages.dropped[reason], message->count);
    if (origin)
        intake_disown(origin, message);
    message_leave(exchange, message);
    if (origin)
        intake_end(origin, END_UNDELIVERED);
}

bool exchange_is_pressed(const struct exchange *exchange)
{
    return room_is_waited_for(&exchange->room) || !TAILQ_EMPTY(&exchange->streams);
}

struct reading *exchange_take_reading(struct exchange *exchange)
{
    struct reading *reading = exchange->spare_reading;

    exchange->spare_reading = NULL;
    return reading ? reading : malloc(sizeof *reading);
}

void exchange_put_back(struct exchange *exchange, struct reading *reading)
{
    if (!reading)
        return;
    free(exchange->spare_reading);
    exchange->spare_reading = reading;
}

void exchange_admit(struct exchange *exchange, struct message *message)
{
    struct message_metrics *metrics = &exchange->worker->metrics.messages;

    metrics_add(&metrics->received, message->count);
    metrics_add(&metrics->events_received, message->events);
    if (!message->is_protected && exchange->worker->route->delivery == ROUTE_AT_LEAST_ONCE)
        metrics_add(&metrics->unprotected, message->count);
    message_hold(exchange, message);
}

void exchange_submit(struct exchange *exchange, struct message *message)
{
    exchange_admit(exchange, message);
    queue_append(exchange, message);
    exchange_dispatch(exchange);
}

/* ---- dispatch ---- */

/* Another carrier may help; when none may be dialled yet, the alarm asks again. */
static void dial(struct exchange *exchange, enum roster_need need)
{
    alarm_set(&exchange->alarm, roster_dial(&exchange->roster, need));
}

static void streams_lease(struct exchange *exchange)
{
    while (!TAILQ_EMPTY(&exchange->streams)) {
        struct stream *stream = TAILQ_FIRST(&exchange->streams);
        struct carrier *carrier = roster_pick_idle(&exchange->roster);
        if (!carrier) {
            dial(exchange, ROSTER_LEASE);
            return;
        }
        exchange_unqueue_stream(exchange, stream);
        stream_lease(stream, carrier);
    }
}

void exchange_await_carrier(struct exchange *exchange, struct stream *stream)
{
    stream_enqueue(exchange, stream);
    alarm_set(&exchange->alarm, exchange->worker->now_ms + WAITING_TICK_MS);
    exchange_dispatch(exchange);
}

/* What an agent sends after a suspect of its own must not overtake it. */
static void hold_back(struct exchange *exchange, const struct message *suspect)
{
    if (suspect && suspect->origin)
        suspect->origin->held_back = exchange->dispatches;
}

static bool is_held_back(const struct exchange *exchange, const struct message *message)
{
    return message->origin && message->origin->held_back == exchange->dispatches;
}

static void messages_send(struct exchange *exchange)
{
    const struct carrier *other;

    exchange->dispatches++;
    LIST_FOREACH (other, &exchange->roster.carriers, sibling)
        hold_back(exchange, carrier_suspect(other));
    for (struct message *message = TAILQ_FIRST(&exchange->waiting), *next; message; message = next) {
        struct intake *origin = message->origin;
        bool is_suspect = message->attempts > 0;
        next = TAILQ_NEXT(message, of_queue);
        if (is_held_back(exchange, message))
            continue;
        if (is_suspect)
            hold_back(exchange, message);
        struct carrier *carrier = is_suspect
                                      ? roster_pick_idle(&exchange->roster)
                                      : roster_pick(&exchange->roster, origin ? origin->carrier : NULL);
        if (!carrier) {
            dial(exchange, is_suspect ? ROSTER_LEASE : ROSTER_MESSAGE);
            alarm_set(&exchange->alarm, exchange->worker->now_ms + WAITING_TICK_MS);
            if (is_suspect)
                continue;
            break;
        }
        if (origin)
            origin->carrier = carrier;
        queue_remove(exchange, message);
        carrier_send(carrier, message);
    }
    queue_publish(exchange);
}

void exchange_dispatch(struct exchange *exchange)
{
    struct room *room = &exchange->room;
    uint64_t buffer_bytes = exchange->worker->route->buffer_bytes;

    messages_send(exchange); /* first, since a suspect is soon through with what it leases */
    streams_lease(exchange);
    dial(exchange, ROSTER_BALANCE);
    /* Without any carrier messages are held, as many as may be. Reads are to be large ones when they go on.
     */
    room->is_congested = exchange->waiting_bytes >= (room->is_congested ? buffer_bytes / 4 : buffer_bytes) &&
                         roster_is_ready(&exchange->roster);
    room_pass(room);
    if (room_is_waited_for(room))
        alarm_set(&exchange->alarm, exchange->worker->now_ms + WAITING_TICK_MS);
}

/* ---- failures ---- */

/* Files against a message that its carrier has ended, if it was the one that mattered. */
static void message_blame(struct message *message, enum end_reason reason)
{
    if (reason == END_ACK_TIMEOUT)
        message->ack_timeouts++;
    else
        message->attempts++;
}

/* What an agent asked an ack for and has left, it sends again itself; but of a run, only the last. */
static bool will_come_again(const struct message *message)
{
    return message->ack == MESSAGE_AGENT_ACK && message->count == 1;
}

/* Whether a message whose carrier has ended is worth another one. */
static bool may_be_resent(const struct exchange *exchange, const struct message *message)
{
    const struct route_options *route = exchange->worker->route;

    if (will_come_again(message) && (!message->origin || message->origin->inlet.leg.read_over))
        return false;
    if (!exchange->ever_acked && exchange->silences >= SILENCES_MAX)
        return false;
    if (!message->kept || message->count > 1)
        return message->kept; /* a run is taken apart, until it is known which of its messages it is */
    return (!route->max_attempts || message->attempts < route->max_attempts) &&
           message->ack_timeouts < route->max_ack_timeouts;
}

/* A run with which something went wrong goes on in parts: whatever one of its messages does to aggregators,
 * or they to connections, the others are settled. False when out of memory: nothing has changed then. */
static bool run_split(struct exchange *exchange, struct message *run, struct message_queue *parts)
{
    unsigned most = run->attempts ? (run->count + RUN_PARTS - 1) / RUN_PARTS : 1;
    uint8_t id[CHUNK_ID_VALUE_BYTES];
    struct buffer left;
    struct message *part;

    buffer_init(&left, run->slices.pool);
    bool done = message_copy(run, &left);
    while (done && left.length) {
        exchange_next_chunk(exchange, id);
        part = message_take_part(&left, run, most, id);
        done = part;
        if (part)
            TAILQ_INSERT_TAIL(parts, part, of_queue);
    }
    buffer_clear(&left);
    while (!done && !TAILQ_EMPTY(parts)) {
        part = TAILQ_FIRST(parts);
        TAILQ_REMOVE(parts, part, of_queue);
        message_free(part);
    }
    return done;
}

/* Puts the parts of a run in its place. */
static void run_replace(struct exchange *exchange, struct message *run, struct message_queue *parts)
{
    uint64_t ordinal = run->ordinal;
    struct message *part;

    TAILQ_FOREACH (part, parts, of_queue) {
        message_hold(exchange, part);
        part->ordinal = ordinal;
        ordinal += part->count;
        if (run->origin)
            intake_own_part(run->origin, part, run);
    }
    if (run->origin)
        intake_disown(run->origin, run);
    message_leave(exchange, run);
}

/* A message has lost its carrier: it is to be sent again, or goes no further. */
static void message_return(struct exchange *exchange, struct message *message, enum end_reason reason,
                           struct message_queue *again)
{
    struct message_queue parts = TAILQ_HEAD_INITIALIZER(parts);
    /* Connections end for other reasons than a message, so a run is given a try of its own first. */
    bool is_to_split = message->count > 1 && (message->attempts > 1 || message->ack_timeouts);

    if (!may_be_resent(exchange, message)) {
        message_drop(exchange, message, message->origin || !will_come_again(message) ? reason : END_LEFT);
        return;
    }
    metrics_add(&exchange->worker->metrics.messages.resent, message->count);
    if (message->origin)
        intake_wake(message->origin); /* it may have been held back */
    if (is_to_split && run_split(exchange, message, &parts))
        run_replace(exchange, message, &parts);
    else
        TAILQ_INSERT_TAIL(&parts, message, of_queue);
    TAILQ_CONCAT(again, &parts, of_queue);
}

/* A stream has lost its carrier: it waits for another one, or its agent is told to send again. */
static void lease_end(struct exchange *exchange, struct carrier *carrier, enum end_reason reason)
{
    struct message_metrics *metrics = &exchange->worker->metrics.messages;
    struct stream *stream = carrier->lease;

    carrier->lease = NULL;
    stream_enqueue(exchange, stream);
    if (stream_lost(stream)) {
        metrics_add(&metrics->resent, 1);
        return;
    }
    metrics_add(&metrics->received, 1);
    metrics_add(&metrics->dropped[reason], 1);
    intake_end(stream->intake, END_UNDELIVERED);
}

void exchange_carrier_ended(struct exchange *exchange, struct carrier *carrier, enum end_reason reason)
{
    struct message_queue again = TAILQ_HEAD_INITIALIZER(again);
    struct ledger_entry *oldest =
        reason == END_ACK_TIMEOUT ? ledger_oldest_awaiting(&carrier->ledger) : carrier->ledger.first;

    struct intake *intake;

    LIST_FOREACH (intake, &exchange->intakes, sibling) {
        if (intake->carrier == carrier)
            intake->carrier = NULL;
    }
    exchange->silences += reason == END_ACK_TIMEOUT;
    while (carrier->ledger.first) {
        struct message *message = message_of(carrier->ledger.first);
        ledger_remove(&carrier->ledger, &message->entry);
        metrics_take(&exchange->worker->metrics.messages.unacked, message->count);
        if (&message->entry == oldest)
            message_blame(message, reason);
        message_return(exchange, message, reason, &again);
    }
    queue_prepend(exchange, &again);
    if (carrier->lease)
        lease_end(exchange, carrier, reason);
    if (!exchange->closing)
        exchange_dispatch(exchange);
}

void exchange_forget(struct exchange *exchange, struct intake *intake)
{
    for (struct message *own = TAILQ_FIRST(&intake->unsettled), *next; own; own = next) {
        next = TAILQ_NEXT(own, of_origin);
        /* Not sent yet, and the agent will send it again: sending it now would only double it. */
        if (!own->is_waiting || !will_come_again(own))
            continue;
        queue_remove(exchange, own);
        intake_disown(intake, own);
        metrics_add(&exchange->worker->metrics.messages.dropped[END_LEFT], own->count);
        message_leave(exchange, own);
    }
    queue_publish(exchange);
}

static bool waits_since(const struct message *message, uint64_t deadline_ms)
{
    return message->origin && message->ack == MESSAGE_AGENT_ACK && message->arrived_ms <= deadline_ms;
}

/* The agent of a run that waits for its ack; the run itself stays, for its agent would send only the last of
 * it again. NULL: none. */
static struct intake *overdue_agent(const struct exchange *exchange, uint64_t deadline_ms)
{
    const struct message *message;

    TAILQ_FOREACH (message, &exchange->waiting, of_queue) {
        if (waits_since(message, deadline_ms))
            return message->origin;
    }
    const struct stream *stream = TAILQ_FIRST(&exchange->streams);
    return stream && stream->waiting_since_ms <= deadline_ms ? stream->intake : NULL;
}

/* Agents that wait for an ack, or to go on with a large message, are told that it will not come, so that they
 * try elsewhere. */
static void overdue_drop(struct exchange *exchange)
{
    uint64_t timeout_ms = exchange->worker->route->delivery_timeout_ms, now_ms = exchange->worker->now_ms;
    uint64_t deadline_ms = now_ms > timeout_ms ? now_ms - timeout_ms : 0;
    struct message_queue overdue = TAILQ_HEAD_INITIALIZER(overdue);
    struct intake *agent;

    for (struct message *message = TAILQ_FIRST(&exchange->waiting), *next; message; message = next) {
        next = TAILQ_NEXT(message, of_queue);
        if (!will_come_again(message) || !waits_since(message, deadline_ms))
            continue;
        queue_remove(exchange, message);
        TAILQ_INSERT_TAIL(&overdue, message, of_queue);
    }
    while (!TAILQ_EMPTY(&overdue)) { /* each may take its agent's others with it */
        struct message *message = TAILQ_FIRST(&overdue);
        TAILQ_REMOVE(&overdue, message, of_queue);
        message_drop(exchange, message, END_UNDELIVERED);
    }
    queue_publish(exchange);
    while ((agent = overdue_agent(exchange, deadline_ms)))
        intake_end(agent, END_UNDELIVERED);
}

static void on_alarm(void *owner)
{
    struct exchange *exchange = owner;

    struct intake *intake;

    overdue_drop(exchange);
    exchange_dispatch(exchange);
    if (!exchange_is_pressed(exchange))
        return;
    /* Deadlines of agents that stall have come nearer. */
    LIST_FOREACH (intake, &exchange->intakes, sibling) {
        if (reading_is_amid(intake))
            intake_wake(intake);
    }
    alarm_set(&exchange->alarm, exchange->worker->now_ms + WAITING_TICK_MS);
}

/* ---- life ---- */

bool exchange_open(struct exchange *exchange, struct worker *worker)
{
    *exchange = (struct exchange) { .worker = worker };
    LIST_INIT(&exchange->intakes);
    roster_init(&exchange->roster, worker, exchange);
    room_init(&exchange->room, worker->route->retain_bytes);
    TAILQ_INIT(&exchange->waiting);
    TAILQ_INIT(&exchange->streams);
    alarm_init(&exchange->alarm, worker->loop, on_alarm, exchange);
    return getrandom(&exchange->id_seed, sizeof exchange->id_seed, 0) == (ssize_t)sizeof exchange->id_seed;
}

unsigned exchange_close(struct exchange *exchange)
{
    unsigned left_behind = exchange->held_count;

    exchange->closing = true;
    while (!LIST_EMPTY(&exchange->roster.carriers))
        carrier_end(LIST_FIRST(&exchange->roster.carriers), END_SHUTDOWN);
    while (!LIST_EMPTY(&exchange->intakes)) {
        struct intake *intake = LIST_FIRST(&exchange->intakes);
        left_behind += TAILQ_EMPTY(&intake->unsettled) && !intake_is_settled(intake);
        intake_end(intake, END_SHUTDOWN);
    }
    while (!TAILQ_EMPTY(&exchange->waiting)) {
        struct message *message = TAILQ_FIRST(&exchange->waiting);
        queue_remove(exchange, message);
        message_drop(exchange, message, END_SHUTDOWN);
    }
    alarm_stop(&exchange->alarm);
    free(exchange->spare_reading);
    return left_behind;
}

void exchange_endpoints_changed(struct exchange *exchange)
{
    roster_endpoints_changed(&exchange->roster);
    exchange_dispatch(exchange);
}

void exchange_next_chunk(struct exchange *exchange, uint8_t value[CHUNK_ID_VALUE_BYTES])
{
    uint8_t id[16];

    exchange->id_count++;
    memcpy(id, &exchange->id_seed, 8);
    memcpy(id + 8, &exchange->id_count, 8);
    chunk_id_write(value, id);
}
