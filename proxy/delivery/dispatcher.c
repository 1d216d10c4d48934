#include "delivery/dispatcher.h"

#include "delivery/first_connection.h"
#include "delivery/link_upstreams.h"
#include "delivery/returning.h"

enum { WAITING_TICK_MS = 500 }; /* how often waiting messages and agents are checked */

static struct message_metrics *metrics_of(const struct dispatcher *dispatcher)
{
    return &dispatcher->transport->metrics.messages;
}

static uint64_t now_ms(const struct dispatcher *dispatcher)
{
    return dispatcher->transport->reactor->now_ms;
}

/* The time `age_ms` ago, on the reactor's clock; 0: the clock is younger, or `age_ms` is 0. */
static uint64_t before(const struct dispatcher *dispatcher, uint64_t age_ms)
{
    return age_ms && now_ms(dispatcher) > age_ms ? now_ms(dispatcher) - age_ms : 0;
}

static void tick_set(struct dispatcher *dispatcher)
{
    timer_set(&dispatcher->timer, now_ms(dispatcher) + WAITING_TICK_MS);
}

/* Publishes the number of waiting messages. Call it when a change is complete, so that a scrape sees no state
 * in between. */
static void waiting_publish(struct dispatcher *dispatcher)
{
    atomic_store_explicit(&metrics_of(dispatcher)->waiting, dispatcher->waiting.count, memory_order_relaxed);
}

/* ---- one message ---- */

static void message_accept(struct dispatcher *dispatcher, struct message *message)
{
    struct message_metrics *metrics = metrics_of(dispatcher);

    metrics_add(&metrics->received, message->count);
    metrics_add(&metrics->events_received, message->events);
    if (!message->is_protected && dispatcher->transport->route->delivery == ROUTE_AT_LEAST_ONCE)
        metrics_add(&metrics->unprotected, message->count);
    unsettled_enter(&dispatcher->unsettled, message);
}

static void on_settled(void *observer, struct upstream *upstream, struct message *message,
                       enum upstream_settlement how)
{
    struct dispatcher *dispatcher = observer;

    upstream_pool_on_settled(&dispatcher->pool, upstream, how);
    if (how == UPSTREAM_TAKEN && message->ack != MESSAGE_NO_ACK)
        unsettled_forgo_ack(&dispatcher->unsettled, message);
    else
        unsettled_settle(&dispatcher->unsettled, message);
}

static struct returning returning_of(struct dispatcher *dispatcher)
{
    return (struct returning) {
        .retry = &dispatcher->retry,
        .unsettled = &dispatcher->unsettled,
        .chunk_ids = dispatcher->chunk_ids,
        .now_us = dispatcher->transport->reactor->now_us,
        .old_ms = before(dispatcher, dispatcher->transport->route->max_age_ms),
    };
}

/* A husk upstream has refused a batch for its length. Shorter messages may pass: sends the events again. */
static bool refused_split(struct dispatcher *dispatcher, struct message *message, enum end_reason reason)
{
    const struct returning returning = returning_of(dispatcher);
    struct message_list parts = TAILQ_HEAD_INITIALIZER(parts);

    if (reason != END_MESSAGE_TOO_LONG || !message->is_batch || !message->is_kept ||
        !returning_split(&returning, message, &parts))
        return false;
    message_queue_prepend(&dispatcher->waiting, &parts);
    return true;
}

static void on_refused(void *observer, struct upstream *upstream, struct message *message, uint64_t events,
                       enum end_reason reason)
{
    struct dispatcher *dispatcher = observer;

    if (reason == END_NO_ACKS) {
        upstream_pool_on_settled(&dispatcher->pool, upstream, UPSTREAM_ACKED); /* by another husk */
        unsettled_forgo_ack(&dispatcher->unsettled, message);
        return;
    }
    /* A part that is refused shows that the husk upstream, or one behind it, has split the batch already. */
    if (events >= message->events && refused_split(dispatcher, message, reason))
        return;
    upstream_pool_on_settled(&dispatcher->pool, upstream, UPSTREAM_ACKED);
    unsettled_refuse(&dispatcher->unsettled, message, events, reason);
}

void dispatcher_forget(struct dispatcher *dispatcher, struct sender *sender)
{
    link_upstreams_say_gone(&dispatcher->pool, sender);
    for (struct message *message = TAILQ_FIRST(&sender->unsettled), *next; message; message = next) {
        next = TAILQ_NEXT(message, of_sender);
        /* Other messages are delivered; these would be duplicates, because the agent sends them again. */
        if (!message_is_waiting(message) || !message_comes_again(message))
            continue;
        message_queue_remove(&dispatcher->waiting, message);
        unsettled_forget(&dispatcher->unsettled, message);
    }
    message_queue_unhold(&dispatcher->waiting, sender);
    waiting_publish(dispatcher);
}

/* ---- dispatching ---- */

/* Dials another connection if that helps. If no dial is allowed yet, the timer tries again. */
static void dial(struct dispatcher *dispatcher, enum upstream_need need)
{
    timer_set(&dispatcher->timer, upstream_pool_dial(&dispatcher->pool, need));
}

/* The exclusive connection for a message that is sent alone; NULL: not yet. The message waits on the
 * connection, which is then evidence of whose failure an end is. */
static struct upstream *exclusive_for(struct dispatcher *dispatcher, struct message *message)
{
    uint64_t delay_ms = retry_delay_ms(&dispatcher->retry, message);
    struct upstream *upstream = NULL;

    if (message->reservation)
        return upstream_pool_redeem(&dispatcher->pool, message->reservation);
    if (delay_ms && upstream_pool_reserve(&dispatcher->pool, message, delay_ms))
        return NULL;
    if (!delay_ms)
        upstream = upstream_pool_pick_exclusive(&dispatcher->pool);
    if (!upstream)
        dial(dispatcher, delay_ms ? UPSTREAM_FOR_RESERVATION : UPSTREAM_FOR_EXCLUSIVE);
    return upstream;
}

static struct upstream *shared_for(struct dispatcher *dispatcher, const struct message *message)
{
    return upstream_pool_pick(&dispatcher->pool, message->sender ? message->sender->upstream_id : 0);
}

static void message_send(struct dispatcher *dispatcher, struct message *message, struct upstream *upstream)
{
    message_queue_remove(&dispatcher->waiting, message);
    if (message->sender)
        sender_note_upstream(message->sender, upstream->id);
    upstream_send(upstream, message);
    if (!message->is_protected) /* its bytes are in the connection's buffer and are not sent again */
        unsettled_discard(&dispatcher->unsettled, message);
}

/* False: there is no connection for the isolated message, nor for others with the same turn. */
static bool isolated_try(struct dispatcher *dispatcher, struct message *message)
{
    if (sender_holds(message)) {
        message_queue_hold(&dispatcher->waiting, message);
        return true;
    }
    struct upstream *upstream = exclusive_for(dispatcher, message);
    if (upstream)
        message_send(dispatcher, message, upstream);
    return upstream || message->reservation;
}

static void isolated_send(struct dispatcher *dispatcher)
{
    struct upstream *upstream;

    LIST_FOREACH (upstream, &dispatcher->pool.list, sibling) {
        struct message *message = upstream->reservation.message;
        if (message && message_is_waiting(message)) /* otherwise it is cut through */
            (void)isolated_try(dispatcher, message);
    }
    for (unsigned turn = 0; turn < ISOLATED_TURNS; turn++) {
        struct message *message = TAILQ_FIRST(&dispatcher->waiting.isolated[turn]), *next;
        for (; message; message = next) {
            next = TAILQ_NEXT(message, of_queue);
            if (!message->reservation && !isolated_try(dispatcher, message))
                break;
        }
    }
    if (dispatcher->waiting.isolated_bytes)
        tick_set(dispatcher);
}

static void messages_send(struct dispatcher *dispatcher)
{
    struct message *message;

    isolated_send(dispatcher);
    while ((message = message_queue_next(&dispatcher->waiting))) {
        if (message_is_isolated(message)) {
            message_queue_isolate(&dispatcher->waiting, message,
                                  retry_delay_ms(&dispatcher->retry, message) ? ISOLATED_DELAYED
                                                                              : ISOLATED_AT_ONCE);
            isolated_send(dispatcher);
            continue;
        }
        struct upstream *upstream = shared_for(dispatcher, message);
        if (!upstream) {
            tick_set(dispatcher);
            dial(dispatcher, UPSTREAM_FOR_MESSAGE);
            break;
        }
        message_send(dispatcher, message, upstream);
    }
    waiting_publish(dispatcher);
}

static void requests_grant(struct dispatcher *dispatcher)
{
    struct exclusive_request *request = TAILQ_FIRST(&dispatcher->requests.list), *next;
    bool is_full = false;

    for (; request; request = next) {
        next = TAILQ_NEXT(request, link);
        bool is_first = !message_is_isolated(request->message);
        if (is_first && is_full)
            continue;
        struct upstream *upstream = exclusive_for(dispatcher, request->message);
        is_full = is_full || (is_first && !upstream);
        if (!upstream)
            continue;
        dispatcher_cancel(dispatcher, request);
        upstream_hold(upstream, request, request->sender->number);
        request->events->on_granted(request, upstream);
    }
}

/* Congested: whole messages wait although a connection is ready. Messages that wait because of their own
 * sender do not count. While no connection is ready, only the read budget limits what is held. Congestion
 * ends at a quarter of the limit, so that reads are large when they resume. */
static enum read_congestion congestion_of(const struct dispatcher *dispatcher)
{
    uint64_t limit_bytes = dispatcher->transport->route->buffer_bytes;

    if (dispatcher->budget->is_congested)
        limit_bytes /= 4;
    bool is_congested = message_queue_shared_bytes(&dispatcher->waiting) >= limit_bytes &&
                        upstream_pool_is_ready(&dispatcher->pool);
    /* Without an unsettled message no ack could end the hold. */
    bool is_on_hold = dispatcher->unsettled.count && upstream_pool_is_on_hold(&dispatcher->pool);
    return is_congested || is_on_hold ? READ_CONGESTED : READ_FREE;
}

static void dispatch(struct dispatcher *dispatcher)
{
    messages_send(dispatcher); /* an isolated message is fast: before requests */
    requests_grant(dispatcher);
    dial(dispatcher, UPSTREAM_FOR_BALANCE);
    timer_set(&dispatcher->timer, first_connection_dial(&dispatcher->pool));
    if (dispatcher->transport->route->max_age_ms && !message_queue_is_empty(&dispatcher->waiting))
        tick_set(dispatcher);
    read_budget_set_congestion(dispatcher->budget, congestion_of(dispatcher));
    read_budget_admit_next(dispatcher->budget);
    if (read_budget_is_awaited(dispatcher->budget))
        tick_set(dispatcher);
}

static void empty_accept(struct dispatcher *dispatcher, struct sender *sender, struct message *message)
{
    struct message_metrics *metrics = metrics_of(dispatcher);

    metrics_add(&metrics->received, message->count);
    metrics_add(&metrics->settled, message->count);
    sender_file_empty(sender, message, now_ms(dispatcher));
}

void dispatcher_submit(struct dispatcher *dispatcher, struct sender *sender, struct message *message)
{
    if (message_is_empty(message)) {
        empty_accept(dispatcher, sender, message);
        return;
    }
    sender_file(sender, message, now_ms(dispatcher));
    message_accept(dispatcher, message);
    message_queue_append(&dispatcher->waiting, message);
    dispatch(dispatcher);
}

void dispatcher_watch_pressure(struct dispatcher *dispatcher)
{
    tick_set(dispatcher);
}

bool dispatcher_is_under_pressure(const struct dispatcher *dispatcher)
{
    return read_budget_is_awaited(dispatcher->budget) || !TAILQ_EMPTY(&dispatcher->requests.list);
}

bool dispatcher_must_wait(const struct dispatcher *dispatcher, const struct sender *sender)
{
    return (sender_has_isolated(sender) && upstream_pool_is_ready(&dispatcher->pool)) ||
           sender_is_closed(sender) || sender_is_full(sender);
}

/* ---- messages that are cut through ---- */

void dispatcher_request(struct dispatcher *dispatcher, struct exclusive_request *request)
{
    request_queue_append(&dispatcher->requests, request, now_ms(dispatcher));
    tick_set(dispatcher);
    dispatch(dispatcher);
}

void dispatcher_cancel(struct dispatcher *dispatcher, struct exclusive_request *request)
{
    request_queue_remove(&dispatcher->requests, request);
}

void dispatcher_complete(struct dispatcher *dispatcher, struct sender *sender, struct upstream *upstream,
                         struct message *message)
{
    sender_file(sender, message, now_ms(dispatcher));
    sender_note_upstream(sender, upstream->id);
    upstream_release(upstream);
    upstream_pool_on_released(&dispatcher->pool, upstream);
    message_accept(dispatcher, message);
    metrics_add(&metrics_of(dispatcher)->cut_through, 1);
    upstream_file(upstream, message);
}

/* ---- failures ---- */

static void on_ended(void *observer, struct upstream *upstream, enum end_reason reason)
{
    struct dispatcher *dispatcher = observer;
    struct message_list again = TAILQ_HEAD_INITIALIZER(again);
    const struct returning returning = returning_of(dispatcher);

    upstream_pool_on_ended(&dispatcher->pool, upstream, reason);
    returning_take(&returning, upstream, reason, &again);
    message_queue_prepend(&dispatcher->waiting, &again);
    struct exclusive_request *request = upstream->holder;
    if (request) {
        request_queue_append(&dispatcher->requests, request, now_ms(dispatcher));
        request->events->on_lost(request, reason);
    }
    if (!dispatcher->is_closing)
        dispatch(dispatcher);
}

/* ---- other callbacks of upstream connections ---- */

static void on_ready(void *observer, struct upstream *upstream)
{
    struct dispatcher *dispatcher = observer;

    upstream_pool_on_ready(&dispatcher->pool, upstream);
    dispatch(dispatcher);
}

static void on_progress(void *observer, struct upstream *upstream)
{
    struct dispatcher *dispatcher = observer;
    struct exclusive_request *request = upstream->holder;

    if (request && upstream_has_space(upstream))
        request->events->on_space(request);
    dispatch(dispatcher);
}

static void on_released(void *observer, struct upstream *upstream)
{
    struct dispatcher *dispatcher = observer;

    upstream_pool_on_released(&dispatcher->pool, upstream);
}

static void on_old(void *observer, struct upstream *upstream)
{
    struct dispatcher *dispatcher = observer;

    upstream_pool_on_old(&dispatcher->pool, upstream);
}

static enum retry_fault judge(void *observer, const struct upstream *upstream, enum end_reason reason)
{
    struct dispatcher *dispatcher = observer;

    return upstream_pool_judge(&dispatcher->pool, upstream, reason);
}

static const struct upstream_events upstream_events = {
    .on_ready = on_ready,
    .on_settled = on_settled,
    .on_refused = on_refused,
    .on_progress = on_progress,
    .on_released = on_released,
    .on_old = on_old,
    .on_ended = on_ended,
    .judge = judge,
};

/* ---- messages that wait for too long ---- */

/* After --delivery-timeout, tells agents that their messages are not delivered. While an upstream
 * connection is a link, tells no agent: the agent would send its messages again. After --max-age, gives
 * messages up. */
static void overdue_check(struct dispatcher *dispatcher)
{
    const struct route_options *route = dispatcher->transport->route;
    const struct overdue overdue = { &dispatcher->waiting, &dispatcher->requests, &dispatcher->unsettled };

    if (!link_upstreams_exist(&dispatcher->pool))
        overdue_tell(&overdue, before(dispatcher, route->delivery_timeout_ms));
    overdue_expire(&overdue, before(dispatcher, route->max_age_ms));
    waiting_publish(dispatcher);
}

static void on_timer(void *owner)
{
    struct dispatcher *dispatcher = owner;

    overdue_check(dispatcher);
    dispatch(dispatcher);
    if (!dispatcher_is_under_pressure(dispatcher))
        return;
    dispatcher->on_pressure(dispatcher->owner);
    tick_set(dispatcher);
}

/* ---- begin and end ---- */

void dispatcher_init(struct dispatcher *dispatcher, const struct dispatcher_options *options)
{
    struct transport *transport = options->transport;
    const struct upstream_shared shared = { transport, options->hash_key, &upstream_events, dispatcher,
                                            NULL };

    *dispatcher = (struct dispatcher) {
        .transport = transport,
        .budget = options->budget,
        .chunk_ids = options->chunk_ids,
        .on_pressure = options->on_pressure,
        .owner = options->owner,
    };
    upstream_pool_init(&dispatcher->pool, &shared);
    retry_init(&dispatcher->retry, transport->route->max_attempts, transport->route->max_ack_timeouts);
    unsettled_init(&dispatcher->unsettled, transport, options->budget);
    message_queue_init(&dispatcher->waiting);
    request_queue_init(&dispatcher->requests, &metrics_of(dispatcher)->cut_through_waiting);
    timer_init(&dispatcher->timer, transport->reactor, on_timer, dispatcher);
}

void dispatcher_drain(struct dispatcher *dispatcher)
{
    retry_note_drain(&dispatcher->retry);
    first_connection_forgo(&dispatcher->pool);
    upstream_pool_hasten(&dispatcher->pool, RETRY_DELAY_MIN_MS);
    dispatch(dispatcher);
}

void dispatcher_end(struct dispatcher *dispatcher)
{
    dispatcher->is_closing = true;
    upstream_pool_end(&dispatcher->pool, END_SHUTDOWN);
}

void dispatcher_deinit(struct dispatcher *dispatcher)
{
    struct message *message;

    while ((message = message_queue_any(&dispatcher->waiting))) {
        message_queue_remove(&dispatcher->waiting, message);
        unsettled_drop(&dispatcher->unsettled, message, END_SHUTDOWN);
    }
    timer_stop(&dispatcher->timer);
}

void dispatcher_endpoints_changed(struct dispatcher *dispatcher)
{
    upstream_pool_endpoints_changed(&dispatcher->pool);
    dispatch(dispatcher);
}

void dispatcher_credentials_changed(struct dispatcher *dispatcher)
{
    upstream_pool_credentials_changed(&dispatcher->pool);
    dispatch(dispatcher);
}

void dispatcher_options_changed(struct dispatcher *dispatcher, const struct route_options *before)
{
    upstream_pool_options_changed(&dispatcher->pool, before);
    dispatch(dispatcher);
}

void dispatcher_await_first(struct dispatcher *dispatcher)
{
    first_connection_await(&dispatcher->pool);
}
