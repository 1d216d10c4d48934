/* What is put into an upstream connection, and what is read from it: messages and, on a link, the frames
 * between them; which messages are in flight; answers that were read and not taken yet.
 *
 * Owns the bytes until they are written to the socket. Pure: knows neither leg nor loop. */
#ifndef HUSK_DELIVERY_UPSTREAM_STREAM_H
#define HUSK_DELIVERY_UPSTREAM_STREAM_H

#include "delivery/in_flight.h"
#include "delivery/link_caller.h"

struct upstream_stream {
    struct buffer outgoing;     /* messages to be written to the socket */
    struct buffer incoming;     /* answers read from the socket */
    struct in_flight in_flight; /* messages that are sent and not settled */
    struct link_caller link;    /* our frames, if the peer is a husk that speaks the link */
};

/* Borrows `pool` and `metrics`. Copies `key`, which is for the ledger. */
void upstream_stream_init(struct upstream_stream *stream, struct buffer_pool *pool,
                          struct message_metrics *metrics, uint64_t ack_timeout_ms,
                          const struct hash_key *key);
/* Drops all bytes. The messages in flight stay. */
void upstream_stream_clear(struct upstream_stream *stream);

/* The functions below return false when out of memory: the connection must end then. */

/* The peer speaks the link: answers are frames from now on. */
MUST_CHECK bool upstream_stream_begin_link(struct upstream_stream *stream, uint64_t ack_timeout_ms);
/* On a link: the next message is of the sender with this number, and the sender has ended. */
MUST_CHECK bool upstream_stream_name(struct upstream_stream *stream, uint64_t sender_number);
MUST_CHECK bool upstream_stream_say_gone(struct upstream_stream *stream, uint64_t sender_number);
/* Takes a message, whose bytes must be kept, at the time `now_us`. The message is in flight afterwards, also
 * when out of memory. */
MUST_CHECK bool upstream_stream_put(struct upstream_stream *stream, struct message *message, uint64_t now_us);
/* Takes the bytes of a piece of a message. in_flight_file must follow its last piece. */
MUST_CHECK bool upstream_stream_put_piece(struct upstream_stream *stream, struct buffer *piece);

/* The offset in the stream up to which bytes have left `outgoing`, less `pending` bytes. */
uint64_t upstream_stream_taken(const struct upstream_stream *stream, uint64_t pending);

#endif
