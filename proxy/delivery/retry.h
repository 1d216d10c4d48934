/* What becomes of a message whose upstream connection ended: sent again, isolated, split, or given up.
 *
 * One per worker. Pure: counts failures and decides; it moves no message. */
#ifndef HUSK_DELIVERY_RETRY_H
#define HUSK_DELIVERY_RETRY_H

#include "base/end_reason.h"
#include "delivery/sender.h"

struct retry {
    unsigned max_attempts;     /* connections a message may end; 0: no limit */
    unsigned max_ack_timeouts; /* connections given up for a message's ack */
    bool has_acked;            /* an aggregator has acknowledged something */
    unsigned ack_timeouts;     /* of all messages */
};

void retry_init(struct retry *retry, unsigned max_attempts, unsigned max_ack_timeouts);

/* An aggregator has acknowledged a message. */
void retry_note_ack(struct retry *retry);
/* A connection has ended for `reason`. */
void retry_note_end(struct retry *retry, enum end_reason reason);

/* Counts a failure against the message that a connection ended at: the oldest it had not settled. From then
 * on the message is isolated, unless only its ack was late. */
void retry_count_failure(struct message *message, enum end_reason reason);

/* `part` was made of a batch: it is isolated if the batch was. */
void retry_inherit(struct message *part, const struct message *batch);

enum retry_verdict {
    RETRY_AGAIN,
    RETRY_SPLIT,   /* a batch: its messages are sent in parts, see retry_part_count */
    RETRY_GIVE_UP, /* dropped for the reason its connection ended for */
    RETRY_LEFT,    /* dropped because its agent is gone and sends it again elsewhere */
};
/* About a message whose connection has ended, its failure counted. */
enum retry_verdict retry_decide(const struct retry *retry, const struct message *message);

/* How many messages a part of a batch has at the most. */
unsigned retry_part_count(const struct message *batch);

/* Whether a cut-through message, of which `sent_bytes` have gone to the connection that ended, can begin
 * again. */
bool retry_can_restart(const struct retry *retry, const struct message *message, uint64_t sent_bytes);

/* A hint for the log line about a connection that ended for `reason`; NULL: there is none. */
const char *retry_hint(const struct retry *retry, enum end_reason reason);

#endif
