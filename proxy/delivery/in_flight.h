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

/* Whether the peer acknowledges messages. */
enum in_flight_acks {
    IN_FLIGHT_ACKS,    /* a message settles by its ack, if one was asked for */
    IN_FLIGHT_NO_ACKS, /* the peer never acknowledges: every message settles when its last byte is taken */
};

enum { IN_FLIGHT_FORGONE_MAX = 64 };

struct in_flight {
    struct message_metrics *metrics; /* borrowed */
    struct ledger ledger;            /* in the order sent */
    struct ack_timer ack_timer;      /* of the oldest message that expects an ack */
    uint64_t queued_bytes;           /* all bytes that were ever put into the stream */
    bool is_link;                    /* the peer is a husk that answers with frames (docs/link.md) */
    enum in_flight_acks acks;
    /* Hashes of the ids of the last messages that settled without the ack that was asked for; 0: none. */
    uint64_t forgone[IN_FLIGHT_FORGONE_MAX];
    unsigned forgone_count; /* number of all such messages */
};

/* Borrows `metrics`. */
void in_flight_init(struct in_flight *in_flight, struct message_metrics *metrics, uint64_t ack_timeout_ms,
                    const struct hash_key *key);
/* The ack timeout is another one from now on. */
void in_flight_set_ack_timeout(struct in_flight *in_flight, uint64_t ack_timeout_ms);

/* The peer speaks the link. */
void in_flight_begin_link(struct in_flight *in_flight);

/* Must not be called on a link: a husk answers each message. */
void in_flight_set_acks(struct in_flight *in_flight, enum in_flight_acks acks);

/* Bytes were put into the stream. */
void in_flight_queue(struct in_flight *in_flight, uint64_t bytes);
/* Takes a message whose last byte was put into the stream. */
void in_flight_file(struct in_flight *in_flight, struct message *message, uint64_t now_us);
/* Whether another message may be sent to a peer behind TLS: all acks that are due fit in one TLS record
 * (RFC 8446, 5.1). Fluentd's TLS input writes one record of its acks, and holds the rest back until it writes
 * a later ack. On a link always true. */
bool in_flight_acks_fit(const struct in_flight *in_flight);
/* The offset in the stream that the peer has taken when `pending` bytes are not taken. TLS records are longer
 * than their plaintext, so the offset is never too high. */
uint64_t in_flight_offset(const struct in_flight *in_flight, uint64_t pending);

/* One answer of the peer: in plain Forward an ack, in MessagePack or JSON; on a link a frame. */
struct in_flight_answer {
    bool is_complete;        /* false: bytes are missing, and the other fields are not set */
    bool is_of_aggregator;   /* the peer shows that it acknowledges, or refuses, single messages */
    struct message *message; /* settled, or refused; the caller takes it; NULL: the answer names none */
    uint64_t refused;        /* how many of its events were refused; 0: none */
    enum end_reason reason;  /* why they were refused */
    bool is_waiting;         /* messages wait at the peer */
    enum end_reason waiting; /* the last failure of the peer's own upstream; END_NONE: it is busy */
    bool is_goaway;          /* the peer takes no more messages on this connection */
    enum end_reason goaway;  /* why; END_NONE: this husk does not know the reason */
    struct sender *sender;   /* its window has changed; NULL: no window has, or the agent has ended */
    bool is_closed;          /* the peer takes no message of the sender now */
    bool offers_link;        /* the peer is a husk that can speak the link from now on */
};

/* Removes the answer at the front of `incoming`. END_NONE, or why the connection must end. This is where
 * husk decides that an answer is no ack:
 *   END_BAD_ACK      other bytes, which stay in `incoming`
 *   END_UNKNOWN_ACK  the ack of no message in flight
 *   END_ACK_REFUSED  a map without "ack": the aggregator refuses the oldest message that expects an ack
 *   END_LINK_ERROR   on a link: what the link forbids
 * With IN_FLIGHT_NO_ACKS, END_BAD_ACK and END_UNKNOWN_ACK do not occur: the bytes are removed, and the answer
 * names no message. The ack of a message that has already settled without an ack gives an answer without a
 * message. */
enum end_reason in_flight_take_answer(struct in_flight *in_flight, struct buffer *incoming, uint64_t now_us,
                                      struct in_flight_answer *answer);
/* Removes and returns a message that expects no ack and ends at or before the offset `taken`, with
 * IN_FLIGHT_NO_ACKS any such message; NULL: there is none. */
struct message *in_flight_take_taken(struct in_flight *in_flight, uint64_t taken);
/* Removes and returns the oldest message; NULL: none is left. */
struct message *in_flight_take_oldest(struct in_flight *in_flight);

/* Whether a message of the sender with this number is in flight. */
bool in_flight_has_sender(const struct in_flight *in_flight, uint64_t number);

/* Whether an ack is expected. */
bool in_flight_expects_ack(const struct in_flight *in_flight);
/* When in_flight_is_late must be called, on the reactor's clock; 0: no ack is expected. */
uint64_t in_flight_deadline(const struct in_flight *in_flight);
/* The peer has taken the stream up to the offset `taken`. True when the ack of the oldest message is late. */
bool in_flight_is_late(struct in_flight *in_flight, uint64_t taken, uint64_t now_ms);

/* The message at which the connection failed: the oldest one, or after an ack timeout or a refusal the oldest
 * one that expects an ack. NULL: none. */
struct message *in_flight_failed(const struct in_flight *in_flight, enum end_reason reason);

#endif
