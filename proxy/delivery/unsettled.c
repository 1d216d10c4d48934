#include "delivery/unsettled.h"

void unsettled_init(struct unsettled *unsettled, struct message_metrics *metrics, struct read_budget *budget)
{
    *unsettled = (struct unsettled) { .metrics = metrics, .budget = budget };
}

void unsettled_retain(struct unsettled *unsettled, struct message *message, uint64_t bytes)
{
    read_budget_retain(unsettled->budget, &message->retained_bytes, bytes);
}

void unsettled_enter(struct unsettled *unsettled, struct message *message)
{
    unsettled->count += message->count;
    unsettled_retain(unsettled, message, sizeof *message + (message->is_kept ? message->entry.size : 0));
}

void unsettled_leave(struct unsettled *unsettled, struct message *message)
{
    unsettled_retain(unsettled, message, 0);
    unsettled->count -= message->count;
    message_free(message);
}

void unsettled_discard(struct unsettled *unsettled, struct message *message)
{
    message_discard_bytes(message);
    unsettled_retain(unsettled, message, sizeof *message);
}

void unsettled_drop(struct unsettled *unsettled, struct message *message, enum end_reason reason)
{
    struct sender *sender = message->sender;

    metrics_add(&unsettled->metrics->dropped[reason], message->count);
    if (sender)
        sender_refuse(sender, message, message->count, reason);
    unsettled_leave(unsettled, message);
}

void unsettled_forget(struct unsettled *unsettled, struct message *message)
{
    metrics_add(&unsettled->metrics->dropped[END_LEFT], message->count);
    if (message->sender)
        sender_remove(message->sender, message);
    unsettled_leave(unsettled, message);
}
