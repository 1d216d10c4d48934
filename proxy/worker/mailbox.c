#include "worker/mailbox.h"

#include "link/endpoint.h"
#include "trust/credentials.h"
#include "wire/socket.h"

#include <stdlib.h>

static void letter_drop(const struct letter *letter)
{
    credentials_release(letter->credentials);
    endpoint_list_release(letter->endpoints);
    if (letter->kind == LETTER_CONNECTION)
        socket_close_by_reset(letter->fd);
}

static struct letter *letters_take(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    struct letter *first = mailbox->first;
    mailbox->first = mailbox->last = NULL;
    pthread_mutex_unlock(&mailbox->lock);
    return first;
}

static void on_bell(struct ev_loop *loop, ev_async *bell, int events)
{
    struct mailbox *mailbox = bell->data;

    (void)loop, (void)events;
    for (struct letter *letter = letters_take(mailbox), *next; letter; letter = next) {
        next = letter->next;
        mailbox->on_letter(mailbox->owner, letter);
        free(letter);
    }
}

void mailbox_open(struct mailbox *mailbox, struct ev_loop *loop, mailbox_on_letter *on_letter, void *owner)
{
    *mailbox = (struct mailbox) { .loop = loop, .on_letter = on_letter, .owner = owner };
    pthread_mutex_init(&mailbox->lock, NULL);
    ev_async_init(&mailbox->bell, on_bell);
    mailbox->bell.data = mailbox;
    ev_async_start(loop, &mailbox->bell);
}

void mailbox_close(struct mailbox *mailbox)
{
    ev_async_stop(mailbox->loop, &mailbox->bell);
    for (struct letter *letter = letters_take(mailbox), *next; letter; letter = next) {
        next = letter->next;
        letter_drop(letter);
        free(letter);
    }
    pthread_mutex_destroy(&mailbox->lock);
}

bool mailbox_post(struct mailbox *mailbox, struct letter letter)
{
    struct letter *posted = malloc(sizeof *posted);

    if (!posted) {
        letter_drop(&letter);
        return false;
    }
    *posted = letter;
    posted->next = NULL;
    pthread_mutex_lock(&mailbox->lock);
    if (mailbox->last)
        mailbox->last->next = posted;
    else
        mailbox->first = posted;
    mailbox->last = posted;
    pthread_mutex_unlock(&mailbox->lock);
    ev_async_send(mailbox->loop, &mailbox->bell);
    return true;
}
