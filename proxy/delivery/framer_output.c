#include "delivery/framer_output.h"

/* Hands up a message of the builder. `before`: length of `incoming` before the builder removed bytes. */
static enum end_reason message_hand_up(struct framer *framer, struct message *message, size_t before)
{
    framer->scanned_bytes -= before - framer->incoming.length;
    if (!message)
        return END_NO_MEMORY;
    framer->shared->events->on_message(framer->owner, message);
    return END_NONE;
}

enum end_reason framer_output_flush(struct framer *framer)
{
    struct batch_builder *builder = framer->builder;
    size_t before = framer->incoming.length;

    if (!builder->count)
        return END_NONE;
    return message_hand_up(framer, batch_builder_finish(builder, &framer->incoming, framer->permit), before);
}

enum end_reason framer_output_add(struct framer *framer, const struct batch_candidate *whole, uint64_t events)
{
    size_t before = framer->incoming.length;
    bool done = batch_builder_add(framer->builder, whole, events);

    framer->scanned_bytes -= before - framer->incoming.length;
    return done ? END_NONE : END_NO_MEMORY;
}

enum end_reason framer_output_pass(struct framer *framer, const struct batch_candidate *whole)
{
    size_t before = framer->incoming.length;

    return message_hand_up(framer, batch_builder_pass(framer->builder, whole), before);
}

void framer_output_discard(struct framer *framer, uint64_t end)
{
    size_t bytes = (size_t)end - framer->removed_bytes;

    buffer_consume(&framer->incoming, bytes);
    framer->removed_bytes += bytes;
    framer->scanned_bytes -= bytes;
}

void framer_output_discard_scanned(struct framer *framer)
{
    const struct scanner *scanner = framer->scan;

    framer_output_discard(framer, scanner->option.start ? scanner->option.start : scanner->length);
}

enum end_reason framer_output_skip(struct framer *framer)
{
    /* Negative, but the sum with the offset of the option is not: size_t wraps. */
    size_t start = 0 - framer->removed_bytes;
    struct message *message = message_make_empty(&framer->incoming, start, framer->scan, 1);

    framer_output_discard(framer, framer->scan->length);
    framer->removed_bytes = 0;
    return message_hand_up(framer, message, framer->incoming.length);
}

enum end_reason framer_output_large(struct framer *framer, framer_on_large on_bytes)
{
    size_t before = framer->incoming.length;
    enum end_reason reason = on_bytes(framer->owner, framer->scan);

    framer->scanned_bytes -= before - framer->incoming.length;
    framer->removed_bytes += before - framer->incoming.length;
    return reason;
}

enum end_reason framer_output_large_end(struct framer *framer)
{
    enum end_reason reason = framer_output_large(framer, framer->shared->events->on_large_end);

    if (reason != END_NONE)
        return reason;
    framer->is_cut_through = false;
    framer->removed_bytes = 0;
    return END_NONE;
}

void framer_output_report_invalid(struct framer *framer)
{
    const struct scanner *scanner = framer->scan;
    bool skips = framer->shared->route->body.skip_invalid && !framer->is_cut_through;
    struct framer_invalid invalid = { .faults = scanner->faults,
                                      .is_passed = !scanner->is_foreign && !skips };
    size_t length = (size_t)(scanner->tag.end - scanner->tag.start),
           shown = length < sizeof invalid.tag ? length : sizeof invalid.tag;

    if (!framer->removed_bytes) {
        invalid.tag_length = length;
        buffer_peek(&framer->incoming, framer->builder->held_bytes + (size_t)scanner->tag.start, invalid.tag,
                    shown);
    }
    framer->shared->events->on_invalid(framer->owner, &invalid);
}
