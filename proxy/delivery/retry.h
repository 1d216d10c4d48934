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
    uint64_t delay_max_ms;     /* of a retry; on the reactor's clock */
};

void retry_init(struct retry *retry, unsigned max_attempts, unsigned max_ack_timeouts);
/* For failures that are counted from now on. */
void retry_set_limits(struct retry *retry, unsigned max_attempts, unsigned max_ack_timeouts);

/* This process is going to end: no retry waits for longer than RETRY_DELAY_MIN_MS. */
void retry_note_drain(struct retry *retry);

/* Whose failure the end of a connection is. */
enum retry_fault {
    RETRY_FAULT_NONE,    /* husk's, or not known */
    RETRY_FAULT_ADDRESS, /* the address is ejected, and no message is blamed */
    RETRY_FAULT_MESSAGE, /* others get through: the message is blamed, and the address is not ejected */
    RETRY_FAULT_EITHER,  /* the connection ended at the message, and nothing gets through: both */
};

static inline bool retry_blames_message(enum retry_fault fault)
{
    return fault == RETRY_FAULT_MESSAGE || fault == RETRY_FAULT_EITHER;
}

static inline bool retry_blames_address(enum retry_fault fault)
{
    return fault == RETRY_FAULT_ADDRESS || fault == RETRY_FAULT_EITHER;
}

/* What is known when a connection ends. Times are the reactor's now_us; 0: never. */
struct retry_evidence {
    enum end_reason reason;
    uint64_t now_us;
    bool is_of_use;                /* messages got through on the connection */
    bool says_waiting;             /* the peer is a husk that says when messages wait (docs/link.md) */
    uint64_t acked_us;             /* when the address last acknowledged a message, on any connection */
    const struct message *message; /* borrowed: the one at which the connection ended; NULL: none */
    uint64_t sent_us;              /* when the message was put on the connection */
    bool was_quiet;                /* the retry delay of the message had passed on the connection */
    bool others_fail;              /* other messages have failed in this way since the last ack */
};

/* The verdict about a connection that has ended.
 *
 * The message is at fault if others have got through at the address since it was sent, or since its last
 * attempt ended. This is also the rule for an ack timeout: the aggregator works and has passed this message
 * over. If the aggregator has acknowledged nothing, its silence is a failure of the address. The silence of a
 * husk on a link is one, too: a husk that works says that it holds the message.
 *
 * If nothing has got through, but the connection was open and quiet until the message was put on it, the end
 * counts for both: another address may take the message. But if other messages fail there in the same way,
 * the aggregator takes none, for example because its buffers are full: the address is at fault. The first
 * retry is at once and leaves others no time to get through: when it fails, the address is not at fault if
 * the address has worked lately. */
enum retry_fault retry_judge(const struct retry_evidence *evidence);

/* Counts a failure of the message at which a connection ended: the oldest unsettled message of the
 * connection. From then on the message is isolated, unless only its ack was late. After two attempts, a
 * failure of the address counts no attempt, except for a batch. After half of its attempts without evidence
 * against the message, later messages of its sender may overtake it: whether these get through decides. A
 * failure that is husk's own does not count. */
struct retry_failure {
    enum end_reason reason;
    enum retry_fault fault;
    uint64_t now_us; /* the reactor's */
};
void retry_count_failure(const struct retry *retry, struct message *message,
                         const struct retry_failure *failure);

/* How long the exclusive connection for the message must be open and quiet before the message is put on it.
 * The first retry is at once, so that a message that is not at fault waits only briefly; the next ones wait,
 * up to RETRY_DELAY_MAX_MS. An attempt that can be the last one always waits, because the quiet connection is
 * evidence against the message. */
uint64_t retry_delay_ms(const struct retry *retry, const struct message *message);

/* Counts that a connection ended at another message while `message` was unsettled on it: the message may be
 * the one at fault. */
void retry_count_exposure(struct message *message, const struct retry_failure *failure);

/* `part` is a part of `batch`: isolates it if the batch is isolated. Messages that have got through since the
 * last attempt of the batch are evidence against the part, too. */
void retry_inherit(struct message *part, const struct message *batch);

enum retry_verdict {
    RETRY_AGAIN,   /* send it again */
    RETRY_SPLIT,   /* a batch: send it in parts, see retry_part_events */
    RETRY_GIVE_UP, /* drop it, for the reason why its connection ended, and tell its agent: its bytes are not
                      kept, its attempts are used up, or its agent sends nothing more on this connection and
                      sends the message again when it is told */
    RETRY_LEFT,    /* drop it: its agent has gone and sends it again on another connection */
};
/* The decision about a message whose connection has ended. Call retry_count_failure before. */
enum retry_verdict retry_decide(const struct retry *retry, const struct message *message);

/* The most events that a part of a batch has. */
uint64_t retry_part_events(const struct message *batch);

/* Whether a cut-through message can begin again after `sent_bytes` of it were sent on a connection that
 * ended. */
bool retry_can_restart(const struct retry *retry, const struct message *message, uint64_t sent_bytes);

#endif
