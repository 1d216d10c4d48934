/* proxy/control/source_limit.c: how often each source is answered, and how many sources are remembered. */
#include "control/source_limit.h"

#include "support/addresses.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>

enum { PER_SECOND = 5, BURST = PER_SECOND * SOURCE_LIMIT_BURST_MS / 1000, START_MS = 1000000 };

static unsigned admitted(struct source_limit *limit, const char *source, unsigned times, uint64_t now_ms)
{
    const struct socket_address address = addresses_parse(source);
    unsigned count = 0;

    for (unsigned i = 0; i < times; i++)
        count += source_limit_admit(limit, &address, now_ms);
    return count;
}

static void a_source_has_a_burst_and_then_its_rate(void **state)
{
    struct source_limit limit;

    (void)state;
    source_limit_init(&limit, PER_SECOND);
    assert_int_equal(admitted(&limit, "10.0.0.1:5000", 100, START_MS), BURST);
    assert_int_equal(admitted(&limit, "10.0.0.1:5000", 100, START_MS + 199), 0);
    assert_int_equal(admitted(&limit, "10.0.0.1:5000", 100, START_MS + 200), 1);
    assert_int_equal(admitted(&limit, "10.0.0.1:5000", 100, START_MS + 1200), PER_SECOND);
    assert_int_equal(admitted(&limit, "10.0.0.1:5000", 100, START_MS + 60000), BURST);
    source_limit_deinit(&limit);
}

static void an_agent_that_asks_once_a_second_is_always_answered(void **state)
{
    struct source_limit limit;

    (void)state;
    source_limit_init(&limit, 1);
    for (unsigned second = 0; second < 600; second++)
        assert_int_equal(admitted(&limit, "[2001:db8::1]:5000", 1, START_MS + 1000 * second), 1);
    source_limit_deinit(&limit);
}

static void address_family_address_and_port_make_a_source(void **state)
{
    static const char *const sources[] = { "10.0.0.1:5000", "10.0.0.1:5001", "10.0.0.2:5000",
                                           "[a00:1::]:5000", "[::1]:5000" };
    struct source_limit limit;

    (void)state;
    source_limit_init(&limit, PER_SECOND);
    for (unsigned i = 0; i < sizeof sources / sizeof *sources; i++)
        assert_int_equal(admitted(&limit, sources[i], 100, START_MS), BURST);
    for (unsigned i = 0; i < sizeof sources / sizeof *sources; i++)
        assert_int_equal(admitted(&limit, sources[i], 100, START_MS), 0);
    source_limit_deinit(&limit);
}

static void many_agents_at_one_address_are_all_answered(void **state)
{
    struct source_limit limit;

    (void)state;
    source_limit_init(&limit, 1);
    for (unsigned second = 0; second < 10; second++) {
        for (unsigned port = 1; port < 60000; port += 10) {
            struct socket_address source = addresses_at_port((uint16_t)port);
            assert_true(source_limit_admit(&limit, &source, START_MS + 1000 * second));
        }
    }
    source_limit_deinit(&limit);
}

static void a_source_at_its_limit_is_remembered_among_many(void **state)
{
    struct source_limit limit;

    (void)state;
    source_limit_init(&limit, PER_SECOND);
    assert_int_equal(admitted(&limit, "10.0.0.1:5000", 100, START_MS), BURST);
    for (unsigned port = 1; port <= SOURCE_LIMIT_SOURCES / 4; port++) {
        struct socket_address source = addresses_at_port((uint16_t)port);
        assert_true(source_limit_admit(&limit, &source, START_MS));
    }
    assert_int_equal(admitted(&limit, "10.0.0.1:5000", 100, START_MS), 0);
    source_limit_deinit(&limit);
}

static void without_a_limit_all_are_admitted(void **state)
{
    struct source_limit limit;

    (void)state;
    source_limit_init(&limit, 0);
    assert_int_equal(admitted(&limit, "10.0.0.1:5000", 1000, START_MS), 1000);
    source_limit_deinit(&limit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_source_has_a_burst_and_then_its_rate),
        cmocka_unit_test(an_agent_that_asks_once_a_second_is_always_answered),
        cmocka_unit_test(address_family_address_and_port_make_a_source),
        cmocka_unit_test(many_agents_at_one_address_are_all_answered),
        cmocka_unit_test(a_source_at_its_limit_is_remembered_among_many),
        cmocka_unit_test(without_a_limit_all_are_admitted),
    };

    return cmocka_run_group_tests_name("source_limit", tests, NULL, NULL);
}
