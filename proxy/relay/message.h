/* One Forward message on its way: its bytes, its id, and whom to tell.
 *
 * Owned by whoever it waits with: the exchange, or the carrier it was sent on. Short messages are kept flat,
 * long ones as slices of what was read, so that keeping them costs no copy. */
#ifndef HUSK_RELAY_MESSAGE_H
#define HUSK_RELAY_MESSAGE_H

#include "base/buffer.h"
#include "base/fault.h"
#include "forward/ledger.h"
#include "forward/rewriter.h"

#include <stdbool.h>
#include <stdint.h>

struct intake;

/* Whether anybody but us waits for the ack. */
enum message_ack {
    MESSAGE_NO_ACK,    /* nobody asked, and we did not either */
    MESSAGE_OUR_ACK,   /* we asked, so as to know that it arrived */
    MESSAGE_AGENT_ACK, /* the agent asked: its ack is passed on */
};

struct message {
    struct ledger_entry entry; /* first: its place on a carrier; its id */
    struct message *next;      /* in the exchange's queue */
    struct intake *origin;     /* borrowed; NULL: the agent is gone */
    struct message *next_of_origin, *previous_of_origin;
    enum message_ack ack;
    bool is_protected;     /* by us: kept until its ack comes */
    bool kept;             /* its bytes are still here: it can be sent again */
    unsigned attempts;     /* carriers that broke while it was the oldest they had not settled */
    unsigned ack_timeouts; /* carriers given up because its ack did not come */
    uint64_t arrived_ms;
    struct buffer slices; /* long messages */
    size_t flat_length;   /* short ones; else 0 */
    uint8_t *flat;        /* behind the id, in the same allocation */
    uint8_t id[];
};

/* Takes the scanned message off the front of `incoming`, changed as `rewrite` says. NULL when out of memory:
 * then `incoming` is no longer whole. */
struct message *message_take(struct buffer *incoming, const struct scanner *scanner,
                             const struct rewrite *rewrite);
void message_free(struct message *message);

/* Puts its bytes at the end of `to`; they are kept. False when out of memory. */
MUST_CHECK bool message_write(const struct message *message, struct buffer *to);

static inline struct message *message_of(struct ledger_entry *entry)
{
    return (struct message *)entry;
}

#endif
