#include "worker/mailbox.h"

#include "link/endpoint.h"
#include "trust/credentials.h"
#include "wire/socket.h"

#include <stdlib.h>

static void item_drop(const struct mailbox_item *item)
{
    credentials_release(item->credentials);
    endpoint_list_release(item->endpoints);
    if (item->kind == MAILBOX_CONNECTION)
        socket_close_by_reset(item->fd);
}

static struct mailbox_item *items_take(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    struct mailbox_item *first = mailbox->first;
    mailbox->first = mailbox->last = NULL;
    pthread_mutex_unlock(&mailbox->lock);
    return first;
}

static void on_wakeup(struct ev_loop *loop, ev_async *wakeup, int events)
{
    struct mailbox *mailbox = wakeup->data;

    (void)loop, (void)events;
    for (struct mailbox_item *item = items_take(mailbox), *next; item; item = next) {
        next = item->next;
        mailbox->on_item(mailbox->owner, item);
        free(item);
    }
}

void mailbox_open(struct mailbox *mailbox, struct ev_loop *loop, mailbox_on_item *on_item, void *owner)
{
    *mailbox = (struct mailbox) { .loop = loop, .on_item = on_item, .owner = owner };
    pthread_mutex_init(&mailbox->lock, NULL);
    ev_async_init(&mailbox->wakeup, on_wakeup);
    mailbox->wakeup.data = mailbox;
    ev_async_start(loop, &mailbox->wakeup);
}

void mailbox_close(struct mailbox *mailbox)
{
    ev_async_stop(mailbox->loop, &mailbox->wakeup);
    for (struct mailbox_item *item = items_take(mailbox), *next; item; item = next) {
        next = item->next;
        item_drop(item);
        free(item);
    }
    pthread_mutex_destroy(&mailbox->lock);
}

bool mailbox_post(struct mailbox *mailbox, struct mailbox_item item)
{
    struct mailbox_item *posted = malloc(sizeof *posted);

    if (!posted) {
        item_drop(&item);
        return false;
    }
    *posted = item;
    posted->next = NULL;
    pthread_mutex_lock(&mailbox->lock);
    if (mailbox->last)
        mailbox->last->next = posted;
    else
        mailbox->first = posted;
    mailbox->last = posted;
    pthread_mutex_unlock(&mailbox->lock);
    ev_async_send(mailbox->loop, &mailbox->wakeup);
    return true;
}
