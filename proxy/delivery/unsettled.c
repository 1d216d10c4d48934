#include "delivery/unsettled.h"

void unsettled_init(struct unsettled *unsettled, struct transport *transport, struct read_budget *budget)
{
    *unsettled = (struct unsettled) { .transport = transport, .budget = budget };
}

static void loss_count(struct unsettled *unsettled, enum end_reason reason, unsigned messages)
{
    metrics_add(&unsettled->transport->reactor->metrics.messages.dropped[reason], messages);
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

void unsettled_note_loss(struct unsettled *unsettled, enum end_reason reason, unsigned messages)
{
    loss_count(unsettled, reason, messages);
    connection_log_give_up(&unsettled->transport->connection_log, reason, messages);
}

unsigned unsettled_count_lost(struct unsettled *unsettled, const struct message *message, uint64_t events)
{
    if (!message->count) {
        metrics_add(&unsettled->transport->reactor->metrics.messages.received, 1);
        return 1;
    }
    return events < message->events && events < message->count ? (unsigned)events : message->count;
}

void unsettled_drop(struct unsettled *unsettled, struct message *message, enum end_reason reason)
{
    struct sender *sender = message->sender;

    unsettled_note_loss(unsettled, reason, unsettled_count_lost(unsettled, message, message->events));
    if (sender)
        sender_refuse(sender, message, message->events ? message->events : 1, reason);
    unsettled_leave(unsettled, message);
}

void unsettled_forget(struct unsettled *unsettled, struct message *message)
{
    loss_count(unsettled, END_LEFT, message->count);
    if (message->sender)
        sender_remove(message->sender, message);
    unsettled_leave(unsettled, message);
}
