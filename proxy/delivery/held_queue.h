/* The waiting messages of one sender that must not overtake an earlier message of the sender, and the queues
 * of all senders.
 *
 * A queue is blocked while its oldest message, and so each of its messages, must wait. The whole queue
 * becomes ready at once: no operation walks over the messages that wait, so their number does not change the
 * cost of a message. A queue takes memory only while a message is in the queue. Pure: the caller decides when
 * a queue is blocked. */
#ifndef HUSK_DELIVERY_HELD_QUEUE_H
#define HUSK_DELIVERY_HELD_QUEUE_H

#include "delivery/message.h"

enum held_state {
    HELD_BLOCKED, /* the oldest message must wait */
    HELD_READY,   /* the oldest message can be sent, as far as known */
};

/* Of one sender. NULL stands for a queue without messages. */
struct held_queue {
    struct message_list messages; /* by of_queue, in the order of their ordinals */
    uint64_t bytes;               /* of the messages */
    enum held_state state;
    struct held_queues *queues;   /* borrowed: contains this queue */
    TAILQ_ENTRY(held_queue) link; /* in one list of `queues` */
};

TAILQ_HEAD(held_queue_list, held_queue);

struct held_queues {
    struct held_queue_list blocked, ready;
    uint64_t blocked_bytes; /* of the messages in blocked queues */
};

void held_queues_init(struct held_queues *queues);

/* Inserts a message of the sender, which is in no list. If `*queue` is NULL, makes a blocked queue. False
 * when out of memory. */
MUST_CHECK bool held_queue_insert(struct held_queue **queue, struct held_queues *queues,
                                  struct message *message);
/* Removes a message of the queue. A queue without messages is freed, and `*queue` is NULL; a ready queue goes
 * behind the other ready ones. */
void held_queue_remove(struct held_queue **queue, struct message *message);

/* Whether the message is in the queue. */
bool held_queue_has(const struct held_queue *queue, const struct message *message);
/* The oldest message; NULL: there is none. */
struct message *held_queue_first(const struct held_queue *queue);

/* The oldest message of a ready queue must wait. */
void held_queue_block(struct held_queue *queue);
/* The oldest message may no longer have to wait: a blocked queue becomes ready. */
void held_queue_wake(struct held_queue *queue);

#endif
