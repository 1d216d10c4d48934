#include "delivery/agent_reading.h"

static struct read_budget *budget_of(const struct receiver *receiver)
{
    return receiver->shared->dispatcher->budget;
}

static const struct route_options *route_of(const struct receiver *receiver)
{
    return receiver->shared->dispatcher->transport->route;
}

void agent_reading_init(struct agent_reading *reading, void *owner)
{
    *reading = (struct agent_reading) { 0 };
    read_share_init(&reading->share, owner);
}

void agent_reading_end(struct agent_reading *reading, const struct receiver *receiver)
{
    read_budget_release(budget_of(receiver), &reading->share);
}

/* ---- whether and how much ---- */

bool agent_reading_has_left_answers(const struct receiver *receiver, const struct leg *leg)
{
    const struct senders *senders = &receiver->senders;

    return !senders->gives_up_acks && leg_can_send(leg) &&
           senders_answer_bytes(senders) >= route_of(receiver)->unread_acks_bytes;
}

bool agent_reading_is_wanted(const struct receiver *receiver, const struct leg *leg)
{
    return !leg->read_over && !framer_has_stopped(&receiver->framer) &&
           !agent_reading_has_left_answers(receiver, leg);
}

bool agent_reading_has_budget(const struct agent_reading *reading, const struct receiver *receiver)
{
    if (receiver->cut_through)
        return cut_through_can_flow(receiver->cut_through);
    return read_budget_admits(budget_of(receiver), &reading->share);
}

bool agent_reading_overdraws(const struct agent_reading *reading, const struct receiver *receiver)
{
    return read_budget_is_overdrawn_by(budget_of(receiver), &reading->share);
}

bool agent_reading_is_scarce(const struct agent_reading *reading, const struct receiver *receiver)
{
    return dispatcher_is_under_pressure(receiver->shared->dispatcher) ||
           !agent_reading_has_budget(reading, receiver) || agent_reading_overdraws(reading, receiver);
}

bool agent_reading_holds_budget(const struct agent_reading *reading, const struct receiver *receiver)
{
    return receiver->cut_through || reading->share.excess_bytes || agent_reading_overdraws(reading, receiver);
}

/* An agent that overdraws the budget is read to the end of its message, plus up to two TLS records. */
size_t agent_reading_window(const struct agent_reading *reading, const struct receiver *receiver)
{
    const struct framer *framer = &receiver->framer;

    if (!agent_reading_overdraws(reading, receiver) || receiver->cut_through)
        return framer_window(framer);
    return framer_waiting_bytes(framer) + framer_announced_bytes(framer) + (size_t)2 * TLS_RECORD_BYTES;
}

/* ---- the queue ---- */

void agent_reading_queue(struct agent_reading *reading, const struct receiver *receiver,
                         const struct leg *leg, size_t moved)
{
    struct read_budget *budget = budget_of(receiver);

    reading->waits_for_budget =
        agent_reading_is_wanted(receiver, leg) && !agent_reading_has_budget(reading, receiver);
    if (moved || !reading->waits_for_budget || receiver->cut_through)
        read_budget_leave(budget, &reading->share);
    if (reading->waits_for_budget && !receiver->cut_through) {
        read_budget_wait(budget, &reading->share);
        dispatcher_watch_pressure(receiver->shared->dispatcher);
    }
}

void agent_reading_account(struct agent_reading *reading, const struct receiver *receiver)
{
    const struct framer *framer = &receiver->framer;
    struct read_budget *budget = budget_of(receiver);

    read_budget_set_excess(budget, &reading->share, framer_excess_bytes(framer));
    if (receiver->cut_through || !framer_is_mid_message(framer))
        read_budget_end_overdraft(budget, &reading->share);
    read_budget_admit_next(budget);
}
