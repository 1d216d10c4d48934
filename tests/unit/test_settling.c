/* proxy/control/settling.c: when files that change are loaded. */
#include "control/settling.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { TIMEOUT_MS = 2000 };

static struct settling files_loaded(void)
{
    struct settling settling = { .timeout_ms = TIMEOUT_MS };

    settling_note(&settling, 1);
    return settling;
}

static void files_that_do_not_change_are_not_loaded(void **state)
{
    struct settling settling = files_loaded();

    (void)state;
    for (uint64_t now = 0; now <= 3 * TIMEOUT_MS; now += TIMEOUT_MS) {
        assert_false(settling_look(&settling, 1, now));
        assert_false(settling_is_changing(&settling));
        assert_false(settling_is_overdue(&settling, now));
    }
}

static void a_change_is_loaded_when_two_looks_find_it(void **state)
{
    struct settling settling = files_loaded();

    (void)state;
    assert_false(settling_look(&settling, 2, 100));
    assert_true(settling_is_changing(&settling));
    assert_false(settling_look(&settling, 3, 200)); /* changed again */
    assert_true(settling_look(&settling, 3, 300));
    settling_note(&settling, 3);
    assert_false(settling_is_changing(&settling));
    assert_false(settling_look(&settling, 3, 400));
}

static void a_change_back_is_no_change(void **state)
{
    struct settling settling = files_loaded();

    (void)state;
    assert_false(settling_look(&settling, 2, 100));
    assert_false(settling_look(&settling, 1, 200));
    assert_false(settling_is_changing(&settling));
    assert_false(settling_look(&settling, 2, 50 + TIMEOUT_MS)); /* the time begins anew */
    assert_false(settling_look(&settling, 3, 49 + 2 * TIMEOUT_MS));
    assert_true(settling_look(&settling, 4, 50 + 2 * TIMEOUT_MS));
}

/* Each look finds another stamp. */
static void files_that_never_rest_are_loaded_each_timeout(void **state)
{
    struct settling settling = files_loaded();
    uint64_t stamp = 2, now = 100;

    (void)state;
    for (int load = 0; load < 3; load++) {
        for (int look = 0; look < TIMEOUT_MS / 100; look++, now += 100) {
            assert_false(settling_look(&settling, stamp++, now));
            assert_false(settling_is_overdue(&settling, now));
        }
        assert_true(settling_is_overdue(&settling, now));
        assert_true(settling_look(&settling, stamp, now));
        settling_note(&settling, stamp++);
        assert_false(settling_is_overdue(&settling, now));
        now += 100;
    }
}

/* A look finds nothing between two changes; the next look comes after the timeout. */
static void looks_that_are_rarer_than_the_timeout_load_at_the_second_look(void **state)
{
    struct settling settling = files_loaded();

    (void)state;
    assert_false(settling_look(&settling, 2, 10000));
    assert_true(settling_look(&settling, 3, 20000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_that_do_not_change_are_not_loaded),
        cmocka_unit_test(a_change_is_loaded_when_two_looks_find_it),
        cmocka_unit_test(a_change_back_is_no_change),
        cmocka_unit_test(files_that_never_rest_are_loaded_each_timeout),
        cmocka_unit_test(looks_that_are_rarer_than_the_timeout_load_at_the_second_look),
    };

    return cmocka_run_group_tests_name("settling", tests, NULL, NULL);
}
