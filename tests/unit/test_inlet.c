/* proxy/link/inlet.c: what an accepted plaintext connection is worth before anybody reads from it. */
#include "link/inlet.h"

#include "support/addresses.h"
#include "support/runtime.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

struct fixture {
    struct runtime runtime;
    struct task task;
    struct inlet inlet;
    struct buffer received;
    int peer; /* the other end; -1: closed */
};

static struct fixture fixture;

static void on_run(void *task)
{
    (void)task;
}

static int set_up(void **state)
{
    struct fixture *f = &fixture;
    struct socket_address peer = addresses_at_port(1);
    int ends[2];

    *f = (struct fixture) { .task = { .run = on_run } };
    runtime_open(&f->runtime);
    buffer_init(&f->received, &f->runtime.reactor.pool);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends))
        return -1;
    f->peer = ends[0];
    inlet_open(&f->inlet, &f->runtime.transport, ends[1], &peer, &f->task);
    *state = f;
    return 0;
}

static void peer_close(struct fixture *f)
{
    if (f->peer >= 0)
        close(f->peer);
    f->peer = -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    inlet_close(&f->inlet, LEG_CLOSE);
    assert_int_equal(acceptor_connections(&f->runtime.transport.acceptor), 0);
    peer_close(f);
    buffer_clear(&f->received);
    runtime_close(&f->runtime);
    return 0;
}

static enum end_reason advance(struct fixture *f)
{
    return inlet_advance(&f->inlet, &f->received).reason;
}

static void a_plaintext_connection_waits_and_is_counted(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(f->inlet.state, INLET_WAITING);
    assert_int_equal(acceptor_connections(&f->runtime.transport.acceptor), 1);
    assert_int_equal(f->runtime.transport.acceptor.handshakes.count, 0);
    assert_int_equal(metrics_read(&f->runtime.transport.metrics.side[SIDE_DOWNSTREAM].opened), 1);
    assert_int_equal(f->inlet.deadline_ms, f->runtime.reactor.now_ms + f->runtime.route.dial_delay_ms);
    assert_int_equal(advance(f), END_NONE);
    assert_int_equal(f->inlet.state, INLET_WAITING);
    assert_int_equal(inlet_poll(&f->inlet, &f->received), INLET_SILENT);
}

static void the_first_byte_makes_it_ready_and_stays_unread(void **state)
{
    struct fixture *f = *state;
    char byte;

    assert_int_equal(write(f->peer, "x", 1), 1);
    assert_int_equal(inlet_poll(&f->inlet, &f->received), INLET_HAS_DATA);
    assert_int_equal(advance(f), END_NONE);
    assert_int_equal(f->inlet.state, INLET_READY);
    assert_int_equal(f->inlet.deadline_ms, 0);
    assert_int_equal(f->received.length, 0);
    assert_int_equal(read(f->inlet.leg.fd, &byte, 1), 1);
}

static void a_silent_peer_is_worth_a_dial_after_the_delay(void **state)
{
    struct fixture *f = *state;

    runtime_pass(&f->runtime, f->runtime.route.dial_delay_ms - 1);
    assert_int_equal(advance(f), END_NONE);
    assert_int_equal(f->inlet.state, INLET_WAITING);
    runtime_pass(&f->runtime, 1);
    assert_int_equal(advance(f), END_NONE);
    assert_int_equal(f->inlet.state, INLET_READY);
}

static void a_peer_that_closes_without_a_byte_is_a_probe(void **state)
{
    struct fixture *f = *state;

    peer_close(f);
    assert_int_equal(inlet_poll(&f->inlet, &f->received), INLET_GONE);
    assert_int_equal(advance(f), END_PROBE);
}

static void a_peer_that_closes_during_the_dial_has_left(void **state)
{
    struct fixture *f = *state;

    runtime_pass(&f->runtime, f->runtime.route.dial_delay_ms);
    assert_int_equal(advance(f), END_NONE);
    peer_close(f);
    assert_int_equal(inlet_poll(&f->inlet, &f->received), INLET_GONE);
    assert_int_equal(inlet_departure(&f->inlet), END_LEFT);
}

static void a_peer_that_writes_and_closes_has_data(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(write(f->peer, "x", 1), 1);
    peer_close(f);
    assert_int_equal(advance(f), END_NONE);
    assert_int_equal(f->inlet.state, INLET_READY);
    assert_int_equal(inlet_poll(&f->inlet, &f->received), INLET_HAS_DATA);
}

static void a_broken_leg_ends_the_inlet_for_its_reason(void **state)
{
    struct fixture *f = *state;

    leg_break(&f->inlet.leg, END_NO_MEMORY);
    assert_int_equal(advance(f), END_NO_MEMORY);
    assert_int_equal(inlet_departure(&f->inlet), END_NO_MEMORY);
}

static void a_reset_before_the_first_byte_is_a_probe(void **state)
{
    struct fixture *f = *state;

    leg_break(&f->inlet.leg, END_RESET);
    assert_int_equal(inlet_departure(&f->inlet), END_PROBE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_plaintext_connection_waits_and_is_counted),
        TEST(the_first_byte_makes_it_ready_and_stays_unread),
        TEST(a_silent_peer_is_worth_a_dial_after_the_delay),
        TEST(a_peer_that_closes_without_a_byte_is_a_probe),
        TEST(a_peer_that_closes_during_the_dial_has_left),
        TEST(a_peer_that_writes_and_closes_has_data),
        TEST(a_broken_leg_ends_the_inlet_for_its_reason),
        TEST(a_reset_before_the_first_byte_is_a_probe),
    };

    return cmocka_run_group_tests_name("inlet", tests, NULL, NULL);
}
