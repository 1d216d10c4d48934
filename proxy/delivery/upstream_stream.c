#include "delivery/upstream_stream.h"

void upstream_stream_init(struct upstream_stream *stream, struct buffer_pool *pool,
                          struct message_metrics *metrics, uint64_t ack_timeout_ms,
                          const struct hash_key *key)
{
    *stream = (struct upstream_stream) { 0 };
    buffer_init(&stream->outgoing, pool);
    buffer_init(&stream->incoming, pool);
    in_flight_init(&stream->in_flight, metrics, ack_timeout_ms, key);
}

void upstream_stream_clear(struct upstream_stream *stream)
{
    buffer_clear(&stream->outgoing);
    buffer_clear(&stream->incoming);
}

/* A frame, or none, was written where `outgoing` had `before` bytes. */
static void frame_queue(struct upstream_stream *stream, size_t before)
{
    in_flight_queue(&stream->in_flight, stream->outgoing.length - before);
}

bool upstream_stream_begin_link(struct upstream_stream *stream, uint64_t ack_timeout_ms)
{
    size_t before = stream->outgoing.length;
    bool written = link_caller_begin(&stream->link, ack_timeout_ms, &stream->outgoing);

    in_flight_begin_link(&stream->in_flight);
    frame_queue(stream, before);
    return written;
}

bool upstream_stream_name(struct upstream_stream *stream, uint64_t sender_number)
{
    size_t before = stream->outgoing.length;
    bool written = link_caller_name(&stream->link, sender_number, &stream->outgoing);

    frame_queue(stream, before);
    return written;
}

bool upstream_stream_say_gone(struct upstream_stream *stream, uint64_t sender_number)
{
    size_t before = stream->outgoing.length;
    bool written = link_caller_say_gone(&stream->link, sender_number, &stream->outgoing);

    frame_queue(stream, before);
    return written;
}

bool upstream_stream_put(struct upstream_stream *stream, struct message *message, uint64_t now_us)
{
    bool named = upstream_stream_name(stream, message->entry.sender);
    bool written = message_write(message, &stream->outgoing);

    in_flight_queue(&stream->in_flight, message->entry.size);
    in_flight_file(&stream->in_flight, message, now_us);
    return named && written;
}

bool upstream_stream_put_piece(struct upstream_stream *stream, struct buffer *piece)
{
    in_flight_queue(&stream->in_flight, piece->length);
    return buffer_move(&stream->outgoing, piece, piece->length);
}

uint64_t upstream_stream_taken(const struct upstream_stream *stream, uint64_t pending)
{
    return in_flight_offset(&stream->in_flight, stream->outgoing.length + pending);
}
