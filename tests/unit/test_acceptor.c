/* proxy/link/acceptor.c: how many connections and handshakes there are, and when there are too many. */
#include "link/acceptor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MAX_CONNECTIONS = 4, MAX_HANDSHAKES = 2, ACCEPTED_MS = 5000 };

struct fixture {
    struct route_options route;
    struct acceptor acceptor;
    unsigned changes;
};

static struct fixture fixture;

static void on_change(void *owner)
{
    ((struct fixture *)owner)->changes++;
}

static int set_up(void **state)
{
    fixture = (struct fixture) { .route = { .max_connections = MAX_CONNECTIONS,
                                            .max_handshakes = MAX_HANDSHAKES,
                                            .handshake_timeout_ms = 10000 } };
    acceptor_init(&fixture.acceptor, NULL, &fixture.route, NULL);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    acceptor_deinit(&((struct fixture *)*state)->acceptor);
    return 0;
}

static void connections_and_handshakes_are_counted(void **state)
{
    struct fixture *f = *state;

    acceptor_count(&f->acceptor, 1, 1); /* nobody is told yet */
    acceptor_observe(&f->acceptor, on_change, f);
    acceptor_count(&f->acceptor, 1, 0);
    acceptor_count(&f->acceptor, 0, -1);
    assert_int_equal(f->changes, 2);
    assert_int_equal(acceptor_connections(&f->acceptor), 2);
    assert_int_equal(f->acceptor.handshakes, 0);
    acceptor_count(&f->acceptor, -1, 0);
    acceptor_count(&f->acceptor, -1, 0);
    assert_int_equal(acceptor_connections(&f->acceptor), 0);
    assert_int_equal(f->changes, 4);
}

static void a_reserved_connection_counts_until_it_arrives(void **state)
{
    struct fixture *f = *state;

    acceptor_observe(&f->acceptor, on_change, f);
    acceptor_count(&f->acceptor, MAX_CONNECTIONS - 1, 0);
    assert_false(acceptor_is_full(&f->acceptor));
    acceptor_reserve(&f->acceptor);
    assert_int_equal(acceptor_connections(&f->acceptor), MAX_CONNECTIONS);
    assert_true(acceptor_is_full(&f->acceptor));
    acceptor_unreserve(&f->acceptor);
    assert_false(acceptor_is_full(&f->acceptor));
    assert_int_equal(f->changes, 1); /* another thread must not call on_change */
}

static void handshakes_alone_can_fill_it(void **state)
{
    struct fixture *f = *state;

    acceptor_count(&f->acceptor, MAX_HANDSHAKES - 1, MAX_HANDSHAKES - 1);
    assert_false(acceptor_handshakes_are_full(&f->acceptor));
    acceptor_count(&f->acceptor, 1, 1);
    assert_true(acceptor_handshakes_are_full(&f->acceptor));
    assert_true(acceptor_is_full(&f->acceptor));
    acceptor_count(&f->acceptor, MAX_CONNECTIONS - MAX_HANDSHAKES, -1);
    assert_false(acceptor_handshakes_are_full(&f->acceptor));
    assert_true(acceptor_is_full(&f->acceptor)); /* by connections */
}

static void a_handshake_has_less_time_while_others_wait(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(acceptor_handshake_deadline_ms(&f->acceptor, ACCEPTED_MS), ACCEPTED_MS + 10000);
    acceptor_count(&f->acceptor, MAX_HANDSHAKES, MAX_HANDSHAKES);
    assert_int_equal(acceptor_handshake_deadline_ms(&f->acceptor, ACCEPTED_MS),
                     ACCEPTED_MS + ACCEPTOR_FULL_HANDSHAKE_MS);
    f->route.handshake_timeout_ms = ACCEPTOR_FULL_HANDSHAKE_MS / 2; /* never more than without them */
    assert_int_equal(acceptor_handshake_deadline_ms(&f->acceptor, ACCEPTED_MS),
                     ACCEPTED_MS + ACCEPTOR_FULL_HANDSHAKE_MS / 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(connections_and_handshakes_are_counted),
        TEST(a_reserved_connection_counts_until_it_arrives),
        TEST(handshakes_alone_can_fill_it),
        TEST(a_handshake_has_less_time_while_others_wait),
    };

    return cmocka_run_group_tests_name("acceptor", tests, NULL, NULL);
}
