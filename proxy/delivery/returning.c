#include "delivery/returning.h"

#include "delivery/batch.h"

/* Replaces a batch by its parts. */
static void batch_replace(const struct returning *returning, struct message *batch,
                          struct message_list *parts)
{
    struct message *part;

    TAILQ_FOREACH (part, parts, of_queue) {
        sender_inherit(part, batch);
        unsettled_enter(returning->unsettled, part);
    }
    if (batch->sender)
        sender_replace(batch->sender, batch, parts);
    unsettled_leave(returning->unsettled, batch);
}

/* Appends the parts of a batch to `again`. False when out of memory: the batch is unchanged. */
static bool parts_make(const struct returning *returning, struct message *batch, struct message_list *again)
{
    struct message_list parts = TAILQ_HEAD_INITIALIZER(parts);

    if (!batch_split(batch, retry_part_events(batch), returning->chunk_ids, &parts))
        return false;
    batch_replace(returning, batch, &parts);
    TAILQ_CONCAT(again, &parts, of_queue);
    return true;
}

static void retry_count(const struct returning *returning, const struct message *message)
{
    metrics_add(&returning->unsettled->transport->metrics.messages.retried, message->count);
}

/* The connection of the message has ended: adds the message, or its parts, to `again`, or drops it. */
static void message_return(const struct returning *returning, struct message *message, enum end_reason reason,
                           struct message_list *again)
{
    enum retry_verdict verdict = retry_decide(returning->retry, message);

    if (verdict == RETRY_GIVE_UP) {
        unsettled_drop(returning->unsettled, message, reason);
        return;
    }
    if (verdict == RETRY_LEFT) {
        unsettled_forget(returning->unsettled, message);
        return;
    }
    if (message->arrived_ms <= returning->old_ms) {
        unsettled_drop(returning->unsettled, message, END_TOO_OLD);
        return;
    }
    retry_count(returning, message);
    if (message->sender)
        sender_wake(message->sender); /* an isolated message may block it now, or no longer block it */
    if (verdict != RETRY_SPLIT || !parts_make(returning, message, again))
        TAILQ_INSERT_TAIL(again, message, of_queue);
}

bool returning_split(const struct returning *returning, struct message *batch, struct message_list *again)
{
    retry_count(returning, batch);
    return parts_make(returning, batch, again);
}

/* A drop can end an agent. Messages in `again` that this agent sends again are dropped too. */
static void left_forget(const struct returning *returning, struct message_list *again)
{
    for (struct message *message = TAILQ_FIRST(again), *next; message; message = next) {
        next = TAILQ_NEXT(message, of_queue);
        if (message->sender || !message_comes_again(message))
            continue;
        TAILQ_REMOVE(again, message, of_queue);
        unsettled_forget(returning->unsettled, message);
    }
}

void returning_take(const struct returning *returning, struct upstream *upstream, enum end_reason reason,
                    struct message_list *again)
{
    struct message *failed = upstream_failed_message(upstream, reason), *message;
    const struct retry_failure failure = { reason, upstream->fault, returning->now_us };

    if (failed)
        retry_count_failure(returning->retry, failed, &failure);
    while ((message = upstream_take_unsettled(upstream))) {
        if (message->sender)
            sender_note_window(message->sender, upstream->id, SENDER_OPEN);
        if (message != failed)
            retry_count_exposure(message, &failure);
        message_return(returning, message, reason, again);
    }
    left_forget(returning, again);
}
