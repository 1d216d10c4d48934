/* A receiver and its leg, as a downstream connection has them, with a dispatcher that has one upstream
 * address. */
#ifndef HUSK_TESTS_SUPPORT_RECEIVING_H
#define HUSK_TESTS_SUPPORT_RECEIVING_H

#include "delivery/receiver.h"
#include "support/runtime.h"
#include "wire/leg.h"

struct receiving {
    struct runtime runtime;
    struct read_budget budget;
    struct chunk_ids chunk_ids;
    struct dispatcher dispatcher;
    struct body_filter bodies;
    struct message_policy policy; /* the agent may write the tags `a` and `b` */
    struct message_meters meters;
    struct message_permit permit;
    struct receiver_shared shared;
    struct receiver receiver;
    struct leg leg;
    int peer; /* the other end of the leg */
};

/* `receiving` must not move in memory afterwards. `events` are the callbacks of the read budget. */
void receiving_open(struct receiving *receiving, const struct read_budget_events *events);
void receiving_close(struct receiving *receiving);

/* The agent sends bytes. */
void receiving_say(struct receiving *receiving, const char *bytes, size_t length);
#define SAY(receiving, literal) receiving_say(receiving, literal, sizeof(literal) - 1)

/* Reads at most `limit` bytes, as a connection does. Returns the number of bytes. */
size_t receiving_take(struct receiving *receiving, size_t limit);

#endif
