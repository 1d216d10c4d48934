/* proxy/control/drain.c: when a drain is over. The signals: tests/scenario/test_lifecycle.py. */
#include "control/drain.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct drain begun(uint64_t timeout_ms, uint64_t quiet_ms)
{
    struct drain drain = { .options = { .timeout_ms = timeout_ms, .quiet_ms = quiet_ms } };
    const struct drain_activity activity = { .count = 7 };

    drain_begin(&drain, &activity, 1000);
    return drain;
}

static bool is_over(struct drain *drain, uint64_t count, bool has_unsettled, uint64_t now_ms)
{
    const struct drain_activity activity = { .count = count, .has_unsettled = has_unsettled };

    drain_note(drain, &activity, now_ms);
    return drain_is_over(drain, now_ms);
}

static void a_drain_is_over_once_it_has_been_quiet(void **state)
{
    struct drain drain = begun(30000, 2000);

    (void)state;
    assert_true(drain.is_draining);
    assert_false(is_over(&drain, 7, false, 2999));
    assert_true(is_over(&drain, 7, false, 3000));
}

static void activity_begins_the_quiet_time_again(void **state)
{
    struct drain drain = begun(30000, 2000);

    (void)state;
    assert_false(is_over(&drain, 8, false, 2999));
    assert_false(is_over(&drain, 8, false, 4998));
    assert_true(is_over(&drain, 8, false, 4999));
}

static void unsettled_messages_are_waited_for_until_the_deadline(void **state)
{
    struct drain drain = begun(30000, 2000);

    (void)state;
    assert_false(is_over(&drain, 7, true, 20000));
    assert_false(is_over(&drain, 7, true, 30999));
    assert_true(is_over(&drain, 7, true, 31000));
}

static void the_deadline_ends_a_drain_that_is_never_quiet(void **state)
{
    struct drain drain = begun(5000, 2000);

    (void)state;
    for (uint64_t i = 0; i < 5; i++)
        assert_false(is_over(&drain, 8 + i, false, 1000 + 1000 * i));
    assert_true(is_over(&drain, 20, false, 6000));
}

static void without_a_quiet_time_a_drain_is_over_at_once(void **state)
{
    struct drain drain = begun(5000, 0);

    (void)state;
    assert_true(is_over(&drain, 7, false, 1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_drain_is_over_once_it_has_been_quiet),
        cmocka_unit_test(activity_begins_the_quiet_time_again),
        cmocka_unit_test(unsettled_messages_are_waited_for_until_the_deadline),
        cmocka_unit_test(the_deadline_ends_a_drain_that_is_never_quiet),
        cmocka_unit_test(without_a_quiet_time_a_drain_is_over_at_once),
    };

    return cmocka_run_group_tests_name("drain", tests, NULL, NULL);
}
