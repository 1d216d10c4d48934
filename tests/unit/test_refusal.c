/* proxy/link/refusal.c: how long a refused peer is kept, and what ends it. */
#include "link/refusal.h"

#include "support/loop.h"
#include "support/runtime.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

static const char alert[] = "\x15\x03\x03\x00\x02\x02\x2a", data[] = "\x17\x03\x03\x03\x84";
static const char handshake[] = "\x16\x03\x03\x00\x01\x14";

struct fixture {
    struct runtime runtime;
    struct leg leg;
    int peer; /* the other end; -1: closed */
};

static struct fixture fixture;

static void on_ready(void *owner)
{
    (void)owner;
    fail_msg("the leg has been moved");
}

static int set_up(void **state)
{
    struct fixture *f = &fixture;
    struct reactor *reactor = &f->runtime.reactor;
    int ends[2];

    *f = (struct fixture) { 0 };
    runtime_open(&f->runtime);
    f->runtime.route.linger_timeout_ms = 60000;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends))
        return -1;
    f->peer = ends[0];
    leg_open(&f->leg, ends[1],
             &(struct leg_options) { .io = &reactor->io,
                                     .metrics = &f->runtime.transport.metrics.side[SIDE_DOWNSTREAM],
                                     .on_ready = on_ready });
    acceptor_count(&f->runtime.transport.acceptor, 1);
    leg_break(&f->leg, END_CERTIFICATE_EXPIRED);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    refusals_close(&f->runtime.transport.refusals);
    assert_int_equal(acceptor_connections(&f->runtime.transport.acceptor), 0);
    if (f->peer >= 0)
        close(f->peer);
    runtime_close(&f->runtime);
    return 0;
}

static void take(struct fixture *f, struct flight flight)
{
    assert_true(refusals_take(&f->runtime.transport.refusals, &f->leg, &flight));
    assert_int_equal(f->leg.fd, -1);
}

static void expect_open(struct fixture *f, unsigned count)
{
    assert_int_equal(acceptor_connections(&f->runtime.transport.acceptor), count);
}

static void say(struct fixture *f, const char *bytes, size_t length)
{
    assert_int_equal(write(f->peer, bytes, length), length);
}

static void an_alert_that_waits_goes_with_the_connection(void **state)
{
    struct fixture *f = *state;
    char heard[16];

    assert_true(buffer_append(&f->leg.unsent, alert, sizeof alert - 1));
    take(f, (struct flight) { 0 });
    assert_int_equal(read(f->peer, heard, sizeof heard), sizeof alert - 1);
    assert_memory_equal(heard, alert, sizeof alert - 1);
    assert_int_equal(read(f->peer, heard, sizeof heard), 0);
    expect_open(f, 1);
}

static void the_rest_of_a_handshake_is_discarded(void **state)
{
    struct fixture *f = *state;

    take(f, (struct flight) { 0 });
    for (unsigned i = 0; i < 3; i++) {
        say(f, handshake, sizeof handshake - 1);
        loop_turn(f->runtime.reactor.loop);
        expect_open(f, 1);
    }
}

static void data_ends_it(void **state)
{
    struct fixture *f = *state;

    take(f, (struct flight) { 0 });
    say(f, handshake, sizeof handshake - 1);
    say(f, data, sizeof data - 1);
    loop_turn(f->runtime.reactor.loop);
    expect_open(f, 0);
}

static void data_that_came_before_ends_it_at_once(void **state)
{
    struct fixture *f = *state;

    take(f, (struct flight) { .has_data = true });
    expect_open(f, 0);
}

static void data_that_waits_in_the_socket_ends_it_at_once(void **state)
{
    struct fixture *f = *state;

    say(f, data, sizeof data - 1);
    take(f, (struct flight) { 0 });
    expect_open(f, 0);
}

static void the_end_of_the_peer_ends_it(void **state)
{
    struct fixture *f = *state;

    take(f, (struct flight) { 0 });
    close(f->peer);
    f->peer = -1;
    loop_turn(f->runtime.reactor.loop);
    expect_open(f, 0);
}

static void data_after_a_good_handshake_is_discarded(void **state)
{
    struct fixture *f = *state;

    assert_true(refusals_take(&f->runtime.transport.refusals, &f->leg, NULL));
    for (unsigned i = 0; i < 2; i++) {
        say(f, data, sizeof data - 1);
        loop_turn(f->runtime.reactor.loop);
        expect_open(f, 1);
    }
    close(f->peer);
    f->peer = -1;
    loop_turn(f->runtime.reactor.loop);
    expect_open(f, 0);
}

static void a_silent_peer_is_kept_for_the_linger_timeout(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.linger_timeout_ms = 20;
    take(f, (struct flight) { 0 });
    expect_open(f, 1);
    while (acceptor_connections(&f->runtime.transport.acceptor))
        loop_turn(f->runtime.reactor.loop);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_alert_that_waits_goes_with_the_connection),
        TEST(the_rest_of_a_handshake_is_discarded),
        TEST(data_ends_it),
        TEST(data_that_came_before_ends_it_at_once),
        TEST(data_that_waits_in_the_socket_ends_it_at_once),
        TEST(the_end_of_the_peer_ends_it),
        TEST(data_after_a_good_handshake_is_discarded),
        TEST(a_silent_peer_is_kept_for_the_linger_timeout),
    };

    return cmocka_run_group_tests_name("refusal", tests, NULL, NULL);
}
