/* The only way from one thread to another: a queue of items, and an ev_async that wakes the receiving loop.
 *
 * Any thread posts items; the loop of the mailbox's owner delivers them in the order of posting. An item owns
 * what it carries until it is delivered. */
#ifndef HUSK_WORKER_MAILBOX_H
#define HUSK_WORKER_MAILBOX_H

#include "base/end_reason.h"
#include "base/fault.h"
#include "wire/address.h"
#include "worker/receipt.h"

#include <ev.h>
#include <pthread.h>
#include <stdbool.h>

struct credentials;
struct endpoint_list;
struct worker_route;
struct worker_route_change;

enum mailbox_kind {
    /* For one route of the worker. */
    MAILBOX_BEGIN,       /* listen and accept */
    MAILBOX_CHANGE,      /* new options, credentials and endpoints */
    MAILBOX_CREDENTIALS, /* a new set for `side` */
    MAILBOX_ENDPOINTS,   /* the addresses of the upstream; NULL: no name resolves */
    MAILBOX_LISTEN,      /* accept on another socket too */
    MAILBOX_UNLISTEN,    /* close a listening socket */
    MAILBOX_CONNECTION,  /* a connection that another worker has accepted */
    MAILBOX_REFUSE,      /* refuse new connections */
    MAILBOX_ADMIT,       /* accept new connections again */
    MAILBOX_DRAIN,       /* this process is going to end */
    MAILBOX_SHED,        /* the upstream fails meanwhile: end connections of peers that send again */
    MAILBOX_RETIRE,      /* the route is going to end: listen no more, end connections between two messages */
    MAILBOX_HAND_OVER,   /* the same, while another process goes on at the listening sockets */
    MAILBOX_END,         /* end all connections */
    MAILBOX_FORGET,      /* free what the route owns; the last item of the route */
    /* For the worker. */
    MAILBOX_SIGNATURES, /* tokens have signed, or failed to */
    MAILBOX_FENCE,      /* nothing: all items before have been handled */
    MAILBOX_STOP,       /* end all routes and leave the loop */
};

struct mailbox_item {
    struct mailbox_item *next; /* of the mailbox, as is the next one */
    bool is_allocated;         /* by mailbox_post */
    enum mailbox_kind kind;
    struct worker_route *route; /* borrowed */
    struct receipt *receipt;    /* borrowed: given when the item is handled or dropped; NULL: none */
    const struct worker_route_change *change; /* MAILBOX_CHANGE; borrowed until the receipt is given */
    enum side side;                           /* MAILBOX_CREDENTIALS */
    struct credentials *credentials;          /* shared */
    struct endpoint_list *endpoints;          /* shared */
    int fd;             /* MAILBOX_CONNECTION and MAILBOX_LISTEN: owned; MAILBOX_UNLISTEN: the listener's */
    bool is_of_manager; /* MAILBOX_LISTEN: as in struct listener_fd */
    struct socket_address peer; /* MAILBOX_CONNECTION */
};

/* Takes what the item carries. */
typedef void mailbox_on_item(void *owner, const struct mailbox_item *item);

struct mailbox {
    pthread_mutex_t lock;
    struct mailbox_item *first, *last; /* under lock */
    struct ev_loop *loop;
    ev_async wakeup;
    mailbox_on_item *on_item;
    void *owner;
};

void mailbox_open(struct mailbox *mailbox, struct ev_loop *loop, mailbox_on_item *on_item, void *owner);
/* Drops the undelivered items with what they carry. Call it after the loop has ended, and when no thread
 * posts any more. Harmless the second time. */
void mailbox_close(struct mailbox *mailbox);

/* From any thread. Takes what `item` carries, also on failure (out of memory). */
MUST_CHECK bool mailbox_post(struct mailbox *mailbox, struct mailbox_item item);
/* The same without memory of its own: borrows `item` until its receipt is given. It owns nothing. */
void mailbox_put(struct mailbox *mailbox, struct mailbox_item *item);

#endif
