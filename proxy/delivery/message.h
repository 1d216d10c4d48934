/* What goes from an agent to an upstream connection in one piece: one Forward message, or a batch of them.
 *
 * A batch is several messages of one sender that were read together. Only its last one may have a chunk id,
 * and the ack of that one settles all of them, since an aggregator works through a connection in order.
 *
 * Long messages are slices of the segments they were read into, so that keeping them costs no copy. Short
 * ones lie flat behind the struct, so that they do not keep segments alive.
 *
 * A message has one owner at a time: the dispatcher while it waits, the ledger of an upstream connection once
 * it is sent. Each group of fields is written by the unit named above it, and by no other. */
#ifndef HUSK_DELIVERY_MESSAGE_H
#define HUSK_DELIVERY_MESSAGE_H

#include "base/buffer.h"
#include "base/fault.h"
#include "forward/ledger.h"
#include "forward/rewriter.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct sender;

/* Who waits for the ack. */
enum message_ack {
    MESSAGE_NO_ACK,    /* nobody: neither the agent nor husk asked */
    MESSAGE_OUR_ACK,   /* husk asked, to know that the message arrived */
    MESSAGE_AGENT_ACK, /* the agent asked: its ack is passed on */
};

struct message {
    /* message (id and size of the entry) and ledger */
    struct ledger_entry entry; /* first */

    /* message */
    enum message_ack ack;
    unsigned count;       /* Forward messages in it */
    uint64_t events;      /* in them, as far as they say how many */
    bool is_protected;    /* by husk: kept until its ack comes */
    bool is_kept;         /* its bytes are still here: it can be sent again */
    struct buffer slices; /* of long ones */
    size_t flat_length;   /* of short ones; else 0 */
    uint8_t *flat;        /* behind the id, in the same allocation */

    /* sender */
    struct sender *sender; /* borrowed; NULL: the agent is gone */
    TAILQ_ENTRY(message) of_sender;
    uint64_t ordinal; /* rises among the messages of one sender */
    uint64_t arrived_ms;

    /* message_queue */
    TAILQ_ENTRY(message) of_queue; /* also of lists that one function makes */
    bool is_waiting;               /* for an upstream connection */

    /* retry */
    unsigned attempts;     /* connections that broke while it was the oldest they had not settled */
    unsigned ack_timeouts; /* connections given up because its ack did not come */

    /* read_budget */
    uint64_t retained_bytes; /* counted for it */

    uint8_t id[]; /* message */
};

TAILQ_HEAD(message_list, message);

/* What message_take needs to know. All borrowed. */
struct message_source {
    uint64_t length;               /* bytes of the batch at the front of the buffer */
    const struct scanner *last;    /* at the end of its last message */
    const struct rewrite *rewrite; /* of the last message */
    unsigned count;
    uint64_t events;
    enum message_ack ack;
    bool is_protected;
};

/* Takes a message or batch off the front of `incoming`. NULL when out of memory: then `incoming` is no longer
 * whole.
 */
struct message *message_take(struct buffer *incoming, const struct message_source *source);

/* Frees a message that nobody refers to any more. */
void message_free(struct message *message);

/* Puts its bytes, which are kept, at the end of `to`. False when out of memory. */
MUST_CHECK bool message_write(const struct message *message, struct buffer *to);

/* Its bytes are not needed any more: it cannot be sent again. */
void message_discard_bytes(struct message *message);

/* An agent that asked for the ack of a single message sends it again when no ack comes. Of a batch it would
 * send only the last message. */
static inline bool message_comes_again(const struct message *message)
{
    return message->ack == MESSAGE_AGENT_ACK && message->count == 1;
}

/* The agent did not ask for the ack of this message, or of a part of it. */
static inline bool message_is_unasked(const struct message *message)
{
    return message->ack != MESSAGE_AGENT_ACK || message->count > 1;
}

/* A connection has ended at this message: it is sent alone, and its sender's later messages wait for it. */
static inline bool message_is_isolated(const struct message *message)
{
    return message->attempts > 0;
}

static inline struct message *message_of(struct ledger_entry *entry)
{
    return (struct message *)entry;
}

/* Scans the message that begins `at` bytes into `bytes`; false when it is not whole, or not within `limits`.
 */
MUST_CHECK bool message_scan(struct scanner *scanner, const struct scanner_limits *limits,
                             const struct buffer *bytes, size_t at);

/* ---- a message that grows while it is cut through ---- */

enum {
    MESSAGE_OPTION_BYTES_MAX = 65536
}; /* longest option of such a message: it is held back until it is whole */

enum message_protection { MESSAGE_UNPROTECTED, MESSAGE_PROTECTED };

/* A message without bytes, size and id. A protected one keeps its bytes. NULL when out of memory. */
struct message *message_open(struct buffer_pool *pool, enum message_protection protection);
/* Adds bytes that are to be sent. They stay in `piece`; a kept message shares them. False when out of memory.
 */
MUST_CHECK bool message_grow(struct message *message, const struct buffer *piece);
/* Its bytes are kept from now on: none has been sent yet. */
void message_keep(struct message *message);
/* It is too much to keep: discards its bytes, and does not protect it any more. */
void message_unprotect(struct message *message);

/* What is known at its end. */
struct message_summary {
    const uint8_t *id; /* copied: the chunk id's value */
    size_t id_length;  /* at most SCANNER_CHUNK_BYTES_MAX */
    uint64_t events;
    enum message_ack ack;
};
void message_complete(struct message *message, const struct message_summary *summary);

/* Moves bytes `range` of a message, counted as they were read, off the front of `incoming` to the end of
 * `out`, with those edits of `rewrite` that lie at or behind range.start. False when out of memory. */
MUST_CHECK bool message_move(struct buffer *out, struct buffer *incoming, struct span range,
                             const struct rewrite *rewrite);

#endif
