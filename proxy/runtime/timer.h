/* One deadline of a connection: an ev_timer that moves only when it must fire earlier.
 *
 * It may fire before the deadline it was last set to. Its owner then looks at its deadlines and sets it
 * again. */
#ifndef HUSK_RUNTIME_TIMER_H
#define HUSK_RUNTIME_TIMER_H

#include "runtime/reactor.h"

typedef void timer_on_fire(void *owner);

struct timer {
    struct reactor *reactor; /* borrowed */
    ev_timer watcher;
    uint64_t fires_at_ms; /* in the reactor's now_ms; 0: stopped */
    timer_on_fire *on_fire;
    void *owner;
};

void timer_init(struct timer *timer, struct reactor *reactor, timer_on_fire *on_fire, void *owner);
/* Fires at deadline_ms (in the reactor's now_ms), or before; 0: no deadline. */
void timer_set(struct timer *timer, uint64_t deadline_ms);
void timer_stop(struct timer *timer);

/* The earlier of two deadlines, of which 0 is none. */
uint64_t timer_earlier(uint64_t a_ms, uint64_t b_ms);

#endif
