#include "relay/intake.h"

#include "base/clock.h"
#include "forward/ack.h"
#include "relay/carrier.h"
#include "relay/end_report.h"
#include "relay/exchange.h"
#include "wire/socket.h"

#include <stdlib.h>

enum { STEP_BYTES = 256 * 1024, ACKS_BYTES_MAX = 64 * 1024 };

static void intake_step(struct intake *intake);

static void on_task(struct task *task)
{
    intake_step((struct intake *)task);
}

/* ---- acks ---- */

struct intake_ack {
    struct intake_ack *next;
    size_t length;
    uint8_t bytes[];
};

static bool ack_keep(struct intake *intake, const struct message *message)
{
    struct intake_ack *ack =
        malloc(sizeof *ack + message->entry.id_length + ACK_BYTES_MAX - ACK_ID_BYTES_MAX);

    if (!ack)
        return false;
    ack->next = NULL;
    ack->length = ack_write(ack->bytes, message->entry.id, message->entry.id_length);
    if (intake->last_ack)
        intake->last_ack->next = ack;
    else
        intake->first_ack = ack;
    intake->last_ack = ack;
    intake->ack_bytes += ack->length;
    return true;
}

static void ack_drop_first(struct intake *intake)
{
    struct intake_ack *ack = intake->first_ack;

    intake->first_ack = ack->next;
    if (!intake->first_ack)
        intake->last_ack = NULL;
    intake->ack_bytes -= ack->length;
    free(ack);
}

/* As many as fit in one record go out together, and none is cut by its end: agents take half an ack for a
 * failure. */
static void acks_gather(struct intake *intake)
{
    while (intake->first_ack && !greeting_lasts(&intake->greeting) &&
           intake->outgoing.length + intake->first_ack->length <= TLS_RECORD_BYTES) {
        if (!buffer_append(&intake->outgoing, intake->first_ack->bytes, intake->first_ack->length))
            leg_break(&intake->inlet.leg, END_NO_MEMORY);
        ack_drop_first(intake);
    }
}

/* ---- life ---- */

void intake_open(struct exchange *exchange, int fd, const struct socket_address *peer)
{
    struct worker *worker = exchange->worker;
    struct intake *intake = calloc(1, sizeof *intake);

    if (!intake) {
        socket_close_by_reset(fd);
        return;
    }
    intake->task.run = on_task;
    intake->exchange = exchange;
    intake->opened_us = clock_monotonic_us();
    intake->progress_ms = clock_monotonic_ms();
    buffer_init(&intake->incoming, &worker->pool);
    buffer_init(&intake->outgoing, &worker->pool);
    scanner_init(&intake->scanner, &worker->route->scanner);
    alarm_init(&intake->alarm, worker->loop, task_run, &intake->task);
    intake->next = exchange->intakes;
    if (intake->next)
        intake->next->previous = intake;
    exchange->intakes = intake;
    inlet_open(&intake->inlet, worker, fd, peer, task_run, &intake->task);
    intake->is_securing = intake->inlet.state == INLET_SECURING;
    worker_count_inlet(worker, intake->is_securing ? 1 : 0, 1);
    intake_step(intake);
}

static const char *intake_phase(const struct intake *intake)
{
    if (intake->is_securing)
        return "handshake";
    return greeting_lasts(&intake->greeting) ? "shared_key" : "read";
}

static void intake_report(struct intake *intake, enum end_reason reason)
{
    struct worker *worker = intake->exchange->worker;
    const struct end_report report = {
        .side = SIDE_DOWNSTREAM,
        .reason = reason,
        .phase = intake_phase(intake),
        .detail = greeting_lasts(&intake->greeting) ? greeting_detail(&intake->greeting)
                                                    : leg_detail(&intake->inlet.leg),
        .inlet = &intake->inlet.leg,
        .peer = &intake->inlet.peer,
        .opened_us = intake->opened_us,
    };

    metrics_add(&worker->metrics.side[SIDE_DOWNSTREAM].ended[reason], 1);
    end_report_log(worker, &report);
}

void intake_disown(struct intake *intake, struct message *message)
{
    if (message->next_of_origin)
        message->next_of_origin->previous_of_origin = message->previous_of_origin;
    if (message->previous_of_origin)
        message->previous_of_origin->next_of_origin = message->next_of_origin;
    else
        intake->unsettled = message->next_of_origin;
    message->origin = NULL;
}

void intake_end(struct intake *intake, enum end_reason reason)
{
    struct exchange *exchange = intake->exchange;
    struct leg *leg = &intake->inlet.leg;

    if (intake->ended)
        return;
    intake->ended = true;
    intake_report(intake, reason);
    bool in_order = end_reason_is_benign(reason) && leg->broken == END_NONE && intake_is_settled(intake);
    if (in_order && leg_is_secured(leg))
        (void)leg_finish(leg);
    exchange_forget(exchange, intake);
    while (intake->unsettled)
        intake_disown(intake, intake->unsettled);
    /* An agent that is refused by a PONG gets to read it. */
    bool has_answer =
        greeting_lasts(&intake->greeting) && leg->broken == END_NONE && !intake->outgoing.length;
    leg_close(leg, in_order || has_answer ? LEG_CLOSE : LEG_RESET);
    greeting_end(&intake->greeting);
    while (intake->first_ack)
        ack_drop_first(intake);
    buffer_clear(&intake->incoming);
    buffer_clear(&intake->outgoing);
    alarm_stop(&intake->alarm);
    if (intake->next)
        intake->next->previous = intake->previous;
    if (intake->previous)
        intake->previous->next = intake->next;
    else
        exchange->intakes = intake->next;
    worker_reap(exchange->worker, &intake->task);
    worker_count_inlet(exchange->worker, intake->is_securing ? -1 : 0, -1);
}

bool intake_is_settled(const struct intake *intake)
{
    return !intake->unsettled && !intake->incoming.length && !intake->outgoing.length && !intake->first_ack &&
           !intake->inlet.leg.unsent.length;
}

/* ---- messages ---- */

/* Takes the message that the scanner has just found off the front; END_NONE or why it cannot be taken. */
static enum end_reason message_read(struct intake *intake)
{
    struct exchange *exchange = intake->exchange;
    const struct route_options *route = exchange->worker->route;
    const struct scanner *scanner = &intake->scanner;
    bool is_asked = scanner->chunk.end > scanner->chunk.start;
    bool is_protected = route->delivery == ROUTE_AT_LEAST_ONCE && scanner->length <= route->retain_bytes;
    uint8_t id[16], value[CHUNK_ID_VALUE_BYTES];
    struct rewrite rewrite;

    if (is_protected && !is_asked) {
        exchange_next_id(exchange, id);
        chunk_id_write(value, id);
    }
    rewrite_plan(&rewrite, scanner, "", 0, is_protected && !is_asked ? value : NULL);
    struct message *message = message_take(&intake->incoming, scanner, &rewrite);
    intake->scanned = 0;
    if (!message)
        return END_NO_MEMORY;
    message->ack = is_asked ? MESSAGE_AGENT_ACK : is_protected ? MESSAGE_OUR_ACK : MESSAGE_NO_ACK;
    message->is_protected = is_protected;
    message->arrived_ms = clock_monotonic_ms();
    message->origin = intake;
    message->next_of_origin = intake->unsettled;
    if (intake->unsettled)
        intake->unsettled->previous_of_origin = message;
    intake->unsettled = message;
    intake->messages++;
    if (!is_protected && route->delivery == ROUTE_AT_LEAST_ONCE)
        metrics_add(&exchange->worker->metrics.messages.unprotected, 1);
    exchange_submit(exchange, message);
    return END_NONE;
}

static enum end_reason reason_of_refusal(enum scanner_refusal refusal)
{
    switch (refusal) {
    case SCANNER_JSON:
        return END_JSON;
    case SCANNER_TAG_TOO_LONG:
        return END_TAG_TOO_LONG;
    case SCANNER_TOO_LONG:
        return END_MESSAGE_TOO_LONG;
    case SCANNER_TOO_DEEP:
        return END_MESSAGE_TOO_DEEP;
    case SCANNER_BAD_OPTION:
        return END_BAD_OPTION;
    default:
        return END_NOT_FORWARD;
    }
}

/* Scans what has been read and hands over what is whole; END_NONE or why the stream cannot go on. */
static enum end_reason messages_scan(struct intake *intake)
{
    enum end_reason reason = END_NONE;

    while (reason == END_NONE && !intake->ended && intake->scanned < intake->incoming.length) {
        size_t length;
        const uint8_t *bytes = buffer_view(&intake->incoming, intake->scanned, &length);
        enum scanner_status status;
        intake->scanned += scanner_feed(&intake->scanner, bytes, length, &status);
        if (status == SCANNER_END)
            reason = message_read(intake);
        else if (status == SCANNER_REFUSED)
            reason = reason_of_refusal(intake->scanner.refusal);
    }
    return reason;
}

void intake_settle(struct intake *intake, struct message *message)
{
    intake_disown(intake, message);
    if (message->ack == MESSAGE_AGENT_ACK && !ack_keep(intake, message))
        leg_break(&intake->inlet.leg, END_NO_MEMORY);
    worker_queue(intake->exchange->worker, &intake->task);
}

/* ---- the step ---- */

static bool intake_reads(struct intake *intake)
{
    return !intake->inlet.leg.read_over && intake->ack_bytes < ACKS_BYTES_MAX &&
           exchange_has_room(intake->exchange);
}

/* How much of a message may be held while it is not whole. */
static size_t intake_window(const struct intake *intake)
{
    const struct route_options *route = intake->exchange->worker->route;
    uint64_t announced = scanner_is_between(&intake->scanner) ? 0 : intake->scanner.announced;

    return route->buffer_bytes > announced ? route->buffer_bytes : (size_t)announced + route->buffer_bytes;
}

/* Moves bytes both ways once around; END_NONE or what was wrong with them. */
static enum end_reason intake_move(struct intake *intake, size_t *moved)
{
    struct leg *leg = &intake->inlet.leg;
    if (!intake->outgoing.length)
        acks_gather(intake);
    size_t before = intake->outgoing.length;
    (void)leg_write(leg, &intake->outgoing);
    *moved = before - intake->outgoing.length;
    if (intake_reads(intake)) {
        before = intake->incoming.length;
        (void)leg_read(leg, &intake->incoming, intake_window(intake));
        *moved += intake->incoming.length - before;
    }
    enum end_reason reason = greeting_advance(&intake->greeting, &intake->incoming, &intake->outgoing);
    if (reason != END_NONE) {
        (void)leg_write(leg, &intake->outgoing); /* a PONG that says no */
        return reason;
    }
    return greeting_lasts(&intake->greeting) ? END_NONE : messages_scan(intake);
}

/* Not a byte of a message has come. */
static bool intake_is_untouched(const struct intake *intake)
{
    return !intake->messages && !intake->incoming.length;
}

/* Why it must end; END_NONE when it goes on. */
static enum end_reason intake_verdict(struct intake *intake)
{
    struct leg *leg = &intake->inlet.leg;
    uint64_t idle_ms = intake->exchange->worker->route->idle_timeout_ms;

    if (leg->broken != END_NONE)
        return leg->broken == END_RESET && intake_is_untouched(intake) ? END_PROBE : leg->broken;
    if (leg->read_over && greeting_lasts(&intake->greeting))
        return END_PROBE;
    if (greeting_lasts(&intake->greeting) && clock_monotonic_ms() >= intake->greeting_deadline_ms)
        return END_KEY_TIMEOUT;
    if (leg->read_over && !scanner_is_between(&intake->scanner))
        return END_MESSAGE_CUT;
    if (leg->read_over && intake_is_settled(intake))
        return intake->messages ? END_CLOSED : END_PROBE;
    if (idle_ms && !intake->unsettled && clock_monotonic_ms() >= intake->progress_ms + idle_ms)
        return END_IDLE;
    return END_NONE;
}

/* The TLS handshake, if any, is through: the shared-key one begins, if any. */
static void intake_greet(struct intake *intake)
{
    const struct route_options *route = intake->exchange->worker->route;
    const struct handshake_options *key = route->key[SIDE_DOWNSTREAM];

    intake->is_greeted = true;
    if (!key)
        return;
    intake->greeting_deadline_ms = clock_monotonic_ms() + route->handshake_timeout_ms;
    alarm_set(&intake->alarm, intake->greeting_deadline_ms);
    enum end_reason reason = greeting_begin(&intake->greeting, HANDSHAKE_ACCEPTING, key, &intake->outgoing);
    if (reason != END_NONE)
        leg_break(&intake->inlet.leg, reason);
}

/* True once the connection is worth reading. */
static bool intake_secure(struct intake *intake)
{
    if (!intake->is_securing)
        return true;

    enum end_reason reason = inlet_advance(&intake->inlet, &intake->incoming);
    if (reason != END_NONE) {
        intake_end(intake, reason);
        return false;
    }
    if (intake->inlet.state == INLET_SECURING) {
        leg_watch(&intake->inlet.leg, LEG_READ);
        alarm_set(&intake->alarm, intake->inlet.deadline_ms);
        return false;
    }
    intake->is_securing = false;
    worker_count_inlet(intake->exchange->worker, -1, 0);
    return true;
}

static void intake_step(struct intake *intake)
{
    struct worker *worker = intake->exchange->worker;
    enum end_reason reason;
    size_t total = 0, moved;

    if (intake->ended || !intake_secure(intake))
        return;
    if (!intake->is_greeted)
        intake_greet(intake);
    do {
        reason = intake_move(intake, &moved);
        total += moved;
    } while (moved && total < STEP_BYTES && reason == END_NONE && !intake->ended);
    if (intake->ended)
        return;
    if (total)
        intake->progress_ms = clock_monotonic_ms();
    if (reason == END_NONE)
        reason = intake_verdict(intake);
    if (reason != END_NONE) {
        intake_end(intake, reason);
        return;
    }
    if (moved)
        worker_queue(worker, &intake->task);
    leg_watch(&intake->inlet.leg, intake_reads(intake) ? LEG_READ : LEG_NO_READ);
    if (worker->route->idle_timeout_ms)
        alarm_set(&intake->alarm, intake->progress_ms + worker->route->idle_timeout_ms);
}
