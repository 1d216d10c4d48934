/* How many bytes of agents a worker may hold, and which agent is read next when the budget is spent: the
 * back-pressure of `protocol: forward`.
 *
 * The budget is spent when
 *   - the retained bytes (messages that are not settled) reach the worker's part of --retain-bytes, or
 *   - the retained bytes and the excess together reach this part (the excess: batches that wait for further
 *     messages, and what agents have sent of incomplete messages, beyond their own buffers), or
 *   - the dispatcher is congested: whole messages wait although upstream connections are ready.
 *
 * Agents then wait in a queue and are read in its order. One agent at a time may overdraw the budget up to
 * the end of its message: otherwise incomplete messages could block each other. Pure: knows agents by their
 * share, and nothing of connections. */
#ifndef HUSK_DELIVERY_READ_BUDGET_H
#define HUSK_DELIVERY_READ_BUDGET_H

#include "base/metrics.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

/* What one agent uses of the budget. */
struct read_share {
    TAILQ_ENTRY(read_share) link; /* in the queue; tqe_prev is NULL while the agent does not wait */
    void *owner;                  /* borrowed: passed to the callbacks */
    uint64_t excess_bytes;
};

struct read_budget_events {
    /* The agent may be read. */
    void (*on_admitted)(void *owner);
    /* Whether the agent has sent a part of a message and the rest is missing. */
    bool (*is_mid_message)(const void *owner);
};

struct read_budget {
    const struct read_budget_events *events; /* borrowed */
    metrics_counter *gauge;                  /* borrowed: of retained_bytes */
    uint64_t limit_bytes;
    uint64_t retained_bytes, excess_bytes;
    bool is_congested;
    TAILQ_HEAD(, read_share) queue;
    struct read_share *overdrawn_by; /* NULL: no agent overdraws the budget */
};

void read_budget_init(struct read_budget *budget, const struct read_budget_events *events,
                      uint64_t limit_bytes, metrics_counter *gauge);
/* Afterwards call read_budget_admit_next. */
void read_budget_set_limit(struct read_budget *budget, uint64_t limit_bytes);

/* ---- for messages ---- */

/* Counts `bytes` for a message instead of `*counted`, and sets `*counted` to `bytes`. */
void read_budget_retain(struct read_budget *budget, uint64_t *counted, uint64_t bytes);
/* Whether the retained bytes are below the limit. */
bool read_budget_can_retain(const struct read_budget *budget);

/* Whether whole messages wait although upstream connections are ready. */
enum read_congestion { READ_FREE, READ_CONGESTED };
void read_budget_set_congestion(struct read_budget *budget, enum read_congestion congestion);

/* ---- for agents ---- */

void read_share_init(struct read_share *share, void *owner);

/* Whether the agent may be read now. */
bool read_budget_admits(const struct read_budget *budget, const struct read_share *share);

/* The agent waits until on_admitted. Harmless if it waits already. */
void read_budget_wait(struct read_budget *budget, struct read_share *share);
/* The agent no longer waits. Harmless if it does not wait. */
void read_budget_leave(struct read_budget *budget, struct read_share *share);

/* Counts the bytes that were read of a batch that waits, and of an incomplete message beyond the agent's own
 * buffer. */
void read_budget_set_excess(struct read_budget *budget, struct read_share *share, uint64_t excess_bytes);

bool read_budget_is_overdrawn_by(const struct read_budget *budget, const struct read_share *share);
/* The agent's message is complete or needs no more budget. Harmless if another agent overdraws. */
void read_budget_end_overdraft(struct read_budget *budget, struct read_share *share);

/* The agent has ended: its share is free for others. */
void read_budget_release(struct read_budget *budget, struct read_share *share);

/* Whether an agent waits. */
bool read_budget_is_awaited(const struct read_budget *budget);

/* Calls on_admitted for the next agent that waits, if an agent may be read. Call it after budget was
 * freed. */
void read_budget_admit_next(struct read_budget *budget);

#endif
