/* What is passed from an intake to a carrier in one piece: one Forward message, or a run of them.
 *
 * A run is several messages of one agent that were read together; only its last one may have a chunk id, and
 * the ack of that settles all of them, for an aggregator works through a connection in order.
 *
 * Long ones are slices of the segments they were read into, so that keeping them costs no copy; short ones
 * lie flat behind the struct, so that they do not keep segments alive. */
#ifndef HUSK_DELIVERY_MESSAGE_H
#define HUSK_DELIVERY_MESSAGE_H

#include "base/buffer.h"
#include "base/fault.h"
#include "forward/ledger.h"
#include "forward/rewriter.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct intake;

/* Whether anybody but us waits for the ack. */
enum message_ack {
    MESSAGE_NO_ACK,    /* nobody asked, and we did not either */
    MESSAGE_OUR_ACK,   /* we asked, so as to know that it arrived */
    MESSAGE_AGENT_ACK, /* the agent asked: its ack is passed on */
};

struct message {
    struct ledger_entry entry;     /* first: its place on a carrier; its id */
    TAILQ_ENTRY(message) of_queue; /* the exchange's while is_waiting; else a list that one function makes */
    bool is_waiting;               /* for a carrier */
    struct intake *origin;         /* borrowed; NULL: the agent is gone */
    TAILQ_ENTRY(message) of_origin;
    uint64_t ordinal; /* among its agent's messages: later ones have greater ones */
    enum message_ack ack;
    unsigned count;        /* Forward messages in it */
    uint64_t events;       /* in them, as far as they say how many */
    bool is_protected;     /* by us: kept until its ack comes */
    bool kept;             /* its bytes are still here: it can be sent again */
    unsigned attempts;     /* carriers that broke while it was the oldest they had not settled; from the first
                              on it goes alone. A part of a run begins with 1 */
    unsigned ack_timeouts; /* carriers given up because its ack did not come */
    uint64_t arrived_ms;
    uint64_t held_bytes;  /* that the exchange counts for it */
    struct buffer slices; /* long ones */
    size_t flat_length;   /* short ones; else 0 */
    uint8_t *flat;        /* behind the id, in the same allocation */
    uint8_t id[];
};

TAILQ_HEAD(message_list, message);  /* of one agent's, by of_origin */
TAILQ_HEAD(message_queue, message); /* by of_queue */

/* Takes `length` bytes off the front of `incoming`: a message, or a run that ends with it, changed as
 * `rewrite` says. NULL when out of memory: then `incoming` is no longer whole. */
struct message *message_take(struct buffer *incoming, uint64_t length, const struct scanner *last,
                             const struct rewrite *rewrite);

/* One that grows as it is read: without bytes, size or id yet. NULL when out of memory. */
struct message *message_open(struct buffer_pool *pool);
/* Its id is known at its end: the value's bytes, at most SCANNER_CHUNK_BYTES_MAX. */
void message_set_id(struct message *message, const uint8_t *id, size_t length);

void message_free(struct message *message);

/* Scans the message that begins `at` bytes into `bytes`; false when it is not whole, or not within `limits`.
 */
MUST_CHECK bool message_scan(struct scanner *scanner, const struct scanner_limits *limits,
                             const struct buffer *bytes, size_t at);

/* Puts a copy of a run's bytes at the end of `to`, for message_take_part. False when out of memory. */
MUST_CHECK bool message_copy(const struct message *run, struct buffer *to);
/* Takes the next part of a run, of up to `most` messages, off the front of what is left of its bytes, with
 * `id` at its end; the last part keeps the id that the run has. NULL when out of memory. */
struct message *message_take_part(struct buffer *left, const struct message *run, unsigned most,
                                  const uint8_t id[CHUNK_ID_VALUE_BYTES]);

/* Puts its bytes at the end of `to`; they are kept. False when out of memory. */
MUST_CHECK bool message_write(const struct message *message, struct buffer *to);

/* Moves bytes `from` … `to` of a message, counted as it was read, off the front of `incoming` to the end of
 * `out`, with those edits of `rewrite` that lie at or behind `from`. False when out of memory. */
MUST_CHECK bool message_move(struct buffer *out, struct buffer *incoming, struct span range,
                             const struct rewrite *rewrite);

static inline struct message *message_of(struct ledger_entry *entry)
{
    return (struct message *)entry;
}

#endif
