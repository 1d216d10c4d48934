/* The step of an upstream connection: reacts to any event of it.
 *
 * Advances the dial, moves messages and acks, settles messages, and ends the connection. Belongs to the
 * worker's thread. */
#ifndef HUSK_DELIVERY_UPSTREAM_STEP_H
#define HUSK_DELIVERY_UPSTREAM_STEP_H

#include "delivery/upstream.h"

/* `task`: a struct upstream. */
void upstream_step(void *task);

#endif
