/* The messages that wait for an upstream connection, oldest first, with their number and size. Pure. */
#ifndef HUSK_DELIVERY_MESSAGE_QUEUE_H
#define HUSK_DELIVERY_MESSAGE_QUEUE_H

#include "delivery/message.h"

struct message_queue {
    struct message_list list; /* by of_queue */
    uint64_t bytes;           /* of the messages */
    uint64_t count;           /* Forward messages in them */
};

void message_queue_init(struct message_queue *queue);
void message_queue_append(struct message_queue *queue, struct message *message);
/* Inserts `messages` (by of_queue) before the waiting messages, in their order. `messages` is empty
 * afterwards. */
void message_queue_prepend(struct message_queue *queue, struct message_list *messages);
/* The message gives up its reservation, if it has one. */
void message_queue_remove(struct message_queue *queue, struct message *message);

#endif
