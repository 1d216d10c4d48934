#include "worker/receipt.h"

#include <assert.h>

static void on_given(struct ev_loop *loop, ev_async *given, int events)
{
    struct receipt *receipt = given->data;

    (void)loop, (void)events;
    /* Acquires what the workers did with the items. */
    if (!atomic_load_explicit(&receipt->missing, memory_order_acquire))
        receipt->on_complete(receipt->owner);
}

void receipt_open(struct receipt *receipt, struct ev_loop *loop, void (*on_complete)(void *owner),
                  void *owner)
{
    *receipt = (struct receipt) { .loop = loop, .on_complete = on_complete, .owner = owner };
    ev_async_init(&receipt->given, on_given);
    receipt->given.data = receipt;
    ev_async_start(loop, &receipt->given);
}

void receipt_close(struct receipt *receipt)
{
    if (receipt->loop)
        ev_async_stop(receipt->loop, &receipt->given);
    receipt->loop = NULL;
}

void receipt_expect(struct receipt *receipt, unsigned items)
{
    assert(items && !atomic_load(&receipt->missing));
    atomic_store_explicit(&receipt->missing, items, memory_order_release);
}

/* Only the last one wakes the control thread, which may then free the receipt: the others are through. */
void receipt_give(struct receipt *receipt)
{
    struct ev_loop *loop = receipt->loop;

    if (atomic_fetch_sub_explicit(&receipt->missing, 1, memory_order_acq_rel) == 1)
        ev_async_send(loop, &receipt->given);
}
