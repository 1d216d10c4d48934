/* Messages and requests that wait for too long: tells their agents, so that they try another address, or
 * gives the messages up.
 *
 * Decides by the time of arrival alone; knows no connection. */
#ifndef HUSK_DELIVERY_OVERDUE_H
#define HUSK_DELIVERY_OVERDUE_H

#include "delivery/message_queue.h"
#include "delivery/request_queue.h"
#include "delivery/unsettled.h"

/* What waits. All borrowed. */
struct overdue {
    struct message_queue *waiting;
    struct request_queue *requests;
    struct unsettled *unsettled;
};

/* Tells the agents of what has waited since `deadline_ms` or longer (on the reactor's clock): of messages
 * whose ack the agent waits for, and of requests. A message that its agent sends again is dropped; a batch
 * stays. */
void overdue_tell(const struct overdue *overdue, uint64_t deadline_ms);

/* Gives up the messages that arrived at `deadline_ms` or before. */
void overdue_expire(const struct overdue *overdue, uint64_t deadline_ms);

#endif
