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

static void messages_drop(const struct overdue *overdue, const struct message_selection *selection,
                          enum end_reason reason)
{
    struct message_list list = TAILQ_HEAD_INITIALIZER(list);

    message_queue_select(overdue->waiting, selection, &list);
    while (!TAILQ_EMPTY(&list)) { /* dropping one can remove other messages of its sender from the queue */
        struct message *message = TAILQ_FIRST(&list);
        TAILQ_REMOVE(&list, message, of_queue);
        unsettled_drop(overdue->unsettled, message, reason);
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
    const struct message_selection selection = { is_overdue, deadline_ms };

    messages_drop(overdue, &selection, END_UNDELIVERED);
    while (request_tell(overdue, deadline_ms))
        continue;
}

void overdue_expire(const struct overdue *overdue, uint64_t deadline_ms)
{
    const struct message_selection selection = { is_too_old, deadline_ms };

    messages_drop(overdue, &selection, END_TOO_OLD);
}
