#include "delivery/downstream.h"

#include "base/clock.h"
#include "forward/ack.h"
#include "delivery/upstream.h"
#include "runtime/connection_log.h"
#include "delivery/dispatcher.h"
#include "delivery/cut_through.h"
#include "wire/socket.h"

#include <stdlib.h>

enum {
    STEP_BYTES = 256 * 1024,
    ACKS_BYTES_MAX = 64 * 1024,
    PRESSED_STALL_MS = 1000,  /* an agent that stalls must not hold up others for long */
    PRESSED_BYTES_PER_MS = 64 /* nor one that holds what they need, and dribbles */
};

static void intake_step(struct intake *intake);

static void on_task(struct task *task)
{
    intake_step((struct intake *)task);
}

static uint64_t now_ms(const struct intake *intake)
{
    return intake->exchange->worker->now_ms;
}

/* ---- acks ---- */

struct intake_ack {
    TAILQ_ENTRY(intake_ack) link;
    uint64_t ordinal; /* its message's */
    size_t length;
    uint8_t bytes[];
};

static bool ack_keep(struct intake *intake, const struct message *message)
{
    struct intake_ack *ack =
        malloc(sizeof *ack + message->entry.id_length + ACK_BYTES_MAX - ACK_ID_BYTES_MAX);

    if (!ack)
        return false;
    ack->ordinal = message->ordinal;
    ack->length = ack_write(ack->bytes, message->entry.id, message->entry.id_length);
    TAILQ_INSERT_TAIL(&intake->acks, ack, link);
    intake->ack_bytes += ack->length;
    return true;
}

static void ack_drop(struct intake *intake, struct intake_ack *ack)
{
    TAILQ_REMOVE(&intake->acks, ack, link);
    intake->ack_bytes -= ack->length;
    free(ack);
}

static void acks_drop(struct intake *intake)
{
    for (struct intake_ack *ack = TAILQ_FIRST(&intake->acks), *next; ack; ack = next) {
        next = TAILQ_NEXT(ack, link);
        ack_drop(intake, ack);
    }
}

/* Its agent asked for no ack of it, or of a part of it. */
static bool is_unasked(const struct message *message)
{
    return message->ack != MESSAGE_AGENT_ACK || message->count > 1;
}

/* Acks of messages from this one on wait: their agent sent it before them, and asked for no ack of its own.
 */
static uint64_t first_unasked(const struct intake *intake)
{
    const struct message *message;

    if (!intake->unasked)
        return UINT64_MAX;
    TAILQ_FOREACH (message, &intake->unsettled, of_origin) {
        if (is_unasked(message))
            return message->ordinal;
    }
    return UINT64_MAX;
}

/* As many as fit in one record go out together, and none is cut by its end: agents take half an ack for a
 * failure. */
static void acks_gather(struct intake *intake)
{
    struct intake_ack *ack, *next;

    if (TAILQ_EMPTY(&intake->acks) || greeting_lasts(&intake->greeting))
        return;
    uint64_t end = first_unasked(intake);
    for (ack = TAILQ_FIRST(&intake->acks); ack; ack = next) {
        next = TAILQ_NEXT(ack, link);
        if (ack->ordinal >= end)
            continue;
        if (intake->outgoing.length + ack->length > TLS_RECORD_BYTES)
            break;
        if (!buffer_append(&intake->outgoing, ack->bytes, ack->length))
            leg_break(&intake->inlet.leg, END_NO_MEMORY);
        ack_drop(intake, ack);
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
    intake->progress_ms = now_ms(intake);
    buffer_init(&intake->incoming, &worker->pool);
    buffer_init(&intake->outgoing, &worker->pool);
    alarm_init(&intake->alarm, worker->loop, task_run, &intake->task);
    TAILQ_INIT(&intake->unsettled);
    TAILQ_INIT(&intake->acks);
    LIST_INSERT_HEAD(&exchange->intakes, intake, sibling);
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

static const char *intake_detail(const struct intake *intake)
{
    if (*message_permit_detail(&intake->permit))
        return message_permit_detail(&intake->permit);
    return greeting_lasts(&intake->greeting) ? greeting_detail(&intake->greeting)
                                             : leg_detail(&intake->inlet.leg);
}

static void intake_report(struct intake *intake, enum end_reason reason)
{
    struct worker *worker = intake->exchange->worker;
    const struct end_report report = {
        .side = SIDE_DOWNSTREAM,
        .reason = reason,
        .phase = intake_phase(intake),
        .detail = intake_detail(intake),
        .inlet = &intake->inlet.leg,
        .peer = &intake->inlet.peer,
        .opened_us = intake->opened_us,
    };

    metrics_add(&worker->metrics.side[SIDE_DOWNSTREAM].ended[reason], 1);
    end_report_log(worker, &report);
}

void intake_own(struct intake *intake, struct message *message)
{
    message->origin = intake;
    message->arrived_ms = now_ms(intake);
    message->ordinal = intake->messages;
    TAILQ_INSERT_TAIL(&intake->unsettled, message, of_origin);
    intake->unasked += is_unasked(message);
    intake->messages += message->count;
}

void intake_own_part(struct intake *intake, struct message *part, struct message *run)
{
    part->origin = intake;
    TAILQ_INSERT_BEFORE(run, part, of_origin);
    intake->unasked += is_unasked(part);
}

void intake_disown(struct intake *intake, struct message *message)
{
    TAILQ_REMOVE(&intake->unsettled, message, of_origin);
    intake->unasked -= is_unasked(message);
    message->origin = NULL;
}

void intake_wake(struct intake *intake)
{
    worker_queue(intake->exchange->worker, &intake->task);
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
    if (in_order && leg->tls && leg_is_secured(leg))
        (void)leg_finish(leg); /* close_notify; a plain leg's FIN comes with its close */
    if (intake->stream)
        stream_abandon(intake->stream);
    intake->stream = NULL;
    exchange_forget(exchange, intake);
    while (!TAILQ_EMPTY(&intake->unsettled))
        intake_disown(intake, TAILQ_FIRST(&intake->unsettled));
    /* An agent that is refused by a PONG, or by an alert, gets to read it. */
    bool has_answer = end_reason_sends_alert(reason) || (greeting_lasts(&intake->greeting) &&
                                                         leg->broken == END_NONE && !intake->outgoing.length);
    leg_close(leg, in_order || has_answer ? LEG_CLOSE : LEG_RESET);
    greeting_end(&intake->greeting);
    message_permit_close(&intake->permit);
    if (intake->paused_until_ms)
        metrics_take(&exchange->worker->metrics.messages.paused, 1);
    intake->paused_until_ms = 0;
    acks_drop(intake);
    buffer_clear(&intake->incoming);
    buffer_clear(&intake->outgoing);
    exchange_put_back(exchange, intake->reading);
    intake->reading = NULL;
    room_leave(&exchange->room, &intake->place);
    room_count_excess(&exchange->room, &intake->place, 0);
    room_end_overdraft(&exchange->room, &intake->place);
    room_pass(&exchange->room);
    alarm_stop(&intake->alarm);
    LIST_REMOVE(intake, sibling);
    worker_reap(exchange->worker, &intake->task);
    worker_count_inlet(exchange->worker, intake->is_securing ? -1 : 0, -1);
}

bool intake_is_settled(const struct intake *intake)
{
    return TAILQ_EMPTY(&intake->unsettled) && !intake->stream && !intake->incoming.length &&
           !intake->outgoing.length && TAILQ_EMPTY(&intake->acks) && !intake->inlet.leg.unsent.length;
}

/* ---- its messages ---- */

void intake_settle(struct intake *intake, struct message *message)
{
    intake_disown(intake, message);
    if (message->ack == MESSAGE_AGENT_ACK && !ack_keep(intake, message))
        leg_break(&intake->inlet.leg, END_NO_MEMORY);
    intake_wake(intake);
}

/* ---- the step ---- */

static bool intake_has_room(const struct intake *intake)
{
    if (intake->stream)
        return !stream_is_blocked(intake->stream);
    return room_admits(&intake->exchange->room, &intake->place);
}

/* It would be read if there was room. One that was reset takes no acks, but is read to its end. */
static bool intake_wants_room(const struct intake *intake)
{
    const struct leg *leg = &intake->inlet.leg;

    return !leg->read_over && (intake->ack_bytes < ACKS_BYTES_MAX || !leg_can_send(leg));
}

/* What it sends waits behind a suspect of its own, whose end wakes it: more of it would only take room. While
 * there is no upstream it is held like anybody's. */
static bool intake_is_held_back(const struct intake *intake)
{
    const struct exchange *exchange = intake->exchange;

    return intake->held_back && intake->held_back == exchange->dispatches &&
           roster_is_ready(&exchange->roster);
}

static bool intake_reads(struct intake *intake)
{
    return intake_wants_room(intake) && intake_has_room(intake) && !intake_is_held_back(intake) &&
           !reading_is_paused(intake);
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
        (void)leg_read(leg, &intake->incoming, reading_window(intake));
        *moved += intake->incoming.length - before + leg->read_over;
    }
    enum end_reason reason = greeting_advance(&intake->greeting, &intake->incoming, &intake->outgoing);
    if (reason != END_NONE) {
        (void)leg_write(leg, &intake->outgoing); /* a PONG that says no */
        return reason;
    }
    return greeting_lasts(&intake->greeting) ? END_NONE : reading_advance(intake);
}

/* Not a byte of a message has come. */
static bool intake_is_untouched(const struct intake *intake)
{
    return !intake->messages && !intake->incoming.length;
}

/* When an agent that does not go on with its message is given up; 0: never. */
static uint64_t stall_deadline(struct intake *intake)
{
    uint64_t patience = intake->exchange->worker->route->message_timeout_ms;

    if (!patience || intake->is_held_up || intake_is_held_back(intake) || !reading_is_amid(intake))
        return 0;
    if (patience > PRESSED_STALL_MS && exchange_is_pressed(intake->exchange))
        patience = PRESSED_STALL_MS;
    return intake->progress_ms + patience;
}

/* When an agent that has not said a word may be waiting for a HELO that will not come; 0: never, or what
 * there is to say about it has been said. */
static uint64_t silence_deadline(const struct intake *intake)
{
    const struct exchange *exchange = intake->exchange;
    const struct route_options *route = exchange->worker->route;
    bool is_silent = intake_is_untouched(intake) && !reading_is_amid(intake) && !intake->inlet.leg.read_over;

    if (route->key[SIDE_DOWNSTREAM] || !route->silence_hint_ms || exchange->told_of_silence || !is_silent)
        return 0;
    return intake->progress_ms + route->silence_hint_ms;
}

/* Once: it may as well be a logger that has nothing to log. */
static void silence_tell(struct intake *intake)
{
    struct worker *worker = intake->exchange->worker;
    uint64_t deadline_ms = silence_deadline(intake);
    char peer[ADDRESS_TEXT_BYTES];
    struct log_line line;

    if (!deadline_ms || now_ms(intake) < deadline_ms)
        return;
    intake->exchange->told_of_silence = true;
    socket_address_format(&intake->inlet.peer, peer, sizeof peer);
    log_begin(&line, worker->log, LOG_INFO,
              "agent waits silently: if it is configured with a shared key, husk needs --accept-key-env or "
              "--accept-key-file");
    log_text(&line, "route", worker->route->name);
    log_text(&line, "peer", peer);
    log_end(&line);
}

static uint64_t intake_deadline(struct intake *intake)
{
    uint64_t idle_ms = intake->exchange->worker->route->idle_timeout_ms;
    uint64_t greeting_ms = greeting_lasts(&intake->greeting) ? intake->greeting_deadline_ms : 0;
    uint64_t words_ms = alarm_earlier(stall_deadline(intake), silence_deadline(intake));
    uint64_t rest_ms = alarm_earlier(intake->paused_until_ms, idle_ms ? intake->progress_ms + idle_ms : 0);

    return alarm_earlier(alarm_earlier(words_ms, greeting_ms), rest_ms);
}

/* Why it must end; END_NONE when it goes on. */
static enum end_reason intake_verdict(struct intake *intake)
{
    struct leg *leg = &intake->inlet.leg;
    uint64_t idle_ms = intake->exchange->worker->route->idle_timeout_ms, stalled_ms = stall_deadline(intake);

    if (leg->broken != END_NONE)
        return leg->broken == END_RESET && intake_is_untouched(intake) ? END_PROBE : leg->broken;
    if (leg->read_over && greeting_lasts(&intake->greeting))
        return END_PROBE;
    if (greeting_lasts(&intake->greeting) && now_ms(intake) >= intake->greeting_deadline_ms)
        return END_KEY_TIMEOUT;
    if (leg->read_over && reading_is_amid(intake))
        return END_MESSAGE_CUT;
    if (leg->read_over && intake_is_settled(intake))
        return intake->messages ? END_CLOSED : END_PROBE;
    if (stalled_ms && now_ms(intake) >= stalled_ms)
        return END_MESSAGE_STALLED;
    if (idle_ms && TAILQ_EMPTY(&intake->unsettled) && now_ms(intake) >= intake->progress_ms + idle_ms)
        return END_IDLE;
    return END_NONE;
}

/* Its peer is known: so is what it may write. */
static enum end_reason intake_admit(struct intake *intake)
{
    struct worker *worker = intake->exchange->worker;
    const struct tls_channel *tls = intake->inlet.leg.tls;

    return message_permit_open(&intake->permit, worker->route->policy, &worker->meters,
                               tls ? tls_channel_peer(tls) : NULL, now_ms(intake));
}

/* The TLS handshake, if any, is through: the shared-key one begins, if any. */
static void intake_greet(struct intake *intake)
{
    const struct route_options *route = intake->exchange->worker->route;
    const struct handshake_options *key = route->key[SIDE_DOWNSTREAM];

    intake->is_greeted = true;
    if (!key)
        return;
    intake->greeting_deadline_ms = now_ms(intake) + route->handshake_timeout_ms;
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

/* What an idle agent does not need goes back, what it holds is counted, and others get their turn. */
static void intake_account(struct intake *intake)
{
    struct room *room = &intake->exchange->room;
    size_t buffer_bytes = intake->exchange->worker->route->buffer_bytes, length = intake->incoming.length;

    reading_rest(intake);
    room_count_excess(room, &intake->place, length > buffer_bytes ? length - buffer_bytes : 0);
    if (intake->stream || !reading_is_amid(intake))
        room_end_overdraft(room, &intake->place);
    room_pass(room);
}

/* Any byte is progress, but for an agent that holds what others wait for: each byte counts for its time. */
static void intake_progress(struct intake *intake, size_t moved)
{
    const struct exchange *exchange = intake->exchange;
    uint64_t earned_ms = moved / PRESSED_BYTES_PER_MS;
    bool is_in_the_way =
        intake->stream || intake->place.excess_bytes || exchange->room.overdrawn == &intake->place;

    if (!is_in_the_way || !exchange_is_pressed(exchange) ||
        intake->progress_ms + earned_ms > now_ms(intake) || earned_ms > now_ms(intake))
        intake->progress_ms = now_ms(intake);
    else
        intake->progress_ms += earned_ms;
}

/* After its turn it goes to the end of the line, if it has to wait again. */
static void intake_queue(struct intake *intake, size_t moved)
{
    struct room *room = &intake->exchange->room;
    bool was_held_up = intake->is_held_up;

    intake->is_held_up = intake_wants_room(intake) && !intake_has_room(intake);
    if (moved || !intake->is_held_up || intake->stream)
        room_leave(room, &intake->place);
    if (intake->is_held_up && !intake->stream)
        room_wait(room, &intake->place, intake);
    if (moved || was_held_up)
        intake_progress(intake, was_held_up ? SIZE_MAX : moved);
}

static void intake_step(struct intake *intake)
{
    enum end_reason reason;
    size_t total = 0, moved;

    if (intake->ended || !intake_secure(intake))
        return;
    if (!intake->is_greeted) {
        reason = intake_admit(intake);
        if (reason != END_NONE) {
            intake_end(intake, reason);
            return;
        }
        intake_greet(intake);
    }
    do {
        reason = intake_move(intake, &moved);
        total += moved;
    } while (moved && total < STEP_BYTES && reason == END_NONE);
    bool reads = intake_reads(intake);
    intake_queue(intake, total);
    if (reason == END_NONE)
        reason = intake_verdict(intake);
    if (reason != END_NONE) {
        intake_end(intake, reason);
        return;
    }
    intake_account(intake);
    silence_tell(intake);
    if (moved && (reads || intake->outgoing.length || !TAILQ_EMPTY(&intake->acks)))
        intake_wake(intake);
    leg_watch(&intake->inlet.leg, reads ? LEG_READ : LEG_NO_READ);
    alarm_set(&intake->alarm, intake_deadline(intake));
}
