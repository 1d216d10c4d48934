/* proxy/delivery/first_connection.c: a connection to the upstream without a message. */
#include "delivery/first_connection.h"

#include "delivery/dispatcher.h"
#include "support/budget.h"
#include "support/runtime.h"
#include "support/upstreams.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct fixture {
    struct runtime runtime;
    struct read_budget budget;
    struct chunk_ids chunk_ids;
    struct dispatcher dispatcher;
};

static struct fixture fixture;

static int set_up(void **state)
{
    struct fixture *f = &fixture;

    *f = (struct fixture) { .chunk_ids = { .seed = 1 } };
    runtime_open(&f->runtime);
    f->runtime.route.opens_first = true;
    read_budget_init(&f->budget, &budget_without_agents, f->runtime.route.retain_bytes,
                     &f->runtime.transport.metrics.messages.retained_bytes);
    dispatcher_init(&f->dispatcher, &(struct dispatcher_options) { .transport = &f->runtime.transport,
                                                                   .budget = &f->budget,
                                                                   .chunk_ids = &f->chunk_ids });
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    dispatcher_end(&f->dispatcher);
    dispatcher_deinit(&f->dispatcher);
    runtime_close(&f->runtime);
    return 0;
}

static struct dialer *dialer_of(struct fixture *f)
{
    return &f->runtime.transport.dialer;
}

static void resolve(struct fixture *f)
{
    runtime_set_endpoints(&f->runtime, (const uint16_t[]) { 1 }, NULL, 1);
    dispatcher_endpoints_changed(&f->dispatcher);
}

static void open_first(struct fixture *f)
{
    dispatcher_await_first(&f->dispatcher);
    dispatcher_endpoints_changed(&f->dispatcher);
}

static unsigned connections(const struct fixture *f)
{
    const struct upstream *upstream;
    unsigned count = 0;

    LIST_FOREACH (upstream, &f->dispatcher.pool.list, sibling)
        count++;
    return count;
}

static void back_off_passes(struct fixture *f)
{
    assert_int_not_equal(f->dispatcher.timer.fires_at_ms, 0);
    runtime_pass(&f->runtime, 5000);
    f->dispatcher.timer.on_fire(f->dispatcher.timer.owner);
}

static void it_is_dialled_when_an_address_is_known(void **state)
{
    struct fixture *f = *state;

    open_first(f);
    assert_int_equal(connections(f), 0);
    assert_true(dialer_last_outcome(dialer_of(f)).awaits_first);
    resolve(f);
    assert_int_equal(connections(f), 1);
    open_first(f);
    assert_int_equal(connections(f), 1);
    upstreams_make_last_ready(&f->dispatcher.pool);
    assert_false(dialer_last_outcome(dialer_of(f)).awaits_first);
}

static void it_is_not_dialled_unless_the_options_ask_for_it(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.opens_first = false;
    open_first(f);
    resolve(f);
    assert_int_equal(connections(f), 0);
    assert_false(dialer_awaits_first(dialer_of(f)));
}

static void it_is_dialled_again_until_a_dial_succeeds(void **state)
{
    struct fixture *f = *state;

    resolve(f);
    open_first(f);
    for (unsigned failed = 0; failed < 4; failed++) {
        upstream_end(LIST_FIRST(&f->dispatcher.pool.list), END_CONNECT_REFUSED);
        assert_true(dialer_awaits_first(dialer_of(f)));
        assert_int_equal(connections(f), 0);
        back_off_passes(f);
        assert_int_equal(connections(f), 1);
    }
    upstream_end(upstreams_make_last_ready(&f->dispatcher.pool), END_CLOSED);
    assert_int_equal(connections(f), 0);
}

static void a_connection_that_stays_in_use_is_enough(void **state)
{
    struct fixture *f = *state;

    resolve(f);
    open_first(f);
    struct upstream *upstream = upstreams_make_last_ready(&f->dispatcher.pool);
    open_first(f);
    assert_int_equal(connections(f), 1);
    assert_false(dialer_awaits_first(dialer_of(f)));
    upstream_retire(upstream, END_RETIRED);
    open_first(f);
    assert_int_equal(connections(f), 2);
    assert_true(dialer_awaits_first(dialer_of(f)));
}

static void a_late_refusal_makes_husk_dial_again(void **state)
{
    struct fixture *f = *state;

    resolve(f);
    open_first(f);
    upstream_end(upstreams_make_last_ready(&f->dispatcher.pool), END_TLS_REJECTED);
    assert_true(dialer_awaits_first(dialer_of(f)));
    assert_int_equal(connections(f), 0);
    back_off_passes(f);
    assert_int_equal(connections(f), 1);
}

static void nothing_is_dialled_while_the_route_drains(void **state)
{
    struct fixture *f = *state;

    resolve(f);
    open_first(f);
    dispatcher_drain(&f->dispatcher);
    upstream_end(LIST_FIRST(&f->dispatcher.pool.list), END_TLS_REJECTED);
    assert_int_equal(connections(f), 0);
    assert_false(dialer_awaits_first(dialer_of(f)));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_dialled_when_an_address_is_known),
        TEST(it_is_not_dialled_unless_the_options_ask_for_it),
        TEST(it_is_dialled_again_until_a_dial_succeeds),
        TEST(a_connection_that_stays_in_use_is_enough),
        TEST(a_late_refusal_makes_husk_dial_again),
        TEST(nothing_is_dialled_while_the_route_drains),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
