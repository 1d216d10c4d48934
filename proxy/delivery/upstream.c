#include "delivery/upstream.h"

#include "base/clock.h"
#include "forward/ack.h"
#include "runtime/connection_log.h"
#include "delivery/dispatcher.h"
#include "delivery/downstream.h"
#include "delivery/cut_through.h"
#include "wire/socket.h"

#include <stdlib.h>

enum {
    STEP_BYTES = 256 * 1024,
    INCOMING_BYTES = 64 * 1024,
    FLUSH_BYTES = 240 * 1024 /* so much is written at once, while the processor's cache still has it */
};

static void carrier_step(struct carrier *carrier);

static void on_task(struct task *task)
{
    carrier_step((struct carrier *)task);
}

/* ---- life ---- */

bool carrier_open(struct exchange *exchange, size_t at)
{
    struct worker *worker = exchange->worker;
    struct carrier *carrier = calloc(1, sizeof *carrier);

    if (!carrier)
        return false;
    carrier->task.run = on_task;
    carrier->exchange = exchange;
    carrier->opened_us = clock_monotonic_us();
    buffer_init(&carrier->outgoing, &worker->pool);
    buffer_init(&carrier->incoming, &worker->pool);
    alarm_init(&carrier->alarm, worker->loop, task_run, &carrier->task);
    outlet_open(&carrier->outlet, worker, task_run, &carrier->task);
    carrier->at = at;
    if (at < ENDPOINTS_MAX)
        outlet_aim(&carrier->outlet, at);
    roster_join(&exchange->roster, carrier);
    worker_queue(worker, &carrier->task);
    return true;
}

void carrier_wake(struct carrier *carrier)
{
    worker_queue(carrier->exchange->worker, &carrier->task);
}

void carrier_retire(struct carrier *carrier)
{
    carrier->retiring = true;
    carrier_wake(carrier);
}

static const char *carrier_phase(const struct carrier *carrier)
{
    if (carrier->state == CARRIER_GREETING)
        return "shared_key";
    return carrier->state == CARRIER_READY ? "carry" : outlet_state_name(carrier->outlet.state);
}

static const char *carrier_detail(const struct carrier *carrier, enum end_reason reason)
{
    if (reason == END_ACK_TIMEOUT && !carrier->exchange->ever_acked)
        return "it has never acknowledged anything: is it a Forward input that sends acks? If it does not, "
               "use --delivery passthrough";
    return greeting_lasts(&carrier->greeting) ? greeting_detail(&carrier->greeting)
                                              : leg_detail(&carrier->outlet.leg);
}

void carrier_end(struct carrier *carrier, enum end_reason reason)
{
    struct exchange *exchange = carrier->exchange;
    struct side_metrics *metrics = &exchange->worker->metrics.side[SIDE_UPSTREAM];
    const struct end_report report = {
        .side = SIDE_UPSTREAM,
        .reason = reason,
        .phase = carrier_phase(carrier),
        .detail = carrier_detail(carrier, reason),
        .upstream = outlet_address(&carrier->outlet),
        .opened_us = carrier->opened_us,
    };

    if (carrier->state == CARRIER_ENDED)
        return;
    if (carrier->outlet.leg.fd < 0)
        metrics_add(&metrics->opened, 1); /* a dial that did not come as far as a descriptor */
    metrics_add(&metrics->ended[reason], 1);
    end_report_log(exchange->worker, &report);
    if (!end_reason_is_ours(reason) && (carrier->state < CARRIER_READY || !end_reason_is_benign(reason)))
        worker_report_upstream(exchange->worker, reason);
    roster_leave(&exchange->roster, carrier, reason);
    carrier->state = CARRIER_ENDED;
    bool in_order = end_reason_is_benign(reason) && carrier->outlet.leg.broken == END_NONE && !carrier->lease;
    if (in_order && carrier->outlet.leg.fd >= 0)
        (void)leg_finish(&carrier->outlet.leg);
    outlet_close(&carrier->outlet, in_order ? LEG_CLOSE : LEG_RESET);
    greeting_end(&carrier->greeting);
    buffer_clear(&carrier->outgoing);
    buffer_clear(&carrier->incoming);
    alarm_stop(&carrier->alarm);
    worker_reap(exchange->worker, &carrier->task);
    exchange_carrier_ended(exchange, carrier, reason);
}

/* ---- sending ---- */

bool carrier_has_space(const struct carrier *carrier)
{
    return carrier->state == CARRIER_READY && leg_can_send(&carrier->outlet.leg) &&
           carrier->outgoing.length < carrier->exchange->worker->route->buffer_bytes;
}

const struct message *carrier_suspect(const struct carrier *carrier)
{
    const struct message *first = carrier->ledger.first ? message_of(carrier->ledger.first) : NULL;

    return first && first->attempts ? first : NULL;
}

bool carrier_is_leased(const struct carrier *carrier)
{
    return carrier->lease || carrier_suspect(carrier);
}

bool carrier_has_room(const struct carrier *carrier)
{
    return carrier_has_space(carrier) && !carrier_is_leased(carrier) && !carrier->retiring;
}

/* A failure shows when the carrier is run. */
static void carrier_flush(struct carrier *carrier)
{
    if (carrier->outgoing.length >= FLUSH_BYTES)
        (void)leg_write(&carrier->outlet.leg, &carrier->outgoing);
    carrier_wake(carrier);
}

bool carrier_put(struct carrier *carrier, struct buffer *piece)
{
    carrier->queued += piece->length;
    bool moved = buffer_move(&carrier->outgoing, piece, piece->length);
    carrier_flush(carrier);
    return moved;
}

void carrier_file(struct carrier *carrier, struct message *message)
{
    message->entry.end = carrier->queued;
    message->entry.filed_us = carrier->exchange->worker->now_us;
    ledger_file(&carrier->ledger, &message->entry);
    metrics_add(&carrier->exchange->worker->metrics.messages.unacked, message->count);
    if (!message->is_protected && message->kept) {
        message->kept = false;
        buffer_clear(&message->slices);
        exchange_hold(carrier->exchange, message, sizeof *message);
    }
    carrier_flush(carrier);
}

void carrier_send(struct carrier *carrier, struct message *message)
{
    /* Filed even if memory ran out half-way: then the carrier ends, and the message goes back with the
     * others.
     */
    if (!message_write(message, &carrier->outgoing))
        leg_break(&carrier->outlet.leg, END_NO_MEMORY);
    carrier->queued += message->entry.size;
    carrier_file(carrier, message);
}

/* Messages that expect no ack are settled once the socket has taken them. */
static void settle_taken(struct carrier *carrier)
{
    /* What waits as sealed records is a little more than the plaintext it holds: a message settles late,
     * never early. */
    uint64_t pending = carrier->outgoing.length + carrier->outlet.leg.unsent.length;
    uint64_t taken = carrier->queued > pending ? carrier->queued - pending : 0;
    struct ledger_entry *entry;

    while ((entry = ledger_settle_taken(&carrier->ledger, taken))) {
        carrier->has_settled = true;
        exchange_settle(carrier->exchange, message_of(entry));
    }
}

/* ---- receiving ---- */

/* `now_us` is a little old, and an aggregator may say an id that has just been sent once more. */
static void latency_observe(struct carrier *carrier, const struct ledger_entry *entry, uint64_t now_us)
{
    metrics_observe(&carrier->exchange->worker->metrics.messages.ack_latency, &metrics_ack_bounds,
                    now_us > entry->filed_us ? now_us - entry->filed_us : 0);
}

/* Reads the acks that are whole; END_NONE, or what was wrong with them. */
static enum end_reason acks_take(struct carrier *carrier)
{
    uint8_t bytes[ACK_BYTES_MAX];
    uint64_t now_us = carrier->exchange->worker->now_us;

    while (carrier->incoming.length) {
        size_t length = buffer_peek(&carrier->incoming, 0, bytes, sizeof bytes);
        size_t taken;
        struct span id;
        enum ack_status status = ack_parse(bytes, length, &taken, &id);
        if (status == ACK_MORE)
            return END_NONE;
        if (status == ACK_REFUSED)
            return END_BAD_ACK;
        buffer_consume(&carrier->incoming, taken);
        const struct ledger_entry *oldest = ledger_oldest_awaiting(&carrier->ledger);
        struct ledger_entry *entry = ledger_settle_ack(&carrier->ledger, bytes + id.start, id.end - id.start);
        if (!entry)
            return END_UNKNOWN_ACK;
        latency_observe(carrier, entry, now_us);
        if (entry == oldest)
            carrier->oldest_ms = now_us / 1000;
        carrier->exchange->ever_acked = carrier->has_settled = true;
        exchange_settle(carrier->exchange, message_of(entry));
    }
    return END_NONE;
}

/* ---- the step ---- */

static bool carrier_dial(struct carrier *carrier)
{
    enum end_reason reason = outlet_advance(&carrier->outlet, &carrier->incoming);

    if (reason != END_NONE) {
        carrier_end(carrier, reason);
        return false;
    }
    if (carrier->outlet.state != OUTLET_READY) {
        leg_watch(&carrier->outlet.leg, outlet_reads(&carrier->outlet) ? LEG_READ : LEG_NO_READ);
        alarm_set(&carrier->alarm, carrier->outlet.deadline_ms);
        return false;
    }
    carrier->state = CARRIER_GREETING;
    const struct route_options *route = carrier->exchange->worker->route;
    if (route->key[SIDE_UPSTREAM]) {
        carrier->greeting_deadline_ms = carrier->exchange->worker->now_ms + route->handshake_timeout_ms;
        reason = greeting_begin(&carrier->greeting, HANDSHAKE_DIALLING, route->key[SIDE_UPSTREAM],
                                &carrier->outgoing);
    }
    if (reason != END_NONE)
        carrier_end(carrier, reason);
    return reason == END_NONE;
}

/* The shared-key handshake, as far as it goes; true once it is over, or when there is none. */
static bool carrier_greet(struct carrier *carrier)
{
    struct leg *leg = &carrier->outlet.leg;
    enum end_reason reason = END_NONE;
    size_t before;

    do {
        before = carrier->incoming.length + carrier->outgoing.length;
        (void)leg_write(leg, &carrier->outgoing);
        if (greeting_lasts(&carrier->greeting))
            (void)leg_read(leg, &carrier->incoming, INCOMING_BYTES);
        reason = greeting_advance(&carrier->greeting, &carrier->incoming, &carrier->outgoing);
    } while (reason == END_NONE && before != carrier->incoming.length + carrier->outgoing.length);
    if (reason == END_NONE && greeting_lasts(&carrier->greeting)) {
        if (leg->broken != END_NONE || leg->read_over)
            reason = leg->broken != END_NONE ? leg->broken : END_KEY_REJECTED;
        else if (carrier->exchange->worker->now_ms >= carrier->greeting_deadline_ms)
            reason = END_KEY_TIMEOUT;
        leg_watch(leg, LEG_READ);
        alarm_set(&carrier->alarm, carrier->greeting_deadline_ms);
    }
    if (reason != END_NONE) {
        carrier_end(carrier, reason);
        return false;
    }
    if (greeting_lasts(&carrier->greeting))
        return false;
    carrier->queued = carrier->outgoing.length; /* what is left of the handshake goes before the messages */
    carrier->state = CARRIER_READY;
    roster_ready(&carrier->exchange->roster, carrier);
    worker_report_upstream(carrier->exchange->worker, END_NONE);
    exchange_dispatch(carrier->exchange);
    return true;
}

/* An aggregator works through a connection in order: its time for a message begins when it is through with
 * those before it. */
static uint64_t ack_deadline(const struct carrier *carrier)
{
    const struct ledger_entry *oldest = ledger_oldest_awaiting(&carrier->ledger);

    if (!oldest)
        return 0;
    uint64_t since_ms =
        oldest->filed_us / 1000 > carrier->oldest_ms ? oldest->filed_us / 1000 : carrier->oldest_ms;
    return since_ms + carrier->exchange->worker->route->ack_timeout_ms;
}

/* Nothing is on its way on it. */
static bool carrier_is_settled(const struct carrier *carrier)
{
    return !carrier->ledger.count && !carrier->lease && !carrier->outgoing.length &&
           !carrier->outlet.leg.unsent.length;
}

/* Keepalive does not see a peer that is gone while something of ours is on its way to it. */
static enum end_reason peer_check(struct carrier *carrier)
{
    const struct worker *worker = carrier->exchange->worker;
    unsigned dead_peer_ms = worker->route->dead_peer_ms;

    if (!dead_peer_ms || worker->now_ms < carrier->check_ms)
        return END_NONE;
    carrier->check_ms = worker->now_ms + dead_peer_ms / SOCKET_CHECKS_PER_DEAD_PEER;
    enum end_reason reason = socket_check(carrier->outlet.leg.fd, dead_peer_ms);
    return reason == END_DEAD_PEER ? reason : END_NONE; /* of a reset, reading tells more */
}

/* Why a ready carrier cannot go on; END_NONE when it can. */
static enum end_reason carrier_verdict(struct carrier *carrier, enum end_reason ack_reason)
{
    struct leg *leg = &carrier->outlet.leg;
    uint64_t deadline = ack_deadline(carrier);

    if (ack_reason != END_NONE)
        return ack_reason;
    if (leg->broken != END_NONE)
        return leg->broken;
    if (leg->read_over)
        return carrier->ledger.count || carrier->lease ? END_UPSTREAM_CLOSED : END_CLOSED;
    if (deadline && carrier->exchange->worker->now_ms >= deadline)
        return END_ACK_TIMEOUT;
    if (carrier->retire_at_ms && carrier->exchange->worker->now_ms >= carrier->retire_at_ms)
        roster_retire_old(&carrier->exchange->roster, carrier);
    if (carrier->retiring && carrier_is_settled(carrier))
        return END_RETIRED;
    return peer_check(carrier);
}

static void carrier_step(struct carrier *carrier)
{
    struct leg *leg = &carrier->outlet.leg;
    enum end_reason ack_reason = END_NONE;
    size_t total = 0, moved;
    bool had_suspect = carrier_suspect(carrier);

    if (carrier->retiring && carrier->state < CARRIER_READY) {
        carrier_end(carrier, END_RETIRED);
        return;
    }
    if (carrier->state == CARRIER_DIALLING && !carrier_dial(carrier))
        return;
    if (carrier->state == CARRIER_GREETING && !carrier_greet(carrier))
        return;
    if (carrier->state != CARRIER_READY)
        return;
    do {
        size_t before = carrier->outgoing.length;
        (void)leg_write(leg, &carrier->outgoing);
        moved = before - carrier->outgoing.length;
        before = carrier->incoming.length;
        (void)leg_read(leg, &carrier->incoming, INCOMING_BYTES);
        moved += carrier->incoming.length - before;
        ack_reason = acks_take(carrier);
        total += moved;
    } while (moved && total < STEP_BYTES && ack_reason == END_NONE);
    settle_taken(carrier);
    enum end_reason reason = carrier_verdict(carrier, ack_reason);
    if (reason != END_NONE) {
        carrier_end(carrier, reason);
        return;
    }
    if (moved)
        carrier_wake(carrier);
    if (carrier->lease && carrier_has_space(carrier))
        intake_wake(carrier->lease->intake);
    exchange_dispatch(carrier->exchange);
    if (had_suspect && !carrier_is_leased(carrier))
        roster_end_lease(&carrier->exchange->roster, carrier);
    leg_watch(leg, LEG_READ);
    alarm_set(&carrier->alarm, alarm_earlier(carrier->check_ms, ack_deadline(carrier)));
    alarm_set(&carrier->alarm, carrier->retiring ? 0 : carrier->retire_at_ms);
}
