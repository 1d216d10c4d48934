/* The back-off of dials while they fail: 100 ms, doubled with each failure, 5 s at most. Belongs to the
 * thread of its worker. */
#ifndef HUSK_DELIVERY_REDIAL_H
#define HUSK_DELIVERY_REDIAL_H

#include <stdbool.h>
#include <stdint.h>

/* All zeros: no back-off. */
struct redial {
    uint64_t at_ms;    /* on the reactor's clock: no dial before this time; 0: none */
    uint64_t delay_ms; /* length of the last back-off */
    bool holds_all;    /* also for endpoints that have not failed: a dial to them would do the same */
};

/* After a failure. */
void redial_later(struct redial *redial, uint64_t now_ms, bool holds_all);
/* Nothing can be dialled: the next try is after the longest delay. Returns its time. */
uint64_t redial_last(struct redial *redial, uint64_t now_ms);
/* Something works, or has changed. */
void redial_at_once(struct redial *redial);
/* Whether a dial must wait until redial->at_ms. */
bool redial_must_wait(const struct redial *redial, uint64_t now_ms);

#endif
