/* The timer of a connection, for all of its deadlines: an ev_timer that moves only to fire earlier.
 *
 * The timer can fire before the deadline of the last timer_set. Its owner then checks its deadlines and sets
 * the timer again.
 *
 * When the time has come, the sockets are served once more before the timer fires. If this process was
 * stopped for a moment, what the peers sent in time is read before a deadline counts against them. */
#ifndef HUSK_RUNTIME_TIMER_H
#define HUSK_RUNTIME_TIMER_H

#include "runtime/reactor.h"

typedef void timer_on_fire(void *owner);

struct timer {
    struct reactor *reactor; /* borrowed */
    ev_timer watcher;
    uint64_t fires_at_ms; /* on the reactor's clock; 0: stopped */
    bool is_due;          /* the time has come: fires after the sockets are served */
    timer_on_fire *on_fire;
    void *owner;
};

void timer_init(struct timer *timer, struct reactor *reactor, timer_on_fire *on_fire, void *owner);
/* Makes the timer fire at `deadline_ms` (on the reactor's clock) or earlier; 0: no deadline, nothing
 * changes. */
void timer_set(struct timer *timer, uint64_t deadline_ms);
void timer_stop(struct timer *timer);

/* The earlier of two deadlines; 0 means no deadline. */
uint64_t timer_earlier(uint64_t a_ms, uint64_t b_ms);

#endif
