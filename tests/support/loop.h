/* An event loop turned by a test: never for ever. */
#ifndef HUSK_TESTS_SUPPORT_LOOP_H
#define HUSK_TESTS_SUPPORT_LOOP_H

#include <ev.h>

enum { LOOP_GUARD_SECONDS = 20 };

/* One turn of the loop; fails the test when nothing happens for LOOP_GUARD_SECONDS. */
void loop_turn(struct ev_loop *loop);

/* Runs the loop for a while in which something must not happen. */
void loop_run_for(struct ev_loop *loop, unsigned duration_ms);

#endif
