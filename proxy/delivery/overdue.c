#include "delivery/overdue.h"

/* Whether the agent must be told about a message that arrived at or before `deadline_ms`: the agent waits for
 * the ack. An agent behind another husk is not told: that husk knows that the message waits. */
static bool is_overdue(const struct message *message, uint64_t deadline_ms)
{
    const struct sender *sender = message->sender;

    return sender && !sender->is_remote && message->ack == MESSAGE_AGENT_ACK &&
           message->arrived_ms <= deadline_ms;
}

static bool is_too_old(const struct message *message, uint64_t deadline_ms)
{
    return message->arrived_ms <= deadline_ms;
}

/* Which messages are given up, and for which reason. */
struct selection {
    bool (*is_selected)(const struct message *message, uint64_t deadline_ms);
    uint64_t deadline_ms;
    enum end_reason reason;
};

static void messages_drop(const struct overdue *overdue, const struct selection *selection)
{
    struct message_list list = TAILQ_HEAD_INITIALIZER(list);

    for (struct message *message = TAILQ_FIRST(&overdue->waiting->list), *next; message; message = next) {
        next = TAILQ_NEXT(message, of_queue);
        if (!selection->is_selected(message, selection->deadline_ms))
            continue;
        message_queue_remove(overdue->waiting, message);
        TAILQ_INSERT_TAIL(&list, message, of_queue);
    }
    while (!TAILQ_EMPTY(&list)) { /* dropping one can remove other messages of its sender from the queue */
        struct message *message = TAILQ_FIRST(&list);
        TAILQ_REMOVE(&list, message, of_queue);
        unsettled_drop(overdue->unsettled, message, selection->reason);
    }
}

/* Tells the agent of one overdue request. False when no request is overdue. */
static bool request_tell(const struct overdue *overdue, uint64_t deadline_ms)
{
    struct exclusive_request *request;

    TAILQ_FOREACH (request, &overdue->requests->list, link) {
        if (!request->sender->is_remote && request->waiting_since_ms <= deadline_ms) {
            request->events->on_overdue(request);
            return true;
        }
    }
    return false;
}

void overdue_tell(const struct overdue *overdue, uint64_t deadline_ms)
{
    const struct selection selection = { is_overdue, deadline_ms, END_UNDELIVERED };

    messages_drop(overdue, &selection);
    while (request_tell(overdue, deadline_ms))
        continue;
}

void overdue_expire(const struct overdue *overdue, uint64_t deadline_ms)
{
    const struct selection selection = { is_too_old, deadline_ms, END_TOO_OLD };

    messages_drop(overdue, &selection);
}
