#include "delivery/framer.h"

#include <stdlib.h>

/* ---- init and deinit ---- */

void framer_init(struct framer *framer, struct framer_shared *shared, struct buffer_pool *pool, void *owner,
                 struct message_permit *permit)
{
    *framer = (struct framer) { .shared = shared, .owner = owner, .permit = permit };
    buffer_init(&framer->incoming, pool);
}

static void scan_return(struct framer *framer)
{
    free(framer->shared->spare);
    framer->shared->spare = framer->scan;
    framer->scan = NULL;
}

static void scan_init(struct framer *framer)
{
    struct scanner_limits limits = framer->shared->route->scanner;

    if (framer->source == FRAMER_FROM_LINK) { /* see limits_check */
        limits.message_bytes = UINT64_MAX;
        limits.tag_bytes = UINT32_MAX;
        limits.depth = SCANNER_DEPTH_MAX;
    } else {
        limits.message_bytes = message_permit_message_bytes(framer->permit, limits.message_bytes);
    }
    scanner_init(framer->scan, &limits);
    if (framer->has_found)
        scanner_go_on(framer->scan);
}

static bool scan_begin(struct framer *framer)
{
    struct framer_shared *shared = framer->shared;

    if (framer->scan)
        return true;
    framer->scan = shared->spare ? shared->spare : malloc(sizeof *framer->scan);
    shared->spare = NULL;
    if (!framer->scan)
        return false;
    scan_init(framer);
    return true;
}

void framer_set_source(struct framer *framer, enum framer_source source)
{
    bool is_between = framer->scan && scanner_is_between(framer->scan);

    framer->source = source;
    if (source == FRAMER_FROM_LINK && is_between)
        scan_init(framer);
}

void framer_return_scan(struct framer *framer)
{
    if (framer->scan && !framer_is_mid_message(framer))
        scan_return(framer);
}

static bool builder_begin(struct framer *framer)
{
    if (!framer->builder)
        framer->builder = batch_builder_open(&framer->shared->building);
    return framer->builder;
}

static void builder_return(struct framer *framer)
{
    if (framer->builder)
        batch_builder_close(framer->builder);
    framer->builder = NULL;
}

void framer_deinit(struct framer *framer)
{
    builder_return(framer);
    buffer_clear(&framer->incoming);
    if (framer->scan)
        scan_return(framer);
}

void framer_shared_deinit(struct framer_shared *shared)
{
    free(shared->spare);
    shared->spare = NULL;
    batch_builder_shared_deinit(&shared->building);
}

/* ---- one message ---- */

/* The head of the current message is scanned and nothing of the message is handed up: checks the tag. */
static enum end_reason message_judge(struct framer *framer)
{
    const struct span *tag = &framer->scan->tag;
    size_t length = (size_t)(tag->end - tag->start), at = framer->builder->held_bytes + tag->start,
           contiguous = 0;
    const uint8_t *bytes = length ? buffer_view(&framer->incoming, at, &contiguous) : (const uint8_t *)"";

    if (contiguous >= length)
        return message_permit_judge(framer->permit, bytes, length);
    uint8_t *copy = malloc(length);
    if (!copy)
        return END_NO_MEMORY;
    buffer_peek(&framer->incoming, at, copy, length);
    enum end_reason reason = message_permit_judge(framer->permit, copy, length);
    free(copy);
    return reason;
}

/* The scanner has found the end of a message with invalid events, which joins no batch. */
static enum end_reason invalid_end(struct framer *framer, const struct batch_candidate *whole)
{
    enum end_reason reason = framer_output_flush(framer);
    size_t before = framer->incoming.length;

    if (reason != END_NONE)
        return reason;
    framer_output_report_invalid(framer);
    if (!framer->shared->route->body.skip_invalid)
        return framer_output_pass(framer, whole);
    if (scanner_invalid_events(framer->scan) == framer->scan->entries)
        return framer_output_skip(framer);
    if (!batch_builder_skip_invalid(framer->builder, whole))
        return END_NO_MEMORY;
    framer->scanned_bytes -= before - framer->incoming.length;
    return framer_output_pass(framer, whole);
}

static enum end_reason large_end(struct framer *framer, uint64_t now_ms)
{
    if (scanner_invalid_events(framer->scan))
        framer_output_report_invalid(framer);
    message_permit_charge(framer->permit, 1, framer->scan->length, now_ms);
    return framer_output_large_end(framer);
}

/* The scanner has found the end of a message. The message waits for others only if more bytes are here, or
 * for --batch-delay. */
static enum end_reason message_end(struct framer *framer, uint64_t now_ms)
{
    const struct batch_candidate whole = { &framer->incoming, framer->scan, framer->permit, now_ms };
    struct batch_builder *builder = framer->builder;
    bool is_last = framer->scanned_bytes == framer->incoming.length && !framer->shared->route->batch_delay_ms;

    framer->has_found = true;
    if (framer->is_cut_through)
        return large_end(framer, now_ms);
    message_permit_charge(framer->permit, batch_builder_count(builder, &whole), framer->scan->length, now_ms);
    if (scanner_invalid_events(framer->scan))
        return invalid_end(framer, &whole);
    if (is_last && !builder->count)
        return framer_output_pass(framer, &whole);
    uint64_t events = batch_builder_events(builder, &whole);
    if (!events || !batch_builder_takes(builder, &whole, events)) {
        enum end_reason reason = framer_output_flush(framer);
        if (reason != END_NONE || !events)
            return reason == END_NONE ? framer_output_pass(framer, &whole) : reason;
    }
    return framer_output_add(framer, &whole, events);
}

static enum end_reason scan_refusal(struct framer *framer)
{
    switch (framer->scan->refusal) {
    case SCANNER_JSON:
        return END_JSON;
    case SCANNER_TAG_TOO_LONG:
        return END_TAG_TOO_LONG;
    case SCANNER_TOO_LONG:
        message_permit_note_length(framer->permit);
        return END_MESSAGE_TOO_LONG;
    case SCANNER_TOO_DEEP:
        return END_MESSAGE_TOO_DEEP;
    case SCANNER_BAD_OPTION:
        return END_BAD_OPTION;
    default:
        return END_NOT_FORWARD;
    }
}

/* The longest message that is held. A message whose records get fields is held whole. */
static uint64_t held_bytes_max(const struct framer *framer)
{
    return framer->permit->fields.count ? UINT64_MAX : framer->shared->route->cut_through_bytes;
}

/* Hands up a message that is too large to hold, while it is read. */
static enum end_reason large_advance(struct framer *framer)
{
    const struct scanner *scanner = framer->scan;

    if (!framer->is_cut_through) {
        if (!scanner->body.start || scanner->announced <= held_bytes_max(framer))
            return END_NONE;
        enum end_reason reason = framer_output_flush(framer);
        if (reason != END_NONE)
            return reason;
        framer->is_cut_through = true;
    }
    return framer_output_large(framer, framer->shared->events->on_large);
}

/* ---- refused messages on a link ---- */

/* The current message is refused. An agent loses its connection for it. On a link the message is discarded,
 * because other senders share the connection. */
static enum end_reason message_refuse(struct framer *framer, enum end_reason reason)
{
    if (framer->source != FRAMER_FROM_LINK)
        return reason;
    enum end_reason batch_reason = framer_output_flush(framer);
    if (batch_reason != END_NONE)
        return batch_reason;
    if (framer->is_cut_through)
        framer->shared->events->on_large_dropped(framer->owner);
    framer_refuse(framer, reason);
    return END_NONE;
}

void framer_refuse(struct framer *framer, enum end_reason reason)
{
    framer->is_cut_through = false;
    framer->fate = FRAMER_REFUSES;
    framer->refused_for = reason;
    framer_output_discard_scanned(framer); /* otherwise the held bytes could fill the window */
}

/* The scanner of a link has no limits but a depth of SCANNER_DEPTH_MAX: if the scanner refuses, the end of
 * the message is unknown. */
static enum end_reason limits_check(struct framer *framer)
{
    const struct scanner_limits *limits = &framer->shared->route->scanner;
    const struct scanner *scanner = framer->scan;

    if (scanner->announced > message_permit_message_bytes(framer->permit, limits->message_bytes)) {
        message_permit_note_length(framer->permit);
        return message_refuse(framer, END_MESSAGE_TOO_LONG);
    }
    bool is_long = scanner->tag.end - scanner->tag.start > limits->tag_bytes;
    return is_long ? message_refuse(framer, END_TAG_TOO_LONG) : END_NONE;
}

/* ---- foreign values ---- */

/* The current value is no Forward message. It is discarded while it is scanned. */
static enum end_reason foreign_begin(struct framer *framer)
{
    enum end_reason reason = framer_output_flush(framer);

    if (reason != END_NONE)
        return reason;
    if (framer->is_cut_through)
        framer->shared->events->on_large_dropped(framer->owner);
    framer->is_cut_through = false;
    framer->fate = FRAMER_SKIPS;
    if (framer->scan->faults[EVENT_FAULT_MESSAGE] || framer->scan->faults[EVENT_FAULT_VALUE])
        framer_output_report_invalid(framer);
    return END_NONE;
}

/* The last byte of the value is scanned. Only an array counts as a message. */
static enum end_reason foreign_end(struct framer *framer, uint64_t now_ms)
{
    const struct scanner *scanner = framer->scan;

    framer->has_found |= scanner->faults[EVENT_FAULT_MESSAGE] || scanner->faults[EVENT_FAULT_VALUE];
    if (scanner->faults[EVENT_FAULT_MESSAGE]) {
        message_permit_charge(framer->permit, 1, scanner->length, now_ms);
        return framer_output_skip(framer);
    }
    framer_output_discard(framer, scanner->length);
    framer->removed_bytes = 0;
    return END_NONE;
}

/* ---- discarded messages ---- */

/* Whether the option of the discarded message is too long to hold: longer than any message that is held, and
 * longer than the option of a message that is cut through may be. */
static bool discarded_option_is_long(const struct framer *framer)
{
    const struct scanner *scanner = framer->scan;
    uint64_t bytes = scanner->option.start ? scanner->announced - scanner->option.start : 0;

    return bytes > MESSAGE_OPTION_BYTES_MAX && bytes > framer->shared->route->cut_through_bytes;
}

/* Continues after a step of the scan in a message that is discarded. */
static enum end_reason discarded_advance(struct framer *framer, enum scanner_status status, uint64_t now_ms)
{
    enum framer_fate fate = framer->fate;

    if (status == SCANNER_REFUSED)
        return scan_refusal(framer);
    if (discarded_option_is_long(framer))
        return END_BAD_OPTION;
    framer_output_discard_scanned(framer);
    if (status != SCANNER_END)
        return END_NONE;
    framer->fate = FRAMER_HANDS_UP;
    if (fate == FRAMER_SKIPS)
        return foreign_end(framer, now_ms);
    message_permit_charge(framer->permit, 1, framer->scan->length, now_ms);
    framer_output_refuse(framer, framer->refused_for);
    return END_NONE;
}

/* ---- all messages ---- */

uint64_t framer_wait_ms(const struct framer *framer, uint64_t now_ms)
{
    if (!framer->permit->meter || framer_has_stopped(framer) ||
        framer->incoming.length == framer->scanned_bytes || framer_is_mid_message(framer))
        return 0;
    return message_permit_wait_ms(framer->permit, now_ms);
}

/* Scans up to the next event. */
static enum end_reason scan_step(struct framer *framer, uint64_t now_ms)
{
    size_t length;
    const uint8_t *bytes = buffer_view(&framer->incoming, framer->scanned_bytes, &length);
    enum scanner_status status;
    enum end_reason reason = END_NONE;

    framer->scanned_bytes += scanner_feed(framer->scan, bytes, length, &status);
    if (framer->source == FRAMER_FROM_LINK && framer->fate == FRAMER_HANDS_UP && status != SCANNER_REFUSED)
        reason = limits_check(framer);
    if (reason == END_NONE && framer->fate == FRAMER_HANDS_UP && framer->scan->is_foreign)
        reason = foreign_begin(framer);
    if (reason == END_NONE && framer->fate == FRAMER_HANDS_UP && status == SCANNER_HEAD) {
        reason = message_judge(framer);
        reason = reason == END_NONE ? END_NONE : message_refuse(framer, reason);
    }
    if (reason != END_NONE)
        return reason;
    if (framer->fate != FRAMER_HANDS_UP)
        return discarded_advance(framer, status, now_ms);
    if (status == SCANNER_END)
        return message_end(framer, now_ms);
    return status == SCANNER_REFUSED ? scan_refusal(framer) : END_NONE;
}

/* Takes the frame after the messages that are scanned. A map without a known key does not begin a link: it is
 * a foreign value of an agent. */
static enum end_reason frame_take(struct framer *framer, uint64_t now_ms)
{
    uint8_t bytes[LINK_FRAME_BYTES_MAX];
    struct link_request frame;
    size_t taken;
    enum end_reason reason = framer_output_flush(framer);

    if (reason != END_NONE)
        return reason;
    size_t length = buffer_peek(&framer->incoming, 0, bytes, sizeof bytes);
    enum link_status status = link_request_parse(bytes, length, &taken, &frame);
    framer->is_mid_frame = status == LINK_MORE;
    if (framer->source == FRAMER_FROM_HUSK && status != LINK_MORE && !link_request_speaks(&frame))
        return scan_step(framer, now_ms);
    framer->has_found = true;
    buffer_consume(&framer->incoming, taken);
    if (status == LINK_REFUSED)
        return END_LINK_ERROR;
    return status == LINK_FOUND ? framer->shared->events->on_frame(framer->owner, &frame) : END_NONE;
}

/* Takes a frame, or scans up to the next event. */
static enum end_reason next_step(struct framer *framer, uint64_t now_ms)
{
    size_t length;

    if (framer->source == FRAMER_FROM_AGENT || !scanner_is_between(framer->scan))
        return scan_step(framer, now_ms);
    uint8_t first = *buffer_view(&framer->incoming, framer->scanned_bytes, &length);
    if (link_is_frame(first))
        return frame_take(framer, now_ms);
    if (framer->source == FRAMER_FROM_LINK && !link_is_message(first) && !link_is_nil(first))
        return END_LINK_ERROR;
    return scan_step(framer, now_ms);
}

enum end_reason framer_advance(struct framer *framer, uint64_t now_ms)
{
    enum end_reason reason = END_NONE;

    if (!framer->incoming.length && !framer->builder)
        return END_NONE;
    if (!scan_begin(framer) || !builder_begin(framer))
        return END_NO_MEMORY;
    bool has_stopped = framer_has_stopped(framer) || framer_has_paused(framer);
    framer->is_mid_frame = false;
    while (reason == END_NONE && framer->scanned_bytes < framer->incoming.length && !framer->is_mid_frame &&
           !has_stopped && !framer_wait_ms(framer, now_ms)) {
        reason = next_step(framer, now_ms);
        has_stopped = framer_has_stopped(framer) || framer_has_paused(framer);
    }
    /* Whole messages are handed up even if the bytes after them are refused. */
    if (reason != END_NONE || now_ms >= framer->builder->due_ms) {
        enum end_reason batch_reason = framer_output_flush(framer);
        reason = reason == END_NONE ? batch_reason : reason;
    }
    if (reason == END_NONE && framer->fate == FRAMER_HANDS_UP && !scanner_is_between(framer->scan))
        reason = large_advance(framer);
    if (!framer->builder->count)
        builder_return(framer);
    return reason;
}

enum end_reason framer_flush(struct framer *framer)
{
    enum end_reason reason = framer->builder ? framer_output_flush(framer) : END_NONE;

    builder_return(framer);
    return reason;
}

bool framer_is_mid_message(const struct framer *framer)
{
    return framer->is_mid_frame || (framer->scan && !scanner_is_between(framer->scan));
}

bool framer_has_paused(const struct framer *framer)
{
    return framer->is_paused && !framer_is_mid_message(framer);
}

bool framer_has_stopped(const struct framer *framer)
{
    return framer->is_stopping && !framer_is_mid_message(framer);
}

bool framer_is_untouched(const struct framer *framer)
{
    return !framer->has_found && !framer->incoming.length;
}

size_t framer_excess_bytes(const struct framer *framer)
{
    size_t buffer_bytes = framer->shared->route->buffer_bytes,
           batch_bytes =
               framer->builder ? batch_builder_bytes(framer->builder) + framer_waiting_bytes(framer) : 0,
           other_bytes = framer_held_bytes(framer) - batch_bytes;

    return batch_bytes + (other_bytes > buffer_bytes ? other_bytes - buffer_bytes : 0);
}

size_t framer_announced_bytes(const struct framer *framer)
{
    return framer->scan ? (size_t)framer->scan->announced : 0;
}

size_t framer_window(const struct framer *framer)
{
    const struct route_options *route = framer->shared->route;
    uint64_t announced = framer_announced_bytes(framer), max = held_bytes_max(framer);

    if (framer->is_cut_through)
        return route->buffer_bytes + MESSAGE_OPTION_BYTES_MAX; /* the option is held back */
    return (size_t)(announced < max ? announced : max) + route->buffer_bytes + framer_waiting_bytes(framer);
}
