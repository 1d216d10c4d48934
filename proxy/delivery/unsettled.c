#include "delivery/unsettled.h"

void unsettled_init(struct unsettled *unsettled, struct transport *transport, struct read_budget *budget)
{
    *unsettled = (struct unsettled) { .transport = transport, .budget = budget };
}

static struct message_metrics *metrics_of(const struct unsettled *unsettled)
{
    return &unsettled->transport->metrics.messages;
}

static void loss_count(struct unsettled *unsettled, enum end_reason reason, unsigned messages)
{
    metrics_add(&metrics_of(unsettled)->dropped[reason], messages);
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

static void settled_count(struct unsettled *unsettled, const struct message *message)
{
    struct message_metrics *metrics = metrics_of(unsettled);

    metrics_add(&metrics->settled, message->count);
    metrics_add(&metrics->events_settled, message->events);
}

void unsettled_settle(struct unsettled *unsettled, struct message *message)
{
    settled_count(unsettled, message);
    if (message->sender)
        sender_settle(message->sender, message);
    unsettled_leave(unsettled, message);
}

/* An agent gets no ack, as without husk. If a husk has made the chunk id, that husk gets the ack, so that it
 * can forget the message. */
void unsettled_forgo_ack(struct unsettled *unsettled, struct message *message)
{
    const struct ledger_entry *entry = &message->entry;

    metrics_add(&metrics_of(unsettled)->unacknowledged, message->count);
    if (message->ack != MESSAGE_AGENT_ACK || chunk_id_is_of_husk(entry->id, entry->id_length)) {
        unsettled_settle(unsettled, message);
        return;
    }
    settled_count(unsettled, message);
    if (message->sender)
        sender_refuse(message->sender, message, message->events ? message->events : 1, END_NO_ACKS);
    unsettled_leave(unsettled, message);
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

/* The number of messages that are lost when `events` events of this message are lost; at least 1. The parts
 * of a batch share its count, so a part can count 0. Such a part counts as one more received message when it
 * is lost, so that each loss is visible. */
static unsigned lost_count(struct unsettled *unsettled, const struct message *message, uint64_t events)
{
    if (!message->count) {
        metrics_add(&metrics_of(unsettled)->received, 1);
        return 1;
    }
    return events < message->events && events < message->count ? (unsigned)events : message->count;
}

void unsettled_refuse(struct unsettled *unsettled, struct message *message, uint64_t events,
                      enum end_reason reason)
{
    struct message_metrics *metrics = metrics_of(unsettled);
    unsigned lost = lost_count(unsettled, message, events);

    loss_count(unsettled, reason, lost);
    metrics_add(&metrics->settled, message->count > lost ? message->count - lost : 0);
    metrics_add(&metrics->events_settled, message->events > events ? message->events - events : 0);
    if (message->sender)
        sender_refuse(message->sender, message, events, reason);
    unsettled_leave(unsettled, message);
}

void unsettled_drop(struct unsettled *unsettled, struct message *message, enum end_reason reason)
{
    struct sender *sender = message->sender;

    unsettled_note_loss(unsettled, reason, lost_count(unsettled, message, message->events));
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
