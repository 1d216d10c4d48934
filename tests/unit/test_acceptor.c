/* proxy/link/acceptor.c: how many connections and handshakes there are, and when there are too many. */
#include "link/acceptor.h"

#include "support/runtime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MAX_CONNECTIONS = 4, MAX_HANDSHAKES = 2 };

struct fixture {
    struct runtime runtime;
    struct acceptor acceptor;
    struct task task;
    struct tls_handshake handshakes[MAX_HANDSHAKES];
    unsigned changes;
};

static struct fixture fixture;

static void on_change(void *owner)
{
    ((struct fixture *)owner)->changes++;
}

static int set_up(void **state)
{
    fixture = (struct fixture) { 0 };
    runtime_open(&fixture.runtime);
    fixture.runtime.route.max_connections = MAX_CONNECTIONS;
    fixture.runtime.route.max_handshakes = MAX_HANDSHAKES;
    acceptor_init(&fixture.acceptor, &fixture.runtime.reactor, &fixture.runtime.route, NULL);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    acceptor_deinit(&f->acceptor);
    runtime_close(&f->runtime);
    return 0;
}

static void begin_handshake(struct fixture *f, unsigned i)
{
    acceptor_begin_handshake(&f->acceptor, &f->handshakes[i], &f->task);
}

static void connections_and_handshakes_are_counted(void **state)
{
    struct fixture *f = *state;

    acceptor_count(&f->acceptor, 1); /* nobody is told yet */
    acceptor_observe(&f->acceptor, on_change, f);
    begin_handshake(f, 0);
    assert_int_equal(f->changes, 1);
    assert_int_equal(f->acceptor.handshakes.count, 1);
    acceptor_advance_handshake(&f->acceptor, &f->handshakes[0], (struct tls_progress) { 300, 1 });
    assert_int_equal(f->changes, 2);
    acceptor_end_handshake(&f->acceptor, &f->handshakes[0]);
    assert_int_equal(f->changes, 3);
    assert_int_equal(f->acceptor.handshakes.count, 0);
    assert_int_equal(acceptor_connections(&f->acceptor), 1);
    acceptor_count(&f->acceptor, -1);
    assert_int_equal(acceptor_connections(&f->acceptor), 0);
    assert_int_equal(f->changes, 4);
}

static void a_reserved_connection_counts_until_it_arrives(void **state)
{
    struct fixture *f = *state;

    acceptor_observe(&f->acceptor, on_change, f);
    acceptor_count(&f->acceptor, MAX_CONNECTIONS - 1);
    assert_false(acceptor_is_full(&f->acceptor));
    acceptor_reserve(&f->acceptor);
    assert_int_equal(acceptor_connections(&f->acceptor), MAX_CONNECTIONS);
    assert_true(acceptor_is_full(&f->acceptor));
    acceptor_unreserve(&f->acceptor);
    assert_false(acceptor_is_full(&f->acceptor));
    assert_int_equal(f->changes, 1); /* another thread must not call on_change */
}

static void a_reserved_connection_that_arrives_is_counted_once(void **state)
{
    struct fixture *f = *state;

    acceptor_reserve(&f->acceptor);
    acceptor_claim(&f->acceptor);
    assert_int_equal(acceptor_connections(&f->acceptor), 1);
    acceptor_count(&f->acceptor, 1);
    assert_int_equal(acceptor_connections(&f->acceptor), 1);
    acceptor_unclaim(&f->acceptor);
    assert_int_equal(acceptor_connections(&f->acceptor), 1);
    acceptor_count(&f->acceptor, 1);
    assert_int_equal(acceptor_connections(&f->acceptor), 2);
    acceptor_count(&f->acceptor, -1);
    acceptor_count(&f->acceptor, -1);
}

static void a_reserved_connection_that_is_lost_is_counted_no_more(void **state)
{
    struct fixture *f = *state;

    acceptor_reserve(&f->acceptor);
    acceptor_claim(&f->acceptor);
    acceptor_unclaim(&f->acceptor);
    assert_int_equal(acceptor_connections(&f->acceptor), 0);
    acceptor_count(&f->acceptor, 1);
    assert_int_equal(acceptor_connections(&f->acceptor), 1);
    acceptor_count(&f->acceptor, -1);
}

static void handshakes_alone_can_fill_it(void **state)
{
    struct fixture *f = *state;

    acceptor_count(&f->acceptor, MAX_HANDSHAKES);
    begin_handshake(f, 0);
    assert_false(acceptor_is_full(&f->acceptor));
    begin_handshake(f, 1);
    assert_true(acceptor_is_full(&f->acceptor));
    acceptor_end_handshake(&f->acceptor, &f->handshakes[0]);
    assert_false(acceptor_is_full(&f->acceptor));
    acceptor_count(&f->acceptor, MAX_CONNECTIONS - MAX_HANDSHAKES);
    assert_true(acceptor_is_full(&f->acceptor)); /* by connections */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(connections_and_handshakes_are_counted),
        TEST(a_reserved_connection_counts_until_it_arrives),
        TEST(a_reserved_connection_that_arrives_is_counted_once),
        TEST(a_reserved_connection_that_is_lost_is_counted_no_more),
        TEST(handshakes_alone_can_fill_it),
    };

    return cmocka_run_group_tests_name("acceptor", tests, NULL, NULL);
}
