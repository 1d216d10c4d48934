#include "delivery/overdue.h"

/* Whether the agent waits for the ack of a message that arrived at or before `deadline_ms`. An agent behind
 * another husk does not: that husk knows that the message waits. */
static bool is_overdue(const struct message *message, uint64_t deadline_ms)
{
    const struct sender *sender = message->sender;

    return sender && !sender->is_remote && message->ack == MESSAGE_AGENT_ACK &&
           message->arrived_ms <= deadline_ms;
}

/* Drops the overdue messages that their agents send again. */
static void messages_drop(const struct overdue *overdue, uint64_t deadline_ms)
{
    struct message_list list = TAILQ_HEAD_INITIALIZER(list);

    for (struct message *message = TAILQ_FIRST(&overdue->waiting->list), *next; message; message = next) {
        next = TAILQ_NEXT(message, of_queue);
        if (!message_comes_again(message) || !is_overdue(message, deadline_ms))
            continue;
        message_queue_remove(overdue->waiting, message);
        TAILQ_INSERT_TAIL(&list, message, of_queue);
    }
    while (!TAILQ_EMPTY(&list)) { /* dropping one can remove other messages of its sender from the queue */
        struct message *message = TAILQ_FIRST(&list);
        TAILQ_REMOVE(&list, message, of_queue);
        unsettled_drop(overdue->unsettled, message, END_UNDELIVERED);
    }
}

/* Tells the agent of one overdue batch. The batch stays in the queue: its agent would send only the last
 * message again. False when no batch is overdue. */
static bool batch_tell(const struct overdue *overdue, uint64_t deadline_ms)
{
    const struct message *message;

    TAILQ_FOREACH (message, &overdue->waiting->list, of_queue) {
        if (is_overdue(message, deadline_ms)) {
            sender_fail(message->sender, END_UNDELIVERED);
            return true;
        }
    }
    return false;
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
    messages_drop(overdue, deadline_ms);
    while (batch_tell(overdue, deadline_ms) || request_tell(overdue, deadline_ms))
        continue;
}
