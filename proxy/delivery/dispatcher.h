/* Hands messages from senders to upstream connections; one per worker.
 *
 * Owns the messages that wait, and the pool of upstream connections, which report to it. A complete message
 * is written whole behind the messages before it. While no connection has space, or the memory for retained
 * messages is spent, agents are not read: that is the back-pressure, there is no other limit on the queue.
 * Belongs to its worker's thread.
 */
#ifndef HUSK_DELIVERY_DISPATCHER_H
#define HUSK_DELIVERY_DISPATCHER_H

#include "delivery/batch.h"
#include "delivery/chunk_ids.h"
#include "delivery/message_queue.h"
#include "delivery/read_budget.h"
#include "delivery/retry.h"
#include "delivery/upstream_pool.h"

struct exclusive_request;

/* Told to a message that is cut through, synchronously. */
struct exclusive_events {
    /* The connection is its own now. */
    void (*on_granted)(struct exclusive_request *request, struct upstream *upstream);
    /* The connection takes more bytes. */
    void (*on_space)(struct exclusive_request *request);
    /* The connection has ended for `reason`; the request waits again. */
    void (*on_lost)(struct exclusive_request *request, enum end_reason reason);
    /* It has waited for --delivery-timeout. */
    void (*on_overdue)(struct exclusive_request *request);
};

/* Asks for an upstream connection exclusively. The first member of the struct that asks. */
struct exclusive_request {
    TAILQ_ENTRY(exclusive_request) link; /* in the dispatcher's queue while it waits */
    const struct exclusive_events *events;
    uint64_t waiting_since_ms;
};

struct dispatcher {
    struct transport *transport; /* borrowed */
    struct read_budget *budget;  /* borrowed */
    struct chunk_ids *chunk_ids; /* borrowed */
    struct upstream_pool pool;
    struct retry retry;
    struct message_queue waiting;
    TAILQ_HEAD(, exclusive_request) requests; /* that wait, oldest first */
    unsigned unsettled_count;                 /* Forward messages that wait or are in a ledger */
    bool is_closing;
    struct timer timer;
    void (*on_pressure)(void *owner); /* from time to time while agents wait for budget or for a connection */
    void *owner;                      /* of on_pressure; borrowed */
};

struct dispatcher_options {
    struct transport *transport;
    struct read_budget *budget;
    struct chunk_ids *chunk_ids;
    void (*on_pressure)(void *owner);
    void *owner;
};

/* Borrows what the options name. The dispatcher must not move in memory afterwards. */
void dispatcher_init(struct dispatcher *dispatcher, const struct dispatcher_options *options);
/* Stops dispatching and ends every upstream connection. */
void dispatcher_end(struct dispatcher *dispatcher);
/* Drops the messages that wait, once every sender is gone. */
void dispatcher_deinit(struct dispatcher *dispatcher);

/* Takes a complete message, files it with its sender, and sends it as soon as a connection has space. */
void dispatcher_submit(struct dispatcher *dispatcher, struct sender *sender, struct message *message);

/* An agent is gone: drops what it asked acks for and has not been sent, since the agent sends that again. */
void dispatcher_forget(struct dispatcher *dispatcher, struct sender *sender);

/* Sends waiting messages where connections have space, and dials when there are too few. */
void dispatcher_dispatch(struct dispatcher *dispatcher);

/* The upstream's addresses have changed, or are known for the first time. */
void dispatcher_endpoints_changed(struct dispatcher *dispatcher);

/* An agent waits for budget, or a message for a connection to itself. */
bool dispatcher_is_under_pressure(const struct dispatcher *dispatcher);
/* A message of the sender must wait for an isolated one although a connection is ready: reading more would
 * only spend budget. */
bool dispatcher_blocks(const struct dispatcher *dispatcher, const struct sender *sender);

/* ---- for messages that are cut through ---- */

/* The request waits for a connection; on_granted may be called at once. */
void dispatcher_request(struct dispatcher *dispatcher, struct exclusive_request *request);
/* A request that waits does so no longer. */
void dispatcher_cancel(struct dispatcher *dispatcher, struct exclusive_request *request);
/* The message whose request was granted `upstream` is complete: takes it and files it with its sender. */
void dispatcher_complete(struct dispatcher *dispatcher, struct sender *sender, struct upstream *upstream,
                         struct message *message);

#endif
