/* The only door between threads: a queue, and an ev_async that rings.
 *
 * Anyone posts; the owner's loop delivers in order. A letter owns what it carries until it is delivered. */
#ifndef HUSK_WORKER_MAILBOX_H
#define HUSK_WORKER_MAILBOX_H

#include "base/end_reason.h"
#include "base/fault.h"
#include "wire/address.h"

#include <ev.h>
#include <pthread.h>
#include <stdbool.h>

struct credentials;
struct endpoint_list;

enum letter_kind {
    LETTER_CREDENTIALS, /* a new set for `side` */
    LETTER_ENDPOINTS,   /* the upstream's addresses; NULL: the name does not resolve */
    LETTER_CONNECTION,  /* one that another worker accepted */
    LETTER_REFUSE,      /* new connections are to be refused */
    LETTER_ADMIT,       /* or accepted again */
    LETTER_STOP,        /* end all connections and leave the loop */
};

struct letter {
    struct letter *next;
    enum letter_kind kind;
    enum side side;
    struct credentials *credentials;
    struct endpoint_list *endpoints;
    int fd; /* LETTER_CONNECTION */
    struct socket_address peer;
};

/* Takes over what the letter carries; the letter itself stays the mailbox's. */
typedef void mailbox_on_letter(void *owner, const struct letter *letter);

struct mailbox {
    pthread_mutex_t lock;
    struct letter *first, *last; /* under lock */
    struct ev_loop *loop;
    ev_async bell;
    mailbox_on_letter *on_letter;
    void *owner;
};

void mailbox_open(struct mailbox *mailbox, struct ev_loop *loop, mailbox_on_letter *on_letter, void *owner);
/* Undelivered letters are dropped with what they carry. After the loop has ended. */
void mailbox_close(struct mailbox *mailbox);

/* From any thread. Takes what `letter` carries, also on failure (out of memory). */
MUST_CHECK bool mailbox_post(struct mailbox *mailbox, struct letter letter);

#endif
