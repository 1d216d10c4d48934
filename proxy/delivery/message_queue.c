#include "delivery/message_queue.h"

#include "delivery/reservation.h"

void message_queue_init(struct message_queue *queue)
{
    *queue = (struct message_queue) { 0 };
    TAILQ_INIT(&queue->shared);
    for (unsigned turn = 0; turn < ISOLATED_TURNS; turn++)
        TAILQ_INIT(&queue->isolated[turn]);
    held_queues_init(&queue->held);
}

bool message_queue_is_empty(const struct message_queue *queue)
{
    return !queue->bytes; /* no waiting message is empty */
}

uint64_t message_queue_shared_bytes(const struct message_queue *queue)
{
    return queue->bytes - queue->isolated_bytes - queue->held.blocked_bytes;
}

/* ---- the lists ---- */

/* The message enters the queue, or leaves it. */
static void message_count(struct message_queue *queue, const struct message *message)
{
    queue->bytes += message->entry.size;
    queue->count += message->count;
}

static void message_discount(struct message_queue *queue, const struct message *message)
{
    queue->bytes -= message->entry.size;
    queue->count -= message->count;
}

/* Removes the message from its list. */
static void list_leave(struct message_queue *queue, struct message *message)
{
    if (message->sender && held_queue_has(message->sender->held, message)) {
        held_queue_remove(&message->sender->held, message);
        return;
    }
    if (message->waits_in != &queue->shared)
        queue->isolated_bytes -= message->entry.size;
    TAILQ_REMOVE(message->waits_in, message, of_queue);
    message->waits_in = NULL;
}

static void list_prepend(struct message_queue *queue, struct message_list *messages)
{
    struct message *message;

    TAILQ_FOREACH (message, messages, of_queue)
        message->waits_in = &queue->shared;
    TAILQ_CONCAT(messages, &queue->shared, of_queue);
    TAILQ_CONCAT(&queue->shared, messages, of_queue);
}

void message_queue_append(struct message_queue *queue, struct message *message)
{
    TAILQ_INSERT_TAIL(&queue->shared, message, of_queue);
    message->waits_in = &queue->shared;
    message_count(queue, message);
}

void message_queue_prepend(struct message_queue *queue, struct message_list *messages)
{
    const struct message *message;

    TAILQ_FOREACH (message, messages, of_queue)
        message_count(queue, message);
    list_prepend(queue, messages);
}

void message_queue_remove(struct message_queue *queue, struct message *message)
{
    list_leave(queue, message);
    message_discount(queue, message);
    reservation_cancel(message);
}

/* ---- turns ---- */

/* Moves the message to the held ones of its sender. False when out of memory: the message is the first one
 * for a shared connection, and the others wait for it. */
static bool hold(struct message_queue *queue, struct message *message)
{
    list_leave(queue, message);
    if (held_queue_insert(&message->sender->held, &queue->held, message))
        return true;
    TAILQ_INSERT_HEAD(&queue->shared, message, of_queue);
    message->waits_in = &queue->shared;
    return false;
}

/* The oldest held message that may be sent; NULL: none. */
static struct message *released(struct message_queue *queue)
{
    struct held_queue *held;

    while ((held = TAILQ_FIRST(&queue->held.ready)) && sender_holds(held_queue_first(held)))
        held_queue_block(held);
    return held ? held_queue_first(held) : NULL;
}

/* Whether the message must wait, or an earlier message of its sender is held. */
static bool is_to_hold(const struct message *message)
{
    const struct message *first = message->sender ? held_queue_first(message->sender->held) : NULL;

    return sender_holds(message) || (first && first->ordinal < message->ordinal);
}

struct message *message_queue_next(struct message_queue *queue)
{
    struct message *first, *held = released(queue);

    while ((first = TAILQ_FIRST(&queue->shared)) && is_to_hold(first)) {
        if (!hold(queue, first))
            return held;
    }
    return held && (!first || held->arrived_ms < first->arrived_ms) ? held : first;
}

void message_queue_isolate(struct message_queue *queue, struct message *message, enum isolated_turn turn)
{
    list_leave(queue, message);
    TAILQ_INSERT_TAIL(&queue->isolated[turn], message, of_queue);
    message->waits_in = &queue->isolated[turn];
    queue->isolated_bytes += message->entry.size;
}

void message_queue_hold(struct message_queue *queue, struct message *message)
{
    reservation_cancel(message);
    (void)hold(queue, message);
}

void message_queue_unhold(struct message_queue *queue, struct sender *sender)
{
    struct message_list messages = TAILQ_HEAD_INITIALIZER(messages);
    struct message *message;

    while ((message = held_queue_first(sender->held))) {
        held_queue_remove(&sender->held, message);
        TAILQ_INSERT_TAIL(&messages, message, of_queue);
    }
    list_prepend(queue, &messages);
}

/* ---- all messages ---- */

struct message *message_queue_any(const struct message_queue *queue)
{
    struct message *message = TAILQ_FIRST(&queue->shared);

    for (unsigned turn = 0; turn < ISOLATED_TURNS && !message; turn++)
        message = TAILQ_FIRST(&queue->isolated[turn]);
    return message;
}

static void list_select(struct message_queue *queue, struct message_list *list,
                        const struct message_selection *selection, struct message_list *selected)
{
    for (struct message *message = TAILQ_FIRST(list), *next; message; message = next) {
        next = TAILQ_NEXT(message, of_queue);
        if (!selection->is_selected(message, selection->deadline_ms))
            continue;
        message_queue_remove(queue, message);
        TAILQ_INSERT_TAIL(selected, message, of_queue);
    }
}

static void held_select(struct message_queue *queue, struct held_queue_list *list,
                        const struct message_selection *selection, struct message_list *selected)
{
    for (struct held_queue *held = TAILQ_FIRST(list), *next; held; held = next) {
        next = TAILQ_NEXT(held, link);
        list_select(queue, &held->messages, selection, selected);
    }
}

void message_queue_select(struct message_queue *queue, const struct message_selection *selection,
                          struct message_list *selected)
{
    list_select(queue, &queue->shared, selection, selected);
    for (unsigned turn = 0; turn < ISOLATED_TURNS; turn++)
        list_select(queue, &queue->isolated[turn], selection, selected);
    held_select(queue, &queue->held.blocked, selection, selected);
    held_select(queue, &queue->held.ready, selection, selected);
}
