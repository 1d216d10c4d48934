/* Requests for an exclusive upstream connection, in the order in which they began to wait. Pure. */
#ifndef HUSK_DELIVERY_REQUEST_QUEUE_H
#define HUSK_DELIVERY_REQUEST_QUEUE_H

#include "base/end_reason.h"
#include "base/metrics.h"
#include "delivery/sender.h"

#include <stdint.h>
#include <sys/queue.h>

struct exclusive_request;
struct message;
struct upstream;

/* Synchronous callbacks to the owner of a request. */
struct exclusive_events {
    /* The request has `upstream` exclusively from now on. */
    void (*on_granted)(struct exclusive_request *request, struct upstream *upstream);
    /* The connection has space for more bytes. */
    void (*on_space)(struct exclusive_request *request);
    /* The connection has ended for `reason`; the request waits again. */
    void (*on_lost)(struct exclusive_request *request, enum end_reason reason);
    /* The request has waited for --delivery-timeout. */
    void (*on_overdue)(struct exclusive_request *request);
};

/* A request for an exclusive upstream connection. First member of the struct of its owner. */
struct exclusive_request {
    TAILQ_ENTRY(exclusive_request) link; /* in the queue while it waits */
    const struct exclusive_events *events;
    const struct sender *sender; /* borrowed: whose message needs the connection */
    struct message *message;     /* borrowed: the message that needs the connection */
    uint64_t waiting_since_ms;   /* written by the queue */
};

struct request_queue {
    TAILQ_HEAD(, exclusive_request) list; /* oldest first */
    metrics_counter *gauge;               /* borrowed: of the number of requests */
};

void request_queue_init(struct request_queue *queue, metrics_counter *gauge);
/* The request waits from `now_ms` on. */
void request_queue_append(struct request_queue *queue, struct exclusive_request *request, uint64_t now_ms);
/* The message of the request gives up its reservation, if it has one. */
void request_queue_remove(struct request_queue *queue, struct exclusive_request *request);

#endif
