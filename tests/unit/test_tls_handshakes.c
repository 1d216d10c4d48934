/* proxy/link/tls_handshakes.c: when unfinished TLS handshakes go on, when they are full, and which of them
 * make way. */
#include "link/tls_handshakes.h"

#include "base/clock.h"
#include "support/runtime.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MAX_HANDSHAKES = 3, TIMEOUT_MS = 1000, ORDINARY_BYTES = 4096 };

struct peer {
    struct task task; /* first */
    struct tls_handshake handshake;
    unsigned turns;
};

struct fixture {
    struct runtime runtime;
    struct tls_handshakes handshakes;
    struct peer peers[MAX_HANDSHAKES + 1];
};

static struct fixture fixture;

static void on_run(void *task)
{
    struct peer *peer = task;
    uint64_t end_us = clock_monotonic_us() + TLS_HANDSHAKES_US;

    if (!tls_handshake_take_turn(&fixture.handshakes, &peer->handshake))
        return;
    peer->turns++;
    while (clock_monotonic_us() < end_us)
        continue; /* a step takes long */
}

static int set_up(void **state)
{
    struct fixture *f = &fixture;

    *f = (struct fixture) { 0 };
    runtime_open(&f->runtime);
    f->runtime.route.max_handshakes = MAX_HANDSHAKES;
    f->runtime.route.handshake_memory_bytes = (uint64_t)(MAX_HANDSHAKES + 1) * TLS_HANDSHAKE_LEAST_BYTES;
    f->runtime.route.crowded_handshake_timeout_ms = TIMEOUT_MS;
    tls_handshakes_init(&f->handshakes, &f->runtime.reactor, &f->runtime.route);
    for (unsigned i = 0; i <= MAX_HANDSHAKES; i++)
        f->peers[i].task.run = on_run;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    while (!TAILQ_EMPTY(&f->handshakes.list))
        tls_handshake_end(&f->handshakes, TAILQ_FIRST(&f->handshakes.list));
    assert_int_equal(f->handshakes.count, 0);
    assert_int_equal(f->handshakes.bytes, 0);
    runtime_close(&f->runtime);
    return 0;
}

static void begin(struct fixture *f, unsigned i)
{
    tls_handshake_begin(&f->handshakes, &f->peers[i].handshake, &f->peers[i].task);
}

static void advance(struct fixture *f, unsigned i, size_t received, unsigned flights)
{
    tls_handshake_advance(&f->handshakes, &f->peers[i].handshake,
                          (struct tls_progress) { received, flights });
}

static bool is_overdue(struct fixture *f, unsigned i)
{
    return tls_handshake_is_overdue(&f->handshakes, &f->peers[i].handshake);
}

static void fill(struct fixture *f)
{
    for (unsigned i = 0; i < MAX_HANDSHAKES; i++)
        begin(f, i);
}

static void their_number_fills_them(void **state)
{
    struct fixture *f = *state;

    begin(f, 0);
    begin(f, 1);
    assert_false(tls_handshakes_are_full(&f->handshakes));
    assert_int_equal(tls_handshakes_relief_ms(&f->handshakes), 0);
    begin(f, 2);
    assert_true(tls_handshakes_are_full(&f->handshakes));
    assert_int_equal(tls_handshakes_relief_ms(&f->handshakes), f->runtime.reactor.now_ms + TIMEOUT_MS);
    tls_handshake_end(&f->handshakes, &f->peers[1].handshake);
    assert_false(tls_handshakes_are_full(&f->handshakes));
}

static void their_memory_fills_them(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.handshake_memory_bytes = 2 * TLS_HANDSHAKE_LEAST_BYTES;
    begin(f, 0);
    assert_false(tls_handshakes_are_full(&f->handshakes));
    begin(f, 1);
    assert_true(tls_handshakes_are_full(&f->handshakes));
    advance(f, 1, ORDINARY_BYTES, 0); /* an ordinary one has its space */
    assert_false(f->peers[0].handshake.is_evicted || f->peers[1].handshake.is_evicted);
    advance(f, 1, ORDINARY_BYTES + 1, 0);
    assert_true(f->peers[0].handshake.is_evicted && f->peers[0].task.is_queued); /* it has waited longest */
    assert_false(f->peers[1].handshake.is_evicted);
    advance(f, 1, 2 * TLS_HANDSHAKE_LEAST_BYTES, 0); /* more than all the memory */
    assert_true(f->peers[1].handshake.is_evicted);
    assert_int_equal(f->handshakes.bytes, 0);
}

static void nobody_makes_way_before_they_are_full(void **state)
{
    struct fixture *f = *state;

    begin(f, 0);
    begin(f, 1);
    runtime_pass(&f->runtime, 5 * TIMEOUT_MS);
    tls_handshakes_relieve(&f->handshakes);
    assert_false(is_overdue(f, 0));
    assert_int_equal(f->runtime.reactor.task_count, 0);
}

static void all_that_waited_long_enough_make_way_at_once(void **state)
{
    struct fixture *f = *state;

    begin(f, 0);
    begin(f, 1);
    runtime_pass(&f->runtime, 1);
    begin(f, 2);
    runtime_pass(&f->runtime, TIMEOUT_MS - 1);
    tls_handshakes_relieve(&f->handshakes);
    assert_true(is_overdue(f, 0) && is_overdue(f, 1) && !is_overdue(f, 2));
    assert_true(f->peers[0].task.is_queued && f->peers[1].task.is_queued && !f->peers[2].task.is_queued);
    tls_handshake_end(&f->handshakes, &f->peers[0].handshake);
    assert_true(is_overdue(f, 1)); /* although they are no longer full */
    begin(f, 3);
    assert_false(is_overdue(f, 3));
    tls_handshake_end(&f->handshakes, &f->peers[1].handshake);
    begin(f, 0);
    assert_int_equal(tls_handshakes_relief_ms(&f->handshakes), f->runtime.reactor.now_ms + 1);
}

static void an_answer_gives_the_peer_its_time_again(void **state)
{
    struct fixture *f = *state;

    fill(f);
    runtime_pass(&f->runtime, TIMEOUT_MS);
    tls_handshakes_relieve(&f->handshakes);
    assert_true(is_overdue(f, 0));
    advance(f, 0, 300, 1); /* its bytes had come before its task ran */
    assert_false(is_overdue(f, 0));
    advance(f, 1, 300, 0); /* bytes without an answer: part of a flight */
    assert_true(is_overdue(f, 1));
    tls_handshakes_relieve(&f->handshakes);
    assert_false(is_overdue(f, 0));
    runtime_pass(&f->runtime, TIMEOUT_MS);
    tls_handshakes_relieve(&f->handshakes);
    assert_true(is_overdue(f, 0));
}

static void overdue_ones_that_stay_are_asked_again_later(void **state)
{
    struct fixture *f = *state;

    fill(f);
    runtime_pass(&f->runtime, TIMEOUT_MS);
    tls_handshakes_relieve(&f->handshakes);
    assert_int_equal(tls_handshakes_relief_ms(&f->handshakes), f->runtime.reactor.now_ms + TIMEOUT_MS);
}

static void turn(struct fixture *f)
{
    f->handshakes.task.run(&f->handshakes.task);
}

static void one_long_step_is_a_turn(void **state)
{
    struct fixture *f = *state;

    fill(f);
    on_run(&f->peers[2]);
    on_run(&f->peers[0]);
    on_run(&f->peers[1]);
    on_run(&f->peers[2]); /* it is in the queue already */
    assert_true(f->handshakes.task.is_queued);
    turn(f);
    assert_true(f->peers[2].turns == 1 && f->peers[0].turns == 0 && f->peers[1].turns == 0);
    tls_handshake_end(&f->handshakes, &f->peers[0].handshake); /* it leaves the queue */
    turn(f);
    assert_true(f->peers[2].turns == 1 && f->peers[0].turns == 0 && f->peers[1].turns == 1);
    on_run(&f->peers[2]);
    turn(f);
    assert_int_equal(f->peers[2].turns, 2);
    assert_true(TAILQ_EMPTY(&f->handshakes.answered) && TAILQ_EMPTY(&f->handshakes.unanswered));
}

static void answered_ones_come_before_new_ones(void **state)
{
    struct fixture *f = *state;

    fill(f);
    advance(f, 2, 300, 1);
    for (unsigned i = 0; i < MAX_HANDSHAKES; i++)
        on_run(&f->peers[i]);
    turn(f);
    assert_true(f->peers[0].turns == 0 && f->peers[1].turns == 0 && f->peers[2].turns == 1);
    turn(f);
    assert_true(f->peers[0].turns == 1 && f->peers[1].turns == 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(their_number_fills_them),
        TEST(their_memory_fills_them),
        TEST(nobody_makes_way_before_they_are_full),
        TEST(all_that_waited_long_enough_make_way_at_once),
        TEST(an_answer_gives_the_peer_its_time_again),
        TEST(overdue_ones_that_stay_are_asked_again_later),
        TEST(one_long_step_is_a_turn),
        TEST(answered_ones_come_before_new_ones),
    };

    return cmocka_run_group_tests_name("tls_handshakes", tests, NULL, NULL);
}
