#include "delivery/read_budget.h"

void read_budget_init(struct read_budget *budget, const struct read_budget_events *events,
                      uint64_t limit_bytes, metrics_counter *gauge)
{
    *budget = (struct read_budget) { .events = events, .gauge = gauge, .limit_bytes = limit_bytes };
    TAILQ_INIT(&budget->queue);
}

void read_budget_set_limit(struct read_budget *budget, uint64_t limit_bytes)
{
    budget->limit_bytes = limit_bytes;
}

/* ---- for messages ---- */

void read_budget_retain(struct read_budget *budget, uint64_t *counted, uint64_t bytes)
{
    budget->retained_bytes += bytes - *counted;
    *counted = bytes;
    atomic_store_explicit(budget->gauge, budget->retained_bytes, memory_order_relaxed);
}

bool read_budget_can_retain(const struct read_budget *budget)
{
    return budget->retained_bytes < budget->limit_bytes;
}

void read_budget_set_congestion(struct read_budget *budget, enum read_congestion congestion)
{
    budget->is_congested = congestion == READ_CONGESTED;
}

/* ---- for agents ---- */

void read_share_init(struct read_share *share, void *owner)
{
    *share = (struct read_share) { .owner = owner };
}

static bool has_space(const struct read_budget *budget)
{
    return budget->retained_bytes + budget->excess_bytes < budget->limit_bytes && !budget->is_congested;
}

bool read_budget_admits(const struct read_budget *budget, const struct read_share *share)
{
    if (share == budget->overdrawn_by)
        return true;
    return has_space(budget) && (TAILQ_EMPTY(&budget->queue) || TAILQ_FIRST(&budget->queue) == share);
}

static bool is_waiting(const struct read_share *share)
{
    return share->link.tqe_prev;
}

void read_budget_wait(struct read_budget *budget, struct read_share *share)
{
    if (is_waiting(share))
        return;
    TAILQ_INSERT_TAIL(&budget->queue, share, link);
}

void read_budget_leave(struct read_budget *budget, struct read_share *share)
{
    if (!is_waiting(share))
        return;
    TAILQ_REMOVE(&budget->queue, share, link);
    share->link.tqe_prev = NULL;
}

void read_budget_set_excess(struct read_budget *budget, struct read_share *share, uint64_t excess_bytes)
{
    budget->excess_bytes += excess_bytes - share->excess_bytes;
    share->excess_bytes = excess_bytes;
}

bool read_budget_is_overdrawn_by(const struct read_budget *budget, const struct read_share *share)
{
    return budget->overdrawn_by == share;
}

void read_budget_end_overdraft(struct read_budget *budget, struct read_share *share)
{
    if (budget->overdrawn_by == share)
        budget->overdrawn_by = NULL;
}

bool read_budget_is_awaited(const struct read_budget *budget)
{
    return !TAILQ_EMPTY(&budget->queue);
}

/* Only incomplete messages fill the budget: the first waiting agent in the middle of a message may complete
 * its message. */
static void overdraft_grant(struct read_budget *budget)
{
    struct read_share *share;

    if (budget->overdrawn_by || budget->is_congested || !read_budget_can_retain(budget))
        return;
    TAILQ_FOREACH (share, &budget->queue, link) {
        if (budget->events->is_mid_message(share->owner)) {
            budget->overdrawn_by = share;
            budget->events->on_admitted(share->owner);
            return;
        }
    }
}

void read_budget_admit_next(struct read_budget *budget)
{
    if (TAILQ_EMPTY(&budget->queue))
        return;
    if (has_space(budget))
        budget->events->on_admitted(TAILQ_FIRST(&budget->queue)->owner);
    else
        overdraft_grant(budget);
}

void read_budget_release(struct read_budget *budget, struct read_share *share)
{
    read_budget_leave(budget, share);
    read_budget_set_excess(budget, share, 0);
    read_budget_end_overdraft(budget, share);
    read_budget_admit_next(budget);
}
