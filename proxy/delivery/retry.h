/* Decides what happens to a message whose upstream connection has ended: it is sent again, isolated, split,
 * or given up.
 *
 * One per worker. Pure: counts failures and decides; it moves no message. */
#ifndef HUSK_DELIVERY_RETRY_H
#define HUSK_DELIVERY_RETRY_H

#include "base/end_reason.h"
#include "delivery/sender.h"

enum { RETRY_DELAY_MIN_MS = 100, RETRY_DELAY_MAX_MS = 5000 };

struct retry {
    unsigned max_attempts;     /* --max-attempts: connections that may end at a message; 0: no limit */
    unsigned max_ack_timeouts; /* --max-ack-timeouts: ack timeouts that a message may have */
    bool has_acked;            /* an aggregator has acknowledged a message */
    unsigned ack_timeouts;     /* of all messages */
};

void retry_init(struct retry *retry, unsigned max_attempts, unsigned max_ack_timeouts);

/* An aggregator has acknowledged a message. */
void retry_note_ack(struct retry *retry);
/* A connection has ended for `reason`. */
void retry_note_end(struct retry *retry, enum end_reason reason);

/* Counts a failure of the message at which a connection ended: the oldest unsettled message of the
 * connection. From then on the message is isolated, unless only its ack was late. The first retry is at once,
 * so that an innocent message is found out quickly; the next ones wait, up to RETRY_DELAY_MAX_MS. */
void retry_count_failure(struct message *message, enum end_reason reason, uint64_t now_ms);

/* `part` is a part of `batch`: isolates it if the batch is isolated. */
void retry_inherit(struct message *part, const struct message *batch);

enum retry_verdict {
    RETRY_AGAIN,   /* send it again */
    RETRY_SPLIT,   /* a batch: send it in parts, see retry_part_count */
    RETRY_GIVE_UP, /* drop it, for the reason why its connection ended */
    RETRY_LEFT,    /* drop it, because its agent has ended and sends it again elsewhere */
};
/* The decision about a message whose connection has ended. Call retry_count_failure before. */
enum retry_verdict retry_decide(const struct retry *retry, const struct message *message);

/* The most messages that a part of a batch has. */
unsigned retry_part_count(const struct message *batch);

/* Whether a cut-through message can begin again after `sent_bytes` of it were sent on a connection that
 * ended. */
bool retry_can_restart(const struct retry *retry, const struct message *message, uint64_t sent_bytes);

/* A hint for the log line of a connection that ended for `reason`; NULL: none. */
const char *retry_hint(const struct retry *retry, enum end_reason reason);

#endif
