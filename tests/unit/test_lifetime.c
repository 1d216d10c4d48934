/* proxy/runtime/lifetime.c: when a connection ends because a certificate ends. */
#include "runtime/lifetime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { HOUR_MS = 3600000 };

static const int64_t START_S = 1900000000;

/* So many milliseconds after the start, on both clocks. The wall clock is ahead by `jump_ms`. */
static struct lifetime_now after(uint64_t ms, int64_t jump_ms)
{
    return (struct lifetime_now) { .reactor_ms = 7000 + ms,
                                   .wall_ms = START_S * 1000 + (int64_t)ms + jump_ms };
}

/* A connection that begins at the start with a certificate of so many seconds. Returns how many milliseconds
 * it lives. */
static uint64_t life_of(int64_t seconds, uint32_t random)
{
    const struct lifetime_now now = after(0, 0);
    struct lifetime lifetime = { 0 };

    lifetime_limit(&lifetime, START_S + seconds, random, &now);
    return lifetime.due_ms - now.reactor_ms;
}

static void the_end_is_earlier_by_a_random_part_of_a_twentieth(void **state)
{
    (void)state;
    assert_int_equal(life_of(100, 0), 100000);
    assert_int_equal(life_of(100, UINT32_MAX / 2 + 1), 97500);
    assert_int_equal(life_of(100, UINT32_MAX), 95001);
    assert_int_equal(life_of(1, UINT32_MAX), 951);
    assert_int_equal(life_of(30 * 24 * 3600, UINT32_MAX),
                     30 * 24 * UINT64_C(3600000) - 59999); /* at most a minute */
}

static void nothing_is_due_without_a_limit(void **state)
{
    struct lifetime lifetime = { .not_after = 1, .end_ms = 1, .due_ms = 1 };
    const struct lifetime_now now = after(0, 0);

    (void)state;
    lifetime_limit(&lifetime, 0, 1, &now);
    assert_false(lifetime_is_due(&lifetime, UINT64_MAX));
    lifetime_limit(&lifetime, INT64_MAX, 1, &now); /* an end that does not fit the clock */
    assert_false(lifetime_is_due(&lifetime, UINT64_MAX));
}

static void it_is_over_once(void **state)
{
    struct lifetime lifetime = { 0 };
    struct lifetime_now now = after(0, 0);

    (void)state;
    lifetime_limit(&lifetime, START_S + 3600, 0, &now);
    assert_false(lifetime_is_due(&lifetime, after(HOUR_MS - 1, 0).reactor_ms));
    now = after(HOUR_MS, 0);
    assert_true(lifetime_is_due(&lifetime, now.reactor_ms));
    assert_true(lifetime_is_over(&lifetime, &now));
    assert_false(lifetime_is_due(&lifetime, UINT64_MAX));
}

static void a_certificate_that_has_ended_is_over_at_once(void **state)
{
    struct lifetime lifetime = { 0 };
    const struct lifetime_now now = after(0, 0);

    (void)state;
    lifetime_limit(&lifetime, START_S - 10, UINT32_MAX, &now);
    assert_true(lifetime_is_due(&lifetime, now.reactor_ms));
    assert_true(lifetime_is_over(&lifetime, &now));
}

/* The clock was set back by half an hour: the certificate has half an hour more. */
static void the_wall_clock_decides_when_the_timer_fires(void **state)
{
    struct lifetime lifetime = { 0 };
    struct lifetime_now now = after(0, 0);

    (void)state;
    lifetime_limit(&lifetime, START_S + 3600, 0, &now);
    now = after(HOUR_MS, -HOUR_MS / 2);
    assert_false(lifetime_is_over(&lifetime, &now));
    assert_int_equal(lifetime.due_ms, after(HOUR_MS + HOUR_MS / 2, 0).reactor_ms);
}

static void a_jump_forward_moves_the_end_and_not_its_spread(void **state)
{
    struct lifetime lifetime = { 0 };
    struct lifetime_now now = after(0, 0);

    (void)state;
    lifetime_limit(&lifetime, START_S + 3600, UINT32_MAX, &now);
    int64_t end_ms = lifetime.end_ms;
    now = after(0, HOUR_MS / 2);
    lifetime_limit(&lifetime, START_S + 3600, 0, &now);
    assert_int_equal(lifetime.end_ms, end_ms);
    assert_int_equal(lifetime.due_ms - now.reactor_ms, HOUR_MS / 2 - 59999);
}

static void another_certificate_sets_another_end(void **state)
{
    struct lifetime lifetime = { 0 };
    struct lifetime_now now = after(0, 0);

    (void)state;
    lifetime_limit(&lifetime, START_S + 10, 0, &now);
    lifetime_limit(&lifetime, START_S + 20, 0, &now);
    assert_int_equal(lifetime.due_ms - now.reactor_ms, 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_is_earlier_by_a_random_part_of_a_twentieth),
        cmocka_unit_test(nothing_is_due_without_a_limit),
        cmocka_unit_test(it_is_over_once),
        cmocka_unit_test(a_certificate_that_has_ended_is_over_at_once),
        cmocka_unit_test(the_wall_clock_decides_when_the_timer_fires),
        cmocka_unit_test(a_jump_forward_moves_the_end_and_not_its_spread),
        cmocka_unit_test(another_certificate_sets_another_end),
    };

    return cmocka_run_group_tests_name("lifetime", tests, NULL, NULL);
}
