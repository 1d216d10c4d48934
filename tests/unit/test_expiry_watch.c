/* proxy/control/expiry_watch.c: what is told of the end of our own chain, and when. */
#include "control/expiry_watch.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

enum { DAY = 24 * 3600, BEGIN = 1000 * DAY, LIFE = 90 * DAY };

/* A chain whose leaf lives for LIFE. */
static const struct validity chain = { .leaf_begin = BEGIN, .leaf = BEGIN + LIFE };

/* What is told at `now`, since the epoch; NULL: nothing. */
static const char *look(struct expiry_watch *watch, const struct validity *validity, int64_t now)
{
    static char line[EXPIRY_LINE_BYTES];

    return expiry_watch_look(watch, validity, now, line) ? line : NULL;
}

static void expect(struct expiry_watch *watch, const struct validity *validity, int64_t now, const char *text)
{
    const char *line = look(watch, validity, now);

    assert_non_null(line);
    if (!strstr(line, text))
        fail_msg("%s", line);
    assert_null(look(watch, validity, now + 1));
}

static void the_stages_begin_at_a_third_and_at_a_tenth(void **state)
{
    (void)state;
    assert_int_equal(expiry_stage_of(0, 300, 0), EXPIRY_STAGE_LONG);
    assert_int_equal(expiry_stage_of(0, 300, 199), EXPIRY_STAGE_LONG);
    assert_int_equal(expiry_stage_of(0, 300, 200), EXPIRY_STAGE_THIRD);
    assert_int_equal(expiry_stage_of(0, 300, 269), EXPIRY_STAGE_THIRD);
    assert_int_equal(expiry_stage_of(0, 300, 270), EXPIRY_STAGE_TENTH);
    assert_int_equal(expiry_stage_of(0, 300, 299), EXPIRY_STAGE_TENTH);
    assert_int_equal(expiry_stage_of(0, 300, 300), EXPIRY_STAGE_OVER);
}

static void each_stage_is_told_once(void **state)
{
    struct expiry_watch watch = { 0 };

    (void)state;
    assert_null(look(&watch, &chain, BEGIN));
    assert_null(look(&watch, &chain, BEGIN + 59 * DAY));
    expect(&watch, &chain, BEGIN + 60 * DAY, "the own certificate ends at 1972-12-26T00:00:00Z: a third");
    assert_null(look(&watch, &chain, BEGIN + 80 * DAY));
    expect(&watch, &chain, BEGIN + 81 * DAY, "a tenth of its life is left, renew it");
    expect(&watch, &chain, BEGIN + 90 * DAY, "the own certificate ended at 1972-12-26T00:00:00Z");
}

static void the_last_stages_are_repeated_each_day(void **state)
{
    struct expiry_watch watch = { 0 };

    (void)state;
    expect(&watch, &chain, BEGIN + 85 * DAY, "a tenth");
    assert_null(look(&watch, &chain, BEGIN + 86 * DAY - 1));
    expect(&watch, &chain, BEGIN + 86 * DAY, "a tenth");
    assert_null(look(&watch, &chain, BEGIN + 50 * DAY)); /* the clock was set back */
}

static void a_renewal_is_told_if_the_end_was_told(void **state)
{
    const struct validity next = { .leaf_begin = BEGIN + 70 * DAY, .leaf = BEGIN + 160 * DAY };
    struct expiry_watch watch = { 0 };

    (void)state;
    assert_null(look(&watch, &chain, BEGIN));
    assert_null(look(&watch, &next, BEGIN + 71 * DAY)); /* in time */
    watch = (struct expiry_watch) { 0 };
    expect(&watch, &chain, BEGIN + 70 * DAY, "a third");
    expect(&watch, &next, BEGIN + 71 * DAY,
           "the own certificate was renewed and ends at 1973-03-06T00:00:00Z");
    assert_int_equal(watch.told, EXPIRY_STAGE_LONG);
    expect(&watch, &next, BEGIN + 155 * DAY, "a tenth");
}

/* Two certificates in a row that are in their last third. */
static void each_chain_is_told(void **state)
{
    const struct validity next = { .leaf_begin = BEGIN, .leaf = BEGIN + LIFE + DAY };
    struct expiry_watch watch = { 0 };

    (void)state;
    expect(&watch, &chain, BEGIN + 70 * DAY, "a third");
    expect(&watch, &next, BEGIN + 70 * DAY, "a third");
}

static void an_intermediate_that_ends_first_is_named(void **state)
{
    const struct validity validity = { .leaf_begin = BEGIN,
                                       .leaf = BEGIN + LIFE,
                                       .intermediates = BEGIN + DAY };
    struct expiry_watch watch = { 0 };

    (void)state;
    expect(&watch, &validity, BEGIN + 2 * DAY, "an intermediate of the own certificate ended");
}

static void a_side_without_a_certificate_has_nothing_to_tell(void **state)
{
    const struct validity none = { 0 };
    struct expiry_watch watch = { 0 };

    (void)state;
    expect(&watch, &chain, BEGIN + 89 * DAY, "a tenth");
    assert_null(look(&watch, &none, BEGIN + 89 * DAY));
    assert_int_equal(watch.end, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_stages_begin_at_a_third_and_at_a_tenth),
        cmocka_unit_test(each_stage_is_told_once),
        cmocka_unit_test(the_last_stages_are_repeated_each_day),
        cmocka_unit_test(a_renewal_is_told_if_the_end_was_told),
        cmocka_unit_test(each_chain_is_told),
        cmocka_unit_test(an_intermediate_that_ends_first_is_named),
        cmocka_unit_test(a_side_without_a_certificate_has_nothing_to_tell),
    };

    return cmocka_run_group_tests_name("expiry_watch", tests, NULL, NULL);
}
