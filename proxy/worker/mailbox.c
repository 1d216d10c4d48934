#include "worker/mailbox.h"

#include "link/endpoint.h"
#include "trust/credentials.h"
#include "wire/socket.h"

#include <stdlib.h>
#include <unistd.h>

/* Whoever waits for the receipt may free the item that is not allocated, and the route of the item. */
static void item_finish(struct mailbox_item *item)
{
    struct receipt *receipt = item->receipt;

    if (item->is_allocated)
        free(item);
    if (receipt)
        receipt_give(receipt);
}

/* Releases what an item carries that nobody takes. */
static void content_drop(const struct mailbox_item *item)
{
    credentials_release(item->credentials);
    endpoint_list_release(item->endpoints);
    if (item->kind == MAILBOX_CONNECTION)
        socket_close_by_reset(item->fd);
    if (item->kind == MAILBOX_LISTEN)
        close(item->fd);
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
        item_finish(item);
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
    if (!mailbox->loop)
        return;
    ev_async_stop(mailbox->loop, &mailbox->wakeup);
    for (struct mailbox_item *item = items_take(mailbox), *next; item; item = next) {
        next = item->next;
        content_drop(item);
        item_finish(item);
    }
    pthread_mutex_destroy(&mailbox->lock);
    mailbox->loop = NULL;
}

void mailbox_put(struct mailbox *mailbox, struct mailbox_item *item)
{
    item->next = NULL;
    pthread_mutex_lock(&mailbox->lock);
    if (mailbox->last)
        mailbox->last->next = item;
    else
        mailbox->first = item;
    mailbox->last = item;
    pthread_mutex_unlock(&mailbox->lock);
    ev_async_send(mailbox->loop, &mailbox->wakeup);
}

bool mailbox_post(struct mailbox *mailbox, struct mailbox_item item)
{
    struct mailbox_item *posted = malloc(sizeof *posted);

    if (!posted) {
        content_drop(&item);
        if (item.receipt)
            receipt_give(item.receipt);
        return false;
    }
    *posted = item;
    posted->is_allocated = true;
    mailbox_put(mailbox, posted);
    return true;
}
