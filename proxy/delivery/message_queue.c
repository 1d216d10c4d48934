#include "delivery/message_queue.h"

#include "delivery/reservation.h"

void message_queue_init(struct message_queue *queue)
{
    *queue = (struct message_queue) { 0 };
    TAILQ_INIT(&queue->list);
}

static void message_count(struct message_queue *queue, struct message *message)
{
    queue->bytes += message->entry.size;
    queue->count += message->count;
    message->is_waiting = true;
}

void message_queue_append(struct message_queue *queue, struct message *message)
{
    TAILQ_INSERT_TAIL(&queue->list, message, of_queue);
    message_count(queue, message);
}

void message_queue_prepend(struct message_queue *queue, struct message_list *messages)
{
    struct message *message;

    TAILQ_FOREACH (message, messages, of_queue)
        message_count(queue, message);
    TAILQ_CONCAT(messages, &queue->list, of_queue);
    TAILQ_CONCAT(&queue->list, messages, of_queue);
}

void message_queue_remove(struct message_queue *queue, struct message *message)
{
    TAILQ_REMOVE(&queue->list, message, of_queue);
    queue->bytes -= message->entry.size;
    queue->count -= message->count;
    message->is_waiting = false;
    reservation_cancel(message);
}
