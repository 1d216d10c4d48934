/* Tells the control thread when all workers have handled an item that it has posted to each of them.
 *
 * The control thread opens a receipt, expects a number of items, and closes it. Each mailbox gives the
 * receipt of an item once, from its own thread. */
#ifndef HUSK_WORKER_RECEIPT_H
#define HUSK_WORKER_RECEIPT_H

#include <ev.h>
#include <stdatomic.h>

struct receipt {
    _Atomic unsigned missing; /* items that are not handled yet */
    struct ev_loop *loop;     /* borrowed: the control thread's; NULL: not open */
    ev_async given;
    void (*on_complete)(void *owner); /* called by `loop`; may close the receipt */
    void *owner;
};

/* The receipt does not move in memory afterwards. */
void receipt_open(struct receipt *receipt, struct ev_loop *loop, void (*on_complete)(void *owner),
                  void *owner);
/* Safe on all zeros. No item with this receipt may be in a mailbox. */
void receipt_close(struct receipt *receipt);

/* Call it before `items` items with this receipt are posted. on_complete is called once after all of them
 * were given. */
void receipt_expect(struct receipt *receipt, unsigned items);
/* From any thread: an item is handled, or lost. The caller does not use the receipt afterwards. */
void receipt_give(struct receipt *receipt);

#endif
