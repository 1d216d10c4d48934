/* The messages on one upstream connection that are sent and not settled: which ack settles which message, and
 * when the ack of the oldest one is late.
 *
 * Owns the messages until they are taken. Knows offsets in the connection's stream, but neither socket nor
 * loop. Belongs to its worker's thread. */
#ifndef HUSK_DELIVERY_IN_FLIGHT_H
#define HUSK_DELIVERY_IN_FLIGHT_H

#include "base/end_reason.h"
#include "base/metrics.h"
#include "delivery/ack_timer.h"
#include "delivery/message.h"

struct in_flight {
    struct message_metrics *metrics; /* borrowed */
    struct ledger ledger;            /* in the order sent */
    struct ack_timer ack_timer;      /* of the oldest message that expects an ack */
    uint64_t queued_bytes;           /* all bytes that were ever put into the stream */
    bool is_link;                    /* the peer is a husk that answers with frames (docs/link.md) */
};

/* Borrows `metrics`. */
void in_flight_init(struct in_flight *in_flight, struct message_metrics *metrics, uint64_t ack_timeout_ms);

/* The peer speaks the link. */
void in_flight_begin_link(struct in_flight *in_flight);

/* Bytes were put into the stream. */
void in_flight_queue(struct in_flight *in_flight, uint64_t bytes);
/* Takes a message whose last byte was put into the stream. */
void in_flight_file(struct in_flight *in_flight, struct message *message, uint64_t now_us);
/* The offset in the stream that the peer has taken when `pending` bytes are not taken. TLS records are longer
 * than their plaintext, so the offset is never too high. */
uint64_t in_flight_offset(const struct in_flight *in_flight, uint64_t pending);

/* One ack of the peer, or on a link one frame. */
struct in_flight_answer {
    bool is_complete;        /* false: bytes are missing, and the other fields say nothing */
    struct message *message; /* settled, or refused; the caller takes it; NULL: the answer names none */
    uint64_t refused;        /* how many of its events were refused; 0: none */
    enum end_reason reason;  /* why they were refused */
    bool is_waiting;         /* messages wait at the peer */
    enum end_reason waiting; /* the last failure of the peer's own upstream; END_NONE: it is busy */
    struct sender *sender;   /* its window has changed; NULL: no window has, or the agent has ended */
    bool is_closed;          /* the peer takes no message of the sender now */
    bool offers_link;        /* the peer is a husk that can speak the link from now on */
};

/* Removes the answer at the front of `incoming`. END_NONE, or why the answer is refused. */
enum end_reason in_flight_take_answer(struct in_flight *in_flight, struct buffer *incoming, uint64_t now_us,
                                      struct in_flight_answer *answer);
/* Removes and returns a message that expects no ack and ends at or before the offset `taken`; NULL: there is
 * none. */
struct message *in_flight_take_taken(struct in_flight *in_flight, uint64_t taken);
/* Removes and returns the oldest message; NULL: none is left. */
struct message *in_flight_take_oldest(struct in_flight *in_flight);

/* Whether a message of the sender with this number is in flight. */
bool in_flight_has_sender(const struct in_flight *in_flight, uint64_t number);

/* When in_flight_is_late must be called, on the reactor's clock; 0: no ack is expected. */
uint64_t in_flight_deadline(const struct in_flight *in_flight);
/* The peer has taken the stream up to the offset `taken`. True when the ack of the oldest message is late. */
bool in_flight_is_late(struct in_flight *in_flight, uint64_t taken, uint64_t now_ms);
/* Whether the peer had taken the last byte of that message at the last call of in_flight_is_late. */
bool in_flight_is_taken(const struct in_flight *in_flight);

/* The message at which the connection failed: the oldest one, or after an ack timeout the oldest one that
 * expects an ack. NULL: none. */
struct message *in_flight_failed(const struct in_flight *in_flight, enum end_reason reason);

#endif
