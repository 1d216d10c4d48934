/* The acks that are not sent to an agent yet. Pure.
 *
 * The agent of another husk is also told how many of its events were refused (docs/link.md). Refused events
 * of early parts of a batch are reported with the ack of the batch. */
#ifndef HUSK_DELIVERY_AGENT_ACKS_H
#define HUSK_DELIVERY_AGENT_ACKS_H

#include "base/buffer.h"
#include "base/end_reason.h"
#include "base/fault.h"
#include "forward/link.h"

#include <stdint.h>
#include <sys/queue.h>

struct agent_ack;

struct agent_acks {
    TAILQ_HEAD(agent_ack_queue, agent_ack) queue; /* in the order their messages settled, or were refused */
    unsigned bytes;        /* of all acks in the queue, as an agent gets them; 0: at most records are left */
    unsigned record_count; /* records of refused early parts, in the queue */
    uint64_t sender;       /* named in each ack; LINK_NO_SENDER: acks name no sender */
};

/* The answer to a message. */
struct agent_answer {
    uint64_t ordinal;  /* of the message among those of its sender */
    uint64_t end;      /* of the message, see struct message: parts of one batch have the same */
    const uint8_t *id; /* value of the chunk id, header included; copied */
    size_t id_length;  /* 0: the message is an early part of a batch; `refused` is not 0 */
    uint64_t refused;  /* events that were refused; 0: none */
    enum end_reason reason;
    bool offers_link; /* the ack also offers the link (docs/link.md) */
};

/* `sender`: see the struct. */
void agent_acks_init(struct agent_acks *acks, uint64_t sender);
void agent_acks_clear(struct agent_acks *acks);

bool agent_acks_is_empty(const struct agent_acks *acks);

/* Adds an answer. False when out of memory. */
MUST_CHECK bool agent_acks_add(struct agent_acks *acks, const struct agent_answer *answer);

/* Gives up the last acks, so that at most `limit_bytes` remain. Returns their number. */
unsigned agent_acks_limit(struct agent_acks *acks, size_t limit_bytes);

/* Moves the acks of messages with an ordinal below `end` to `out`, as long as `out` holds at most
 * `limit_bytes`. An ack also reports the events of early parts of its batch that were refused. Moves only
 * whole acks: agents treat half an ack as a failure. False when out of memory. */
MUST_CHECK bool agent_acks_gather(struct agent_acks *acks, uint64_t end, struct buffer *out,
                                  size_t limit_bytes);

#endif
