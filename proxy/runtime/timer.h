/* One deadline of a connection: a timer that is moved only when it must ring earlier.
 *
 * It may ring before the deadline it was last set to; its owner then looks at its deadlines, and sets it
 * again. */
#ifndef HUSK_RUNTIME_TIMER_H
#define HUSK_RUNTIME_TIMER_H

#include <ev.h>
#include <stdint.h>

typedef void alarm_on_ring(void *owner);

struct alarm {
    struct ev_loop *loop;
    ev_timer timer;
    uint64_t at_ms; /* when it rings; 0: idle */
    alarm_on_ring *on_ring;
    void *owner;
};

void alarm_init(struct alarm *alarm, struct ev_loop *loop, alarm_on_ring *on_ring, void *owner);
/* Rings at deadline_ms (clock_monotonic_ms), or before it; 0: no deadline. */
void alarm_set(struct alarm *alarm, uint64_t deadline_ms);
void alarm_stop(struct alarm *alarm);

/* The earlier of two deadlines, of which 0 is none. */
uint64_t alarm_earlier(uint64_t a_ms, uint64_t b_ms);

#endif
