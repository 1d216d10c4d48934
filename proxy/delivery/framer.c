#include "delivery/framer.h"

#include "delivery/dispatcher.h"
#include "delivery/downstream.h"
#include "delivery/cut_through.h"

#include <stdlib.h>

static struct scanner *current(const struct intake *intake)
{
    return &intake->reading->scanners[intake->reading->at];
}

/* The scanner that tells of the message before the current one. */
static const struct scanner *previous(const struct intake *intake)
{
    return &intake->reading->scanners[!intake->reading->at];
}

bool reading_is_amid(const struct intake *intake)
{
    return intake->reading && !scanner_is_between(current(intake));
}

/* ---- runs ---- */

/* Hands over the whole messages at the front, of which `last` is the last; END_NONE or why it cannot. */
static enum end_reason run_submit(struct intake *intake, const struct scanner *last)
{
    struct exchange *exchange = intake->exchange;
    const struct route_options *route = exchange->worker->route;
    bool is_protected = route->delivery == ROUTE_AT_LEAST_ONCE && intake->batch_bytes <= route->retain_bytes;
    bool is_ours = is_protected && !scanner_asks_ack(last);
    uint8_t value[CHUNK_ID_VALUE_BYTES];
    struct rewrite rewrite;

    if (is_ours)
        exchange_next_chunk(exchange, value);
    rewrite_plan(&rewrite, last, intake->permit.prefix, intake->permit.prefix_length, is_ours ? value : NULL);
    struct message *message = message_take(&intake->incoming, intake->batch_bytes, last, &rewrite);
    if (!message)
        return END_NO_MEMORY;
    message->count = intake->run_count;
    message->events = intake->run_events;
    message->ack = is_ours ? MESSAGE_OUR_ACK : scanner_asks_ack(last) ? MESSAGE_AGENT_ACK : MESSAGE_NO_ACK;
    message->is_protected = is_protected;
    intake->scanned -= intake->batch_bytes;
    intake->batch_bytes = intake->run_count = 0;
    intake->run_events = 0;
    intake_own(intake, message);
    exchange_submit(exchange, message);
    return END_NONE;
}

/* Whether the run at the front, whose last message is `last`, goes on without waiting for what follows: it
 * has an ack, is long enough, must be changed in more places than its end, or there is nothing behind it. */
static bool run_is_complete(const struct intake *intake, const struct scanner *last)
{
    const struct route_options *route = intake->exchange->worker->route;

    return scanner_asks_ack(last) || intake->batch_bytes >= route->batch_bytes || intake->permit.prefix_length ||
           intake->scanned == intake->incoming.length;
}

/* ---- one message ---- */

/* The head of the message under way is known, and nothing of it has gone anywhere: may it be written? */
static enum end_reason message_judge(struct intake *intake)
{
    const struct span *tag = &current(intake)->tag;
    size_t length = (size_t)(tag->end - tag->start), at = intake->batch_bytes + tag->start, in_one_piece = 0;
    const uint8_t *bytes = length ? buffer_view(&intake->incoming, at, &in_one_piece) : (const uint8_t *)"";

    if (in_one_piece >= length)
        return message_permit_judge(&intake->permit, bytes, length);
    uint8_t *copy = malloc(length);
    if (!copy)
        return END_NO_MEMORY;
    buffer_peek(&intake->incoming, at, copy, length);
    enum end_reason reason = message_permit_judge(&intake->permit, copy, length);
    free(copy);
    return reason;
}

/* Has the body rewritten of the message that has just ended, if that is asked for; false when out of memory.
 */
static bool message_rewrite(struct intake *intake)
{
    struct scanner *whole = current(intake);
    bool done =
        body_stage_rewrite(&intake->exchange->worker->bodies, &intake->incoming, intake->batch_bytes, whole);

    if (!done)
        intake->batch_bytes = intake->run_count = 0; /* what was in front of it is no longer whole either */
    intake->scanned = intake->batch_bytes + (size_t)whole->length;
    return done;
}

/* The scanner has found the end of a message. */
static enum end_reason message_end(struct intake *intake)
{
    const struct route_options *route = intake->exchange->worker->route;
    const struct scanner *whole = current(intake);

    message_permit_charge(&intake->permit, whole->length, intake->exchange->worker->now_ms);
    room_end_overdraft(&intake->exchange->room, &intake->place);
    if (intake->stream) {
        if (whole->option.end - whole->option.start > STREAM_OPTION_BYTES_MAX)
            return END_BAD_OPTION;
        if (!stream_finish(intake->stream, whole))
            return END_NO_MEMORY;
        intake->stream = NULL;
        return END_NONE;
    }
    if (!message_rewrite(intake))
        return END_NO_MEMORY;
    /* In passthrough nothing is gained by one ack for several messages: those before it settle without. And a
     * run must not be too long to be kept. */
    bool is_alone = route->delivery == ROUTE_PASSTHROUGH ? scanner_asks_ack(whole)
                                                         : intake->scanned > route->retain_bytes;
    if (is_alone && intake->run_count) {
        enum end_reason reason = run_submit(intake, previous(intake));
        if (reason != END_NONE)
            return reason;
    }
    intake->batch_bytes = intake->scanned;
    intake->run_count++;
    intake->run_events += whole->entries;
    if (run_is_complete(intake, whole))
        return run_submit(intake, whole);
    intake->reading->at = !intake->reading->at;
    return END_NONE;
}

static enum end_reason message_refuse(struct intake *intake)
{
    switch (current(intake)->refusal) {
    case SCANNER_JSON:
        return END_JSON;
    case SCANNER_TAG_TOO_LONG:
        return END_TAG_TOO_LONG;
    case SCANNER_TOO_LONG:
        message_permit_note_length(&intake->permit);
        return END_MESSAGE_TOO_LONG;
    case SCANNER_TOO_DEEP:
        return END_MESSAGE_TOO_DEEP;
    case SCANNER_BAD_OPTION:
        return END_BAD_OPTION;
    default:
        return END_NOT_FORWARD;
    }
}

/* A message that is too large to be held goes on as a stream. */
static enum end_reason stream_advance(struct intake *intake)
{
    const struct scanner *scanner = current(intake);
    uint64_t option_bytes = scanner->option.start ? scanner->announced - scanner->option.start : 0;

    if (!intake->stream) {
        if (!scanner->body.start || scanner->announced <= intake->exchange->worker->route->cut_through_bytes)
            return END_NONE;
        intake->stream = stream_open(intake, scanner);
        if (!intake->stream)
            return END_NO_MEMORY;
        exchange_await_carrier(intake->exchange, intake->stream);
    }
    if (option_bytes > STREAM_OPTION_BYTES_MAX)
        return END_BAD_OPTION;
    return stream_flow(intake->stream, scanner) ? END_NONE : END_NO_MEMORY;
}

/* ---- all of them ---- */

bool reading_is_paused(struct intake *intake)
{
    struct worker *worker = intake->exchange->worker;
    struct message_metrics *metrics = &worker->metrics.messages;

    if (!intake->permit.meter)
        return false;
    uint64_t now_ms = worker->now_ms;
    bool has_next = intake->incoming.length > intake->scanned && !reading_is_amid(intake) &&
                    !greeting_lasts(&intake->greeting);
    uint64_t wait_ms = has_next ? message_permit_wait_ms(&intake->permit, now_ms) : 0;

    if (wait_ms && !intake->paused_until_ms) {
        metrics_add(&metrics->throttled, 1);
        metrics_add(&metrics->paused, 1);
    } else if (!wait_ms && intake->paused_until_ms) {
        metrics_take(&metrics->paused, 1);
    }
    if (wait_ms || intake->paused_until_ms)
        intake->progress_ms = now_ms; /* one that waits for us is not idle */
    intake->paused_until_ms = wait_ms ? now_ms + wait_ms : 0;
    return wait_ms > 0;
}

static bool reading_begin(struct intake *intake)
{
    struct scanner_limits limits = intake->exchange->worker->route->scanner;

    if (intake->reading)
        return true;
    intake->reading = exchange_take_reading(intake->exchange);
    if (!intake->reading)
        return false;
    limits.message_bytes = message_permit_message_bytes(&intake->permit, limits.message_bytes);
    for (unsigned at = 0; at < 2; at++) {
        scanner_init(&intake->reading->scanners[at], &limits);
        if (at || intake->messages)
            scanner_go_on(&intake->reading->scanners[at]);
    }
    intake->reading->at = 0;
    return true;
}

enum end_reason reading_advance(struct intake *intake)
{
    enum end_reason reason = END_NONE;

    if (!intake->incoming.length)
        return END_NONE;
    if (!reading_begin(intake))
        return END_NO_MEMORY;
    while (reason == END_NONE && intake->scanned < intake->incoming.length && !reading_is_paused(intake)) {
        size_t length;
        const uint8_t *bytes = buffer_view(&intake->incoming, intake->scanned, &length);
        enum scanner_status status;
        intake->scanned += scanner_feed(current(intake), bytes, length, &status);
        if (status == SCANNER_HEAD)
            reason = message_judge(intake);
        else if (status == SCANNER_END)
            reason = message_end(intake);
        else if (status == SCANNER_REFUSED)
            reason = message_refuse(intake);
    }
    /* What was whole goes on, whatever came behind it. */
    if (intake->run_count) {
        enum end_reason run_reason = run_submit(intake, previous(intake));
        reason = reason == END_NONE ? run_reason : reason;
    }
    if (reason == END_NONE && reading_is_amid(intake))
        reason = stream_advance(intake);
    return reason;
}

size_t reading_window(const struct intake *intake)
{
    const struct route_options *route = intake->exchange->worker->route;
    uint64_t announced = intake->reading ? current(intake)->announced : 0;

    if (intake->stream)
        return route->buffer_bytes + STREAM_OPTION_BYTES_MAX; /* the option is held back */
    if (intake->exchange->room.overdrawn == &intake->place)
        return announced +
               UINT64_C(2) * TLS_RECORD_BYTES; /* to its message's end, as exactly as TLS allows */
    return (size_t)(announced < route->cut_through_bytes ? announced : route->cut_through_bytes) + route->buffer_bytes;
}

void reading_rest(struct intake *intake)
{
    if (!intake->reading || reading_is_amid(intake))
        return;
    exchange_put_back(intake->exchange, intake->reading);
    intake->reading = NULL;
}
