#include "delivery/framer_output.h"

/* Hands up a message of the builder, if `reason` is END_NONE. `before`: length of `incoming` before the
 * builder removed bytes. */
static enum end_reason message_hand_up(struct framer *framer, enum end_reason reason, struct message *message,
                                       size_t before)
{
    framer->scanned_bytes -= before - framer->incoming.length;
    if (reason == END_NONE)
        framer->shared->events->on_message(framer->owner, message);
    return reason;
}

enum end_reason framer_output_flush(struct framer *framer)
{
    struct batch_builder *builder = framer->builder;
    size_t before = framer->incoming.length;
    struct message *message = NULL;

    if (!builder->count)
        return END_NONE;
    enum end_reason reason = batch_builder_finish(builder, &framer->incoming, framer->permit, &message);
    return message_hand_up(framer, reason, message, before);
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
    struct message *message = NULL;
    enum end_reason reason = batch_builder_pass(framer->builder, whole, &message);

    if (reason == END_NONE || reason == END_NO_MEMORY || framer->source != FRAMER_FROM_LINK)
        return message_hand_up(framer, reason, message, before);
    framer_output_refuse(framer, reason);
    return END_NONE;
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
    return message_hand_up(framer, message ? END_NONE : END_NO_MEMORY, message, framer->incoming.length);
}

/* Whether the current message is a batch. Its option is in `incoming`, but perhaps not the bytes before it.
 */
static bool is_batch_of_husk(const struct framer *framer)
{
    struct batch_message whole = { &framer->incoming, 0, framer->scan };

    whole.start -= framer->removed_bytes; /* the sum with the offset of the option is not negative */
    return batch_is_of_husk(&whole);
}

void framer_output_refuse(struct framer *framer, enum end_reason reason)
{
    const struct scanner *whole = framer->scan;
    uint8_t id[SCANNER_CHUNK_BYTES_MAX];
    struct framer_refusal refusal = { .id = id,
                                      .events = whole->entries ? whole->entries : 1,
                                      .reason = reason };

    if (scanner_asks_ack(whole))
        refusal.id_length = buffer_peek(&framer->incoming, whole->chunk.start - framer->removed_bytes, id,
                                        whole->chunk.end - whole->chunk.start);
    refusal.comes_in_parts = reason == END_MESSAGE_TOO_LONG && is_batch_of_husk(framer);
    framer_output_discard(framer, whole->length);
    framer->removed_bytes = 0;
    framer->has_found = true;
    framer->shared->events->on_refused(framer->owner, &refusal);
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
