/* Hands messages from senders to upstream connections; one per worker.
 *
 * Owns the messages that wait and the pool of upstream connections, and observes these connections. A
 * complete message is written whole, after the messages before it. While no connection has space, or the read
 * budget is spent, agents are not read: this back-pressure is the only limit of the queue. Belongs to its
 * worker's thread. */
#ifndef HUSK_DELIVERY_DISPATCHER_H
#define HUSK_DELIVERY_DISPATCHER_H

#include "delivery/batch.h"
#include "delivery/chunk_ids.h"
#include "delivery/overdue.h"
#include "delivery/retry.h"
#include "delivery/upstream_pool.h"

struct dispatcher {
    struct transport *transport; /* borrowed */
    struct read_budget *budget;  /* borrowed */
    struct chunk_ids *chunk_ids; /* borrowed */
    struct upstream_pool pool;
    struct retry retry;
    struct message_queue waiting;
    struct request_queue requests;
    struct unsettled unsettled; /* messages that wait or are in a ledger */
    bool is_closing;
    struct timer timer;
    void (*on_pressure)(void *owner); /* agents wait for budget or a connection; called regularly */
    void *owner;                      /* borrowed: passed to on_pressure */
};

struct dispatcher_options {
    struct transport *transport;
    struct read_budget *budget;
    struct chunk_ids *chunk_ids;
    const struct hash_key *hash_key; /* random; NULL: zeros, for tests */
    void (*on_pressure)(void *owner);
    void *owner;
};

/* Borrows what the options name. The dispatcher must not move in memory afterwards. */
void dispatcher_init(struct dispatcher *dispatcher, const struct dispatcher_options *options);
/* This process is going to end: messages that wait for a retry do not wait for long any more. */
void dispatcher_drain(struct dispatcher *dispatcher);
/* Stops dispatching and ends every upstream connection. */
void dispatcher_end(struct dispatcher *dispatcher);
/* Drops the messages that wait. Call it after every sender has ended. */
void dispatcher_deinit(struct dispatcher *dispatcher);

/* Takes a complete message, files it with its sender, and sends it as soon as a connection has space. */
void dispatcher_submit(struct dispatcher *dispatcher, struct sender *sender, struct message *message);

/* The agent has ended: tells husks upstream, and drops waiting messages that the agent sends again
 * (message_comes_again). */
void dispatcher_forget(struct dispatcher *dispatcher, struct sender *sender);

/* The upstream's addresses have changed, or are known for the first time. */
void dispatcher_endpoints_changed(struct dispatcher *dispatcher);
/* The credentials for the upstream have changed: its connections judge their servers. */
void dispatcher_credentials_changed(struct dispatcher *dispatcher);
/* The options of the route have changed; `before`: what they were. */
void dispatcher_options_changed(struct dispatcher *dispatcher, const struct route_options *before);

/* See delivery_await_first. */
void dispatcher_await_first(struct dispatcher *dispatcher);

/* An agent has begun to wait for read budget: on_pressure is called from time to time. */
void dispatcher_watch_pressure(struct dispatcher *dispatcher);
/* Whether an agent waits for read budget, or a request waits for a connection. */
bool dispatcher_is_under_pressure(const struct dispatcher *dispatcher);
/* Whether the sender's messages wait for an isolated one although a connection is ready, or the husk upstream
 * takes none of them now. Reading more from its agent would only spend budget. */
bool dispatcher_must_wait(const struct dispatcher *dispatcher, const struct sender *sender);

/* ---- for messages that are cut through ---- */

/* Queues a request. on_granted may be called at once. */
void dispatcher_request(struct dispatcher *dispatcher, struct exclusive_request *request);
/* Removes a waiting request from the queue. */
void dispatcher_cancel(struct dispatcher *dispatcher, struct exclusive_request *request);
/* The message of the request that was granted `upstream` is complete: takes the message, files it with its
 * sender, and releases the connection. */
void dispatcher_complete(struct dispatcher *dispatcher, struct sender *sender, struct upstream *upstream,
                         struct message *message);

#endif
