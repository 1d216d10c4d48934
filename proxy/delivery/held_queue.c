#include "delivery/held_queue.h"

#include <assert.h>
#include <stdlib.h>

void held_queues_init(struct held_queues *queues)
{
    *queues = (struct held_queues) { 0 };
    TAILQ_INIT(&queues->blocked);
    TAILQ_INIT(&queues->ready);
}

/* ---- the lists of queues ---- */

static void queue_enter(struct held_queue *queue, enum held_state state)
{
    struct held_queues *queues = queue->queues;

    queue->state = state;
    TAILQ_INSERT_TAIL(state == HELD_BLOCKED ? &queues->blocked : &queues->ready, queue, link);
    if (state == HELD_BLOCKED)
        queues->blocked_bytes += queue->bytes;
}

static void queue_leave(struct held_queue *queue)
{
    struct held_queues *queues = queue->queues;

    TAILQ_REMOVE(queue->state == HELD_BLOCKED ? &queues->blocked : &queues->ready, queue, link);
    if (queue->state == HELD_BLOCKED)
        queues->blocked_bytes -= queue->bytes;
}

static struct held_queue *queue_make(struct held_queues *queues)
{
    struct held_queue *queue = calloc(1, sizeof *queue);

    if (!queue)
        return NULL;
    TAILQ_INIT(&queue->messages);
    queue->queues = queues;
    queue_enter(queue, HELD_BLOCKED);
    return queue;
}

void held_queue_block(struct held_queue *queue)
{
    assert(queue->state == HELD_READY);
    queue_leave(queue);
    queue_enter(queue, HELD_BLOCKED);
}

void held_queue_wake(struct held_queue *queue)
{
    if (!queue || queue->state != HELD_BLOCKED)
        return;
    queue_leave(queue);
    queue_enter(queue, HELD_READY);
}

/* ---- messages ---- */

bool held_queue_has(const struct held_queue *queue, const struct message *message)
{
    return queue && message->waits_in == &queue->messages;
}

struct message *held_queue_first(const struct held_queue *queue)
{
    return queue ? TAILQ_FIRST(&queue->messages) : NULL;
}

/* The message of the queue after which `message` belongs; NULL: none. Messages that return together are
 * inserted in their order, so that for all but the first of them the search ends at once. */
static struct message *before(const struct held_queue *queue, struct message *message)
{
    struct message *last = TAILQ_LAST(&queue->messages, message_list);

    if (!last || last->ordinal < message->ordinal)
        return last;
    do
        message = TAILQ_PREV(message, message_list, of_sender);
    while (message && !held_queue_has(queue, message));
    return message;
}

/* The queue has `bytes` more or, modulo 2^64, less. */
static void bytes_add(struct held_queue *queue, uint64_t bytes)
{
    queue->bytes += bytes;
    if (queue->state == HELD_BLOCKED)
        queue->queues->blocked_bytes += bytes;
}

bool held_queue_insert(struct held_queue **queue, struct held_queues *queues, struct message *message)
{
    if (!*queue)
        *queue = queue_make(queues);
    if (!*queue)
        return false;
    struct message *after = before(*queue, message);
    if (after)
        TAILQ_INSERT_AFTER(&(*queue)->messages, after, message, of_queue);
    else
        TAILQ_INSERT_HEAD(&(*queue)->messages, message, of_queue);
    message->waits_in = &(*queue)->messages;
    bytes_add(*queue, message->entry.size);
    return true;
}

void held_queue_remove(struct held_queue **queue, struct message *message)
{
    struct held_queue *left = *queue;

    assert(held_queue_has(left, message));
    TAILQ_REMOVE(&left->messages, message, of_queue);
    message->waits_in = NULL;
    bytes_add(left, -message->entry.size);
    if (left->state == HELD_BLOCKED && !TAILQ_EMPTY(&left->messages))
        return;
    queue_leave(left);
    if (TAILQ_EMPTY(&left->messages)) {
        free(left);
        *queue = NULL;
    } else {
        queue_enter(left, HELD_READY);
    }
}
