/* The messages that wait for an upstream connection, by what they wait for:
 *
 *   shared    a connection that carries other messages too; oldest first
 *   isolated  a connection of their own
 *   held      an earlier message of their own sender (sender_holds)
 *
 * A message moves to another list only when its turn comes, so that the number of messages that wait does not
 * change the cost of a message. Pure. */
#ifndef HUSK_DELIVERY_MESSAGE_QUEUE_H
#define HUSK_DELIVERY_MESSAGE_QUEUE_H

#include "delivery/sender.h"

/* Whether a back-off comes before the next attempt of an isolated message. */
enum isolated_turn { ISOLATED_AT_ONCE, ISOLATED_DELAYED, ISOLATED_TURNS };

struct message_queue {
    struct message_list shared;                   /* by of_queue */
    struct message_list isolated[ISOLATED_TURNS]; /* by of_queue */
    struct held_queues held;
    uint64_t bytes;          /* of all waiting messages */
    uint64_t isolated_bytes; /* of the isolated ones */
    uint64_t count;          /* Forward messages in all waiting messages */
};

void message_queue_init(struct message_queue *queue);
bool message_queue_is_empty(const struct message_queue *queue);
/* The bytes of the messages that wait for a shared connection, as far as known: an isolated message, and a
 * message that has to wait for its own sender, count until their turn comes. */
uint64_t message_queue_shared_bytes(const struct message_queue *queue);

/* Adds a message behind the others. */
void message_queue_append(struct message_queue *queue, struct message *message);
/* Inserts `messages` (by of_queue) before the other messages, in their order. `messages` is empty
 * afterwards. */
void message_queue_prepend(struct message_queue *queue, struct message_list *messages);
/* The message gives up its reservation, if it has one. */
void message_queue_remove(struct message_queue *queue, struct message *message);

/* The message whose turn is next, in the order of arrival; NULL: none. The message does not have to wait
 * for its own sender; each earlier message that must wait becomes held. The caller removes the message,
 * or calls message_queue_isolate for an isolated message; otherwise the message stays the next one. */
struct message *message_queue_next(struct message_queue *queue);
/* An isolated message waits for a connection of its own from now on. */
void message_queue_isolate(struct message_queue *queue, struct message *message, enum isolated_turn turn);
/* A waiting message must wait for its own sender: the message is held, and gives up its reservation, which an
 * earlier message of the sender may need. */
void message_queue_hold(struct message_queue *queue, struct message *message);
/* The sender ends: its held messages wait without the sender, before the other messages. */
void message_queue_unhold(struct message_queue *queue, struct sender *sender);

/* Any waiting message that is not held; NULL: none. */
struct message *message_queue_any(const struct message_queue *queue);

/* Which messages are selected. */
struct message_selection {
    bool (*is_selected)(const struct message *message, uint64_t deadline_ms);
    uint64_t deadline_ms; /* passed to is_selected */
};
/* Moves the selected messages to `selected` (by of_queue). Walks over all waiting messages. */
void message_queue_select(struct message_queue *queue, const struct message_selection *selection,
                          struct message_list *selected);

#endif
