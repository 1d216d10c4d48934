/* An event loop turned by a test: never for ever. */
#ifndef HUSK_TESTS_SUPPORT_TEST_LOOP_H
#define HUSK_TESTS_SUPPORT_TEST_LOOP_H

#include <ev.h>

enum { TEST_LOOP_GUARD_SECONDS = 20 };

/* One turn of the loop; fails the test when nothing happens for TEST_LOOP_GUARD_SECONDS. */
void test_loop_turn(struct ev_loop *loop);

/* Runs the loop for a while in which something must not happen. */
void test_loop_run_for(struct ev_loop *loop, unsigned duration_ms);

#endif
