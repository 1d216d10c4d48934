/* Messages and requests that wait for too long: tells their agents, so that the agents try another address,
 * or gives the messages up.
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

/* For messages that arrived at `deadline_ms` or before (on the reactor's clock) and whose ack the agent waits
 * for: drops the message and tells the agent, which sends the message again. Also tells the agents of
 * requests that have waited since then. Agents behind another husk are not told. */
void overdue_tell(const struct overdue *overdue, uint64_t deadline_ms);

/* Gives up the waiting messages that arrived at `deadline_ms` or before. */
void overdue_expire(const struct overdue *overdue, uint64_t deadline_ms);

#endif
