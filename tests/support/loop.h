/* Runs an event loop inside a unit test, for a limited time. */
#ifndef HUSK_TESTS_SUPPORT_LOOP_H
#define HUSK_TESTS_SUPPORT_LOOP_H

#include <ev.h>

enum { LOOP_GUARD_SECONDS = 20 };

/* Runs one turn of the loop. Fails the test when no event comes within LOOP_GUARD_SECONDS. */
void loop_turn(struct ev_loop *loop);

/* Runs the loop for `duration_ms`. For tests in which something must not happen. */
void loop_run_for(struct ev_loop *loop, unsigned duration_ms);

#endif
