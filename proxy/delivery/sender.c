#include "delivery/sender.h"

#include <assert.h>

void sender_init(struct sender *sender, const struct sender_events *events, void *owner, uint64_t number)
{
    *sender = (struct sender) { .events = events, .owner = owner, .number = number };
    TAILQ_INIT(&sender->unsettled);
}

void sender_set_remote(struct sender *sender)
{
    sender->is_remote = true;
}

void sender_release(struct sender *sender)
{
    struct message *message;

    assert(!sender->held);
    while ((message = TAILQ_FIRST(&sender->unsettled))) {
        sender_remove(sender, message);
        if (message_is_empty(message))
            message_free(message);
    }
}

/* ---- messages ---- */

/* The message has been inserted into the list. */
static void message_adopt(struct sender *sender, struct message *message)
{
    message->sender = sender;
    if (message->is_early_part && (!sender->early_part || message->ordinal < sender->early_part->ordinal))
        sender->early_part = message;
    sender->empties += message_is_empty(message);
    if (message_is_isolated(message))
        sender_note_isolated(sender, message);
}

void sender_mark(const struct sender *sender, struct message *message)
{
    message->ordinal = sender->filed;
    message->entry.sender = sender->number;
}

void sender_file(struct sender *sender, struct message *message, uint64_t now_ms)
{
    message->arrived_ms = now_ms;
    sender_mark(sender, message);
    TAILQ_INSERT_TAIL(&sender->unsettled, message, of_sender);
    message->ordinals = message_parts_max(message);
    sender->filed += message->ordinals;
    message->end = sender->filed;
    message_adopt(sender, message);
}

uint64_t sender_pass_over(struct sender *sender)
{
    return sender->filed++;
}

/* Whether later messages of the sender must not overtake the message. */
static bool blocks(const struct message *message)
{
    return message_is_isolated(message) && !message->yields;
}

static const struct message *blocking_from(const struct message *message)
{
    while (message && !blocks(message))
        message = TAILQ_NEXT(message, of_sender);
    return message;
}

static const struct message *early_part_from(const struct message *message)
{
    while (message && !message->is_early_part)
        message = TAILQ_NEXT(message, of_sender);
    return message;
}

/* The isolated message no longer blocks the sender. */
static void isolated_pass(struct sender *sender)
{
    sender->isolated = blocking_from(TAILQ_NEXT(sender->isolated, of_sender));
    held_queue_wake(sender->held);
}

void sender_remove(struct sender *sender, struct message *message)
{
    if (message == sender->isolated)
        isolated_pass(sender);
    TAILQ_REMOVE(&sender->unsettled, message, of_sender);
    if (message == sender->early_part)
        sender->early_part = early_part_from(TAILQ_NEXT(message, of_sender));
    sender->empties -= message_is_empty(message);
    message->sender = NULL;
}

void sender_replace(struct sender *sender, struct message *batch, const struct message_list *parts)
{
    struct message *next = TAILQ_NEXT(batch, of_sender), *part;
    uint64_t ordinal = batch->ordinal, end = ordinal + batch->ordinals;

    sender_remove(sender, batch);
    TAILQ_FOREACH (part, parts, of_queue) {
        part->ordinal = ordinal;
        part->ordinals = TAILQ_NEXT(part, of_queue) ? message_parts_max(part) : end - ordinal;
        ordinal += part->ordinals;
        part->end = batch->end;
        if (next)
            TAILQ_INSERT_BEFORE(next, part, of_sender);
        else
            TAILQ_INSERT_TAIL(&sender->unsettled, part, of_sender);
        message_adopt(sender, part);
    }
}

void sender_inherit(struct message *part, const struct message *batch)
{
    part->arrived_ms = batch->arrived_ms;
    part->entry.sender = batch->entry.sender;
}

static void empty_settle(struct sender *sender, struct message *message)
{
    sender_remove(sender, message);
    sender->events->on_settled(sender->owner, message);
    message_free(message);
}

/* Settles empty messages before which nothing is unsettled. */
static void empties_settle(struct sender *sender)
{
    struct message *message;

    while ((message = TAILQ_FIRST(&sender->unsettled)) && message_is_empty(message))
        empty_settle(sender, message);
}

void sender_file_empty(struct sender *sender, struct message *message, uint64_t now_ms)
{
    sender_file(sender, message, now_ms);
    if (message->ack == MESSAGE_AGENT_ACK)
        empties_settle(sender);
    else
        empty_settle(sender, message);
}

void sender_settle(struct sender *sender, struct message *message)
{
    sender_remove(sender, message);
    sender->events->on_settled(sender->owner, message);
    empties_settle(sender);
}

void sender_refuse(struct sender *sender, struct message *message, uint64_t events, enum end_reason reason)
{
    const struct sender_refusal refusal = { .message = message, .events = events, .reason = reason };

    sender_remove(sender, message);
    empties_settle(sender); /* before the callback, which may release the sender */
    /* The calling husk may have kept the message, and sends it again. */
    if (sender->is_remote && !message->is_kept && reason != END_NO_ACKS)
        sender_fail(sender, END_UNDELIVERED);
    else
        sender->events->on_refused(sender->owner, &refusal);
}

void sender_fail(struct sender *sender, enum end_reason reason)
{
    sender->events->on_undelivered(sender->owner, reason);
}

void sender_wake(struct sender *sender)
{
    sender->events->on_wake(sender->owner);
}

/* ---- order ---- */

void sender_note_isolated(struct sender *sender, const struct message *message)
{
    if (message->yields && sender->isolated == message)
        isolated_pass(sender);
    else if (blocks(message) && (!sender->isolated || message->ordinal < sender->isolated->ordinal))
        sender->isolated = message;
}

bool sender_has_isolated(const struct sender *sender)
{
    return sender->isolated;
}

bool sender_must_wait(const struct sender *sender, const struct message *message)
{
    return sender->isolated && sender->isolated->ordinal < message->ordinal;
}

uint64_t sender_first_early_part(const struct sender *sender)
{
    return sender->early_part ? sender->early_part->ordinal : UINT64_MAX;
}

/* ---- notes ---- */

void sender_note_upstream(struct sender *sender, uint64_t upstream_id)
{
    sender->upstream_id = upstream_id;
}

void sender_note_window(struct sender *sender, uint64_t upstream_id, enum sender_window window)
{
    if (window == SENDER_CLOSED)
        sender->closed_by = upstream_id;
    else if (sender->closed_by == upstream_id)
        sender->closed_by = 0;
    held_queue_wake(sender->held);
    sender_wake(sender);
}

bool sender_is_closed(const struct sender *sender)
{
    return sender->closed_by;
}

bool sender_holds(const struct message *message)
{
    const struct sender *sender = message->sender;

    return sender && (sender_must_wait(sender, message) || sender_is_closed(sender));
}

bool sender_note_invalid(struct sender *sender)
{
    bool is_first = !sender->has_sent_invalid;

    sender->has_sent_invalid = true;
    return is_first;
}

bool sender_is_full(const struct sender *sender)
{
    return sender->empties >= SENDER_EMPTIES_MAX;
}

bool sender_sends_again(const struct sender *sender)
{
    const struct message *message;

    TAILQ_FOREACH (message, &sender->unsettled, of_sender) {
        if (!message_comes_again(message))
            return false;
    }
    return !TAILQ_EMPTY(&sender->unsettled);
}

void sender_note_end(struct sender *sender)
{
    sender->has_ended = true;
}
