/* The unit that husk sends upstream and keeps: one Forward message. It may be a batch, into which husk has
 * joined messages of one sender that were read together, and which it can split again. In passthrough it may
 * be several messages in a row.
 *
 * A long message consists of slices of the segments into which it was read: keeping it costs no copy. A short
 * message is copied behind the struct, so that it does not keep a segment in memory.
 *
 * A message has one owner at a time: the dispatcher while the message waits, then the ledger of an upstream
 * connection. Each group of fields is written only by the unit named above it. */
#ifndef HUSK_DELIVERY_MESSAGE_H
#define HUSK_DELIVERY_MESSAGE_H

#include "base/buffer.h"
#include "base/fault.h"
#include "forward/ledger.h"
#include "forward/rewriter.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct message_list;
struct reservation;
struct sender;

/* Who waits for the ack. */
enum message_ack {
    MESSAGE_NO_ACK,    /* nobody: neither the agent nor husk asked */
    MESSAGE_OUR_ACK,   /* husk asked, to know that the message arrived */
    MESSAGE_AGENT_ACK, /* the agent asked: husk passes the ack on */
};

struct message {
    /* message (id and size of the entry), sender (its number, which stays after the agent has ended) and
     * ledger */
    struct ledger_entry entry; /* first */

    /* message */
    enum message_ack ack;
    unsigned count;     /* messages of agents that are in it, for the metrics. A batch of another husk counts
                           one for each event; a part of a batch can count 0 */
    uint64_t events;    /* events in it, as far as known */
    bool is_batch;      /* it can be split: it has several events, and `events` is their number */
    bool is_early_part; /* a part of a batch, not the last one: the agent asked for the ack of the batch, and
                           the ack waits for this part */
    bool is_protected;  /* husk keeps it until its ack comes */
    bool is_kept;       /* its bytes are in memory: it can be sent again */
    unsigned flat_length; /* of a short message; 0: it is long */
    struct buffer slices; /* the bytes of a long message */
    uint8_t *flat;        /* the bytes of a short message, behind the id in the same allocation */

    /* sender */
    struct sender *sender; /* borrowed; NULL: the agent has ended */
    TAILQ_ENTRY(message) of_sender;
    uint64_t ordinal;  /* number among the messages of its sender, rising */
    uint64_t ordinals; /* how many numbers it has, from `ordinal` on: its parts get them if it is split */
    uint64_t end;      /* the number after its numbers; of a part: after those of the unsplit batch */
    uint64_t arrived_ms;

    /* message_queue and held_queue */
    TAILQ_ENTRY(message) of_queue; /* also for the temporary lists of a function */
    struct message_list *waits_in; /* the list in which it waits for an upstream connection; NULL: it does not
                                      wait */

    /* retry */
    unsigned exposures;    /* connections that ended at another message while it was on them */
    unsigned attempts;     /* connections that ended while it was their oldest unsettled message */
    uint64_t attempted_us; /* when the last of these attempts ended, by the reactor's now_us; 0: none */
    bool is_blamed;        /* that attempt was a failure of the message */
    bool yields;           /* isolated, but later messages of its sender may overtake it */
    unsigned ack_timeouts; /* ack timeouts that count against it, see retry_count_failure */

    /* reservation */
    struct reservation *reservation; /* borrowed: the connection that is held for it; NULL: none */

    /* read_budget */
    uint64_t retained_bytes; /* counted for this message */

    uint8_t id[]; /* written by message: the chunk id */
};

TAILQ_HEAD(message_list, message);

/* Input of message_take. All pointers are borrowed. */
struct message_source {
    uint64_t length;               /* bytes at the front of the buffer */
    const struct rewrite *rewrite; /* of the message; of several messages: no edits and no chunk id */
    unsigned count;
    uint64_t events;
    enum message_ack ack;
    bool is_protected;
    bool is_batch;
    bool is_early_part;
};

/* Removes a message, or several that go on together, from the front of `incoming`. NULL when out of memory:
 * `incoming` is incomplete then. */
struct message *message_take(struct buffer *incoming, const struct message_source *source);

/* Frees a message that nobody refers to any more. */
void message_free(struct message *message);

/* Appends the bytes of the message, which must be kept, to `to`. False when out of memory. */
MUST_CHECK bool message_write(const struct message *message, struct buffer *to);

/* Discards the bytes of the message: it cannot be sent again. */
void message_discard_bytes(struct message *message);

/* Whether the agent sends the message again if no ack comes: the agent requested the ack of this message, or
 * of the batch of which this is an early part. */
static inline bool message_comes_again(const struct message *message)
{
    return message->ack == MESSAGE_AGENT_ACK || message->is_early_part;
}

/* How many parts the message can have at most. */
static inline uint64_t message_parts_max(const struct message *message)
{
    return message->is_batch ? message->events : 1;
}

/* Whether a connection has ended at this message. It is then sent alone, and later messages of its sender
 * wait for it. */
static inline bool message_is_isolated(const struct message *message)
{
    return message->attempts > 0;
}

/* Whether the message waits for an upstream connection. */
static inline bool message_is_waiting(const struct message *message)
{
    return message->waits_in;
}

static inline struct message *message_of(struct ledger_entry *entry)
{
    return (struct message *)entry;
}

/* Scans the message at offset `at` of `bytes`. False when the message is incomplete or exceeds `limits`. */
MUST_CHECK bool message_scan(struct scanner *scanner, const struct scanner_limits *limits,
                             const struct buffer *bytes, size_t at);

/* ---- a message that grows while it is cut through ---- */

enum {
    MESSAGE_OPTION_BYTES_MAX = 65536
}; /* longest option of such a message: it is held until the message is whole */

enum message_protection { MESSAGE_UNPROTECTED, MESSAGE_PROTECTED };

/* A message without bytes, size and id. A protected message keeps its bytes. NULL when out of memory. */
struct message *message_open(struct buffer_pool *pool, enum message_protection protection);
/* Adds bytes that are sent upstream. They stay in `piece`; a kept message shares them. False when out of
 * memory. */
MUST_CHECK bool message_grow(struct message *message, const struct buffer *piece);
/* Keeps the bytes of the message from now on. If they were not kept before, none may have been added. */
void message_keep(struct message *message);
/* The message needs too much memory: discards its bytes and no longer protects it. */
void message_unprotect(struct message *message);

/* What is known at the end of a message. */
struct message_summary {
    const uint8_t *id; /* copied: the value of the chunk id */
    size_t id_length;  /* at most SCANNER_CHUNK_BYTES_MAX */
    uint64_t events;
    enum message_ack ack;
};
void message_complete(struct message *message, const struct message_summary *summary);

/* A message without bytes, which settles without being sent (sender_file_empty): the content of the message
 * that `scanner` has just ended, and that begins at offset `start` of `bytes`, is left out. Only the option
 * needs to be in `bytes`. `count` as in struct message. NULL when out of memory. */
struct message *message_make_empty(const struct buffer *bytes, size_t start, const struct scanner *scanner,
                                   unsigned count);
static inline bool message_is_empty(const struct message *message)
{
    return message->entry.size == 0;
}

/* Moves the bytes `range` of a message, counted as read, from the front of `incoming` to the end of `out`.
 * Applies the edits of `rewrite` at or after range.start. False when out of memory. */
MUST_CHECK bool message_move(struct buffer *out, struct buffer *incoming, struct span range,
                             const struct rewrite *rewrite);

#endif
