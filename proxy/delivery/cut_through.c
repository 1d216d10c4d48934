#include "delivery/cut_through.h"

#include "delivery/upstream.h"
#include "delivery/dispatcher.h"
#include "delivery/downstream.h"

#include <stdlib.h>

struct stream *stream_open(struct intake *intake, const struct scanner *scanner)
{
    struct worker *worker = intake->exchange->worker;
    const struct route_options *route = worker->route;
    struct stream *stream = calloc(1, sizeof *stream);
    struct message *message = stream ? message_open(&worker->pool) : NULL;

    if (!message) {
        free(stream);
        return NULL;
    }
    stream->intake = intake;
    stream->message = message;
    message->is_protected = message->kept =
        route->delivery == ROUTE_AT_LEAST_ONCE && scanner->announced <= route->retain_bytes;
    stream->has_chunk_value = message->is_protected;
    if (stream->has_chunk_value)
        exchange_next_chunk(intake->exchange, stream->chunk_value);
    return stream;
}

/* What is not kept any more cannot be sent again. */
static void stream_unprotect(struct stream *stream)
{
    struct message *message = stream->message;

    message->is_protected = message->kept = false;
    buffer_clear(&message->slices);
    exchange_hold(stream->intake->exchange, message, 0);
}

/* Passes on bytes as they are to be sent. */
static bool stream_put(struct stream *stream, struct buffer *piece)
{
    struct exchange *exchange = stream->intake->exchange;
    struct message *message = stream->message;

    message->entry.size += piece->length;
    if (message->kept) {
        if (!buffer_share(&message->slices, piece))
            return false;
        exchange_hold(exchange, message, sizeof *message + message->slices.length);
        if (stream->carrier && !room_can_hold(&exchange->room))
            stream_unprotect(stream);
    }
    return !stream->carrier || carrier_put(stream->carrier, piece);
}

/* Takes the message's bytes up to `end`, as read, from the intake, and passes them on. */
static bool stream_move(struct stream *stream, uint64_t end, const struct rewrite *rewrite)
{
    struct intake *intake = stream->intake;
    struct buffer piece;

    buffer_init(&piece, intake->incoming.pool);
    bool moved = message_move(&piece, &intake->incoming, (struct span) { stream->taken, end }, rewrite) &&
                 stream_put(stream, &piece);
    buffer_clear(&piece);
    intake->scanned -= end - stream->taken;
    stream->taken = end;
    return moved;
}

bool stream_flow(struct stream *stream, const struct scanner *scanner)
{
    uint64_t end = scanner->option.start ? scanner->option.start : scanner->length;
    struct rewrite rewrite = { 0 };

    if (stream_is_blocked(stream) || end == stream->taken)
        return true;
    if (!stream->taken)
        rewrite_plan_head(&rewrite, scanner, stream->intake->permit.prefix,
                          stream->intake->permit.prefix_length,
                          stream->has_chunk_value ? stream->chunk_value : NULL);
    return stream_move(stream, end, &rewrite);
}

bool stream_finish(struct stream *stream, const struct scanner *scanner)
{
    struct intake *intake = stream->intake;
    struct message *message = stream->message;
    bool is_asked = scanner_asks_ack(scanner);
    uint8_t id[SCANNER_CHUNK_BYTES_MAX];
    struct rewrite rewrite;

    if (is_asked)
        message_set_id(message, id,
                       buffer_peek(&intake->incoming, scanner->chunk.start - stream->taken, id,
                                   scanner->chunk.end - scanner->chunk.start));
    else if (stream->has_chunk_value)
        message_set_id(message, stream->chunk_value, CHUNK_ID_VALUE_BYTES);
    message->events = scanner->entries;
    message->ack = is_asked ? MESSAGE_AGENT_ACK : stream->has_chunk_value ? MESSAGE_OUR_ACK : MESSAGE_NO_ACK;
    rewrite_plan(&rewrite, scanner, intake->permit.prefix, intake->permit.prefix_length,
                 stream->has_chunk_value ? stream->chunk_value : NULL);
    message->kept = message->kept || !stream->carrier; /* read whole before it could be sent */
    if (!stream_move(stream, scanner->length, &rewrite))
        return false;
    intake_own(intake, message);
    if (stream->carrier) {
        roster_end_lease(&intake->exchange->roster, stream->carrier);
        intake->carrier = stream->carrier;
        exchange_admit(intake->exchange, message);
        metrics_add(&intake->exchange->worker->metrics.messages.streamed, 1);
        carrier_file(stream->carrier, message);
    } else {
        exchange_unqueue_stream(intake->exchange, stream);
        exchange_submit(intake->exchange, message);
    }
    free(stream);
    return true;
}

void stream_lease(struct stream *stream, struct carrier *carrier)
{
    struct buffer piece;

    stream->carrier = carrier;
    carrier->lease = stream;
    buffer_init(&piece, stream->message->slices.pool);
    if (!buffer_share(&piece, &stream->message->slices) || !carrier_put(carrier, &piece))
        leg_break(&carrier->outlet.leg, END_NO_MEMORY);
    buffer_clear(&piece);
    intake_wake(stream->intake);
}

bool stream_lost(struct stream *stream)
{
    unsigned max_attempts = stream->intake->exchange->worker->route->max_attempts;
    struct message *message = stream->message;

    stream->carrier = NULL;
    message->attempts++;
    return (message->kept || !stream->taken) && (!max_attempts || message->attempts < max_attempts);
}

void stream_abandon(struct stream *stream)
{
    struct exchange *exchange = stream->intake->exchange;
    struct carrier *carrier = stream->carrier;

    if (carrier) {
        carrier->lease = NULL;
        leg_break(&carrier->outlet.leg, END_OTHER_SIDE); /* by reset: the message is cut */
        carrier_end(carrier, END_OTHER_SIDE);
    } else {
        exchange_unqueue_stream(exchange, stream);
    }
    exchange_hold(exchange, stream->message, 0);
    message_free(stream->message);
    free(stream);
}

bool stream_is_blocked(const struct stream *stream)
{
    return !stream->carrier || !carrier_has_space(stream->carrier);
}
