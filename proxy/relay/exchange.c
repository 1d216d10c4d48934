#include "relay/exchange.h"

#include "base/clock.h"
#include "relay/carrier.h"
#include "relay/intake.h"

#include <string.h>
#include <sys/random.h>

enum {
    REDIAL_MIN_MS = 100,
    REDIAL_MAX_MS = 5000,
    SILENCES_MAX = 3,     /* ack timeouts of an aggregator that has never acknowledged anything */
    WAITING_TICK_MS = 500 /* how often waiting messages are looked at */
};

/* ---- the queue of waiting messages ---- */

static void queue_append(struct exchange *exchange, struct message *message)
{
    message->next = NULL;
    if (exchange->last)
        exchange->last->next = message;
    else
        exchange->first = message;
    exchange->last = message;
}

static struct message *queue_take_first(struct exchange *exchange)
{
    struct message *message = exchange->first;

    exchange->first = message->next;
    if (!exchange->first)
        exchange->last = NULL;
    return message;
}

/* Takes out the messages for which `wanted` says so; they come back as a list, in order. */
static struct message *queue_filter(struct exchange *exchange,
                                    bool (*wanted)(const struct message *, const void *),
                                    const void *argument)
{
    struct message *all = exchange->first, *taken = NULL, **taken_end = &taken;

    exchange->first = exchange->last = NULL;
    for (struct message *message = all, *next; message; message = next) {
        next = message->next;
        if (!wanted(message, argument)) {
            queue_append(exchange, message);
            continue;
        }
        message->next = NULL;
        *taken_end = message;
        taken_end = &message->next;
    }
    return taken;
}

/* ---- life of a message ---- */

static void held_publish(struct exchange *exchange)
{
    struct message_metrics *metrics = &exchange->worker->metrics.messages;

    atomic_store_explicit(&metrics->held_bytes, exchange->held_bytes, memory_order_relaxed);
}

static void message_leave(struct exchange *exchange, struct message *message)
{
    exchange->held_bytes -= message->entry.size;
    exchange->held_count--;
    held_publish(exchange);
    message_free(message);
}

void exchange_settle(struct exchange *exchange, struct message *message)
{
    struct message_metrics *metrics = &exchange->worker->metrics.messages;

    metrics_add(&metrics->settled, 1);
    exchange->redial_at_ms = exchange->redial_delay_ms = 0;
    if (message->origin)
        intake_settle(message->origin, message);
    message_leave(exchange, message);
}

/* A message that goes no further: counted, and told to its agent by a reset, if that still listens. */
static void message_drop(struct exchange *exchange, struct message *message, enum end_reason reason)
{
    struct intake *origin = message->origin;

    metrics_add(&exchange->worker->metrics.messages.dropped[reason], 1);
    if (origin)
        intake_disown(origin, message);
    message_leave(exchange, message);
    if (origin)
        intake_end(origin, END_UNDELIVERED);
}

bool exchange_has_room(struct exchange *exchange)
{
    bool has_room = exchange->held_bytes < exchange->worker->route->retain_bytes;

    exchange->starving = exchange->starving || !has_room;
    return has_room;
}

/* Intakes that found no room are run again once half of it is free. */
static void starving_wake(struct exchange *exchange)
{
    if (!exchange->starving || exchange->held_bytes > exchange->worker->route->retain_bytes / 2)
        return;
    exchange->starving = false;
    for (struct intake *intake = exchange->intakes; intake; intake = intake->next)
        worker_queue(exchange->worker, &intake->task);
}

void exchange_submit(struct exchange *exchange, struct message *message)
{
    metrics_add(&exchange->worker->metrics.messages.received, 1);
    exchange->held_bytes += message->entry.size;
    exchange->held_count++;
    held_publish(exchange);
    queue_append(exchange, message);
    exchange_dispatch(exchange);
}

/* ---- carriers ---- */

/* Where an agent's messages went before, while that has room; else the carrier with the least outstanding. */
static struct carrier *carrier_pick(struct exchange *exchange, const struct message *message)
{
    struct carrier *best = message->origin ? message->origin->carrier : NULL;

    if (best && carrier_has_room(best))
        return best;
    best = NULL;
    for (struct carrier *carrier = exchange->carriers; carrier; carrier = carrier->next) {
        if (carrier_has_room(carrier) && (!best || carrier->ledger.bytes < best->ledger.bytes))
            best = carrier;
    }
    return best;
}

static bool is_dialling(const struct exchange *exchange)
{
    for (const struct carrier *carrier = exchange->carriers; carrier; carrier = carrier->next) {
        if (carrier->state < CARRIER_READY)
            return true;
    }
    return false;
}

static void dial_if_needed(struct exchange *exchange)
{
    uint64_t now_ms = clock_monotonic_ms();

    if (exchange->carrier_count >= exchange->worker->route->max_carriers || is_dialling(exchange))
        return;
    if (now_ms < exchange->redial_at_ms) {
        alarm_set(&exchange->alarm, exchange->redial_at_ms);
        return;
    }
    if (!carrier_open(exchange))
        exchange->redial_at_ms = now_ms + REDIAL_MAX_MS;
}

void exchange_dispatch(struct exchange *exchange)
{
    while (exchange->first) {
        struct carrier *carrier = carrier_pick(exchange, exchange->first);
        if (!carrier) {
            dial_if_needed(exchange);
            alarm_set(&exchange->alarm, clock_monotonic_ms() + WAITING_TICK_MS);
            break;
        }
        struct message *message = queue_take_first(exchange);
        if (message->origin)
            message->origin->carrier = carrier;
        carrier_send(carrier, message);
    }
    starving_wake(exchange);
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

/* Whether a message whose carrier has ended is worth another one. */
static bool may_be_resent(const struct exchange *exchange, const struct message *message)
{
    const struct route_options *route = exchange->worker->route;

    /* What an agent asked an ack for and has left, it will send again itself. */
    if (message->ack == MESSAGE_AGENT_ACK && (!message->origin || message->origin->inlet.leg.read_over))
        return false;
    if (!exchange->ever_acked && exchange->silences >= SILENCES_MAX)
        return false;
    return message->kept && (!route->max_attempts || message->attempts < route->max_attempts) &&
           message->ack_timeouts < route->max_ack_timeouts;
}

static void redial_later(struct exchange *exchange)
{
    uint64_t delay = exchange->redial_delay_ms ? exchange->redial_delay_ms * 2 : REDIAL_MIN_MS;

    exchange->redial_delay_ms = delay < REDIAL_MAX_MS ? delay : REDIAL_MAX_MS;
    exchange->redial_at_ms = clock_monotonic_ms() + exchange->redial_delay_ms;
}

/* Puts `messages` in front of those that wait. */
static void queue_prepend(struct exchange *exchange, struct message *messages)
{
    struct message *rest = exchange->first, *rest_last = exchange->last;

    exchange->first = exchange->last = NULL;
    for (struct message *message = messages, *next; message; message = next) {
        next = message->next;
        queue_append(exchange, message);
    }
    if (!rest)
        return;
    if (exchange->last)
        exchange->last->next = rest;
    else
        exchange->first = rest;
    exchange->last = rest_last;
}

void exchange_carrier_ended(struct exchange *exchange, struct carrier *carrier, enum end_reason reason)
{
    struct message *again = NULL, **again_end = &again;
    struct ledger_entry *oldest =
        reason == END_ACK_TIMEOUT ? ledger_oldest_awaiting(&carrier->ledger) : carrier->ledger.first;

    for (struct intake *intake = exchange->intakes; intake; intake = intake->next) {
        if (intake->carrier == carrier)
            intake->carrier = NULL;
    }
    exchange->silences += reason == END_ACK_TIMEOUT;
    while (carrier->ledger.first) {
        struct message *message = message_of(carrier->ledger.first);
        ledger_remove(&carrier->ledger, &message->entry);
        if (&message->entry == oldest)
            message_blame(message, reason);
        message->next = NULL;
        if (may_be_resent(exchange, message)) {
            metrics_add(&exchange->worker->metrics.messages.resent, 1);
            *again_end = message;
            again_end = &message->next;
        } else {
            message_drop(exchange, message,
                         message->origin || message->ack != MESSAGE_AGENT_ACK ? reason : END_LEFT);
        }
    }
    queue_prepend(exchange, again);
    if (!carrier->has_settled)
        redial_later(exchange); /* it was of no use; the next may not be either */
    if (!exchange->closing)
        exchange_dispatch(exchange);
}

static bool is_of(const struct message *message, const void *intake)
{
    return message->origin == intake && message->ack == MESSAGE_AGENT_ACK;
}

void exchange_forget(struct exchange *exchange, struct intake *intake)
{
    /* Not sent yet, and the agent will send them again: sending them now would only double them. */
    struct message *messages = queue_filter(exchange, is_of, intake);

    for (struct message *next; messages; messages = next) {
        next = messages->next;
        intake_disown(intake, messages);
        metrics_add(&exchange->worker->metrics.messages.dropped[END_LEFT], 1);
        message_leave(exchange, messages);
    }
}

static bool is_overdue(const struct message *message, const void *deadline_ms)
{
    return message->origin && message->ack == MESSAGE_AGENT_ACK &&
           message->arrived_ms <= *(const uint64_t *)deadline_ms;
}

/* Agents that wait for an ack are told that it will not come, so that they try elsewhere. */
static void overdue_drop(struct exchange *exchange)
{
    uint64_t timeout_ms = exchange->worker->route->delivery_timeout_ms, now_ms = clock_monotonic_ms();
    uint64_t deadline_ms = now_ms > timeout_ms ? now_ms - timeout_ms : 0;
    struct message *messages = queue_filter(exchange, is_overdue, &deadline_ms);

    for (struct message *next; messages; messages = next) {
        next = messages->next;
        message_drop(exchange, messages, END_UNDELIVERED);
    }
}

static void on_alarm(void *owner)
{
    struct exchange *exchange = owner;

    overdue_drop(exchange);
    exchange_dispatch(exchange);
}

/* ---- life ---- */

bool exchange_open(struct exchange *exchange, struct worker *worker)
{
    *exchange = (struct exchange) { .worker = worker };
    alarm_init(&exchange->alarm, worker->loop, on_alarm, exchange);
    return getrandom(&exchange->id_seed, sizeof exchange->id_seed, 0) == (ssize_t)sizeof exchange->id_seed;
}

unsigned exchange_close(struct exchange *exchange)
{
    unsigned left_behind = exchange->held_count;

    exchange->closing = true;
    while (exchange->carriers)
        carrier_end(exchange->carriers, END_SHUTDOWN);
    while (exchange->intakes) {
        left_behind += !exchange->intakes->unsettled && !intake_is_settled(exchange->intakes);
        intake_end(exchange->intakes, END_SHUTDOWN);
    }
    while (exchange->first)
        message_drop(exchange, queue_take_first(exchange), END_SHUTDOWN);
    alarm_stop(&exchange->alarm);
    return left_behind;
}

void exchange_endpoints_changed(struct exchange *exchange)
{
    for (struct carrier *carrier = exchange->carriers; carrier; carrier = carrier->next)
        carrier_wake(carrier);
}

void exchange_next_id(struct exchange *exchange, uint8_t id[16])
{
    exchange->id_count++;
    memcpy(id, &exchange->id_seed, 8);
    memcpy(id + 8, &exchange->id_count, 8);
}
