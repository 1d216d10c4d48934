/* proxy/delivery/read_proof.c, over TCP on loopback: which end of a peer proves that it has read everything.
 */
#include "delivery/read_proof.h"

#include "support/addresses.h"
#include "support/runtime.h"
#include "wire/socket.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_MS = 10000 };

struct fixture {
    struct runtime runtime;
    struct side_metrics metrics;
    struct leg leg;
    struct buffer incoming;
    int peer;
};

static struct fixture fixture;

static void on_ready(void *owner)
{
    (void)owner;
}

static int set_up(void **state)
{
    struct fixture *f = &fixture;
    struct socket_address address = addresses_parse("127.0.0.1:0");
    enum end_reason reason = END_NONE;
    struct fault fault;

    *f = (struct fixture) { 0 };
    runtime_open(&f->runtime);
    int listener = socket_listen(&address, SOCKET_EXCLUSIVE, NULL, &fault);
    assert_true(listener >= 0);
    address = socket_local_address(listener);
    int fd = socket_connect(&address, 0, &reason);
    assert_true(fd >= 0);
    struct pollfd arrival = { .fd = listener, .events = POLLIN };
    assert_int_equal(poll(&arrival, 1, WAIT_MS), 1);
    f->peer = accept(listener, NULL, NULL);
    assert_true(f->peer >= 0);
    close(listener);
    leg_open(
        &f->leg, fd,
        &(struct leg_options) { .io = &f->runtime.reactor.io, .metrics = &f->metrics, .on_ready = on_ready });
    buffer_init(&f->incoming, &f->runtime.reactor.pool);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    if (f->peer >= 0)
        close(f->peer);
    buffer_clear(&f->incoming);
    leg_close(&f->leg, LEG_CLOSE);
    runtime_close(&f->runtime);
    return 0;
}

static void send_bytes(struct fixture *f)
{
    struct buffer out;

    buffer_init(&out, &f->runtime.reactor.pool);
    assert_true(buffer_append(&out, "message", 7));
    (void)leg_write(&f->leg, &out);
    assert_int_equal(out.length, 0);
}

/* The peer reads `bytes` bytes. */
static void peer_read(struct fixture *f, size_t bytes)
{
    char byte;

    for (size_t i = 0; i < bytes; i++)
        assert_int_equal(read(f->peer, &byte, 1), 1);
}

static void peer_close(struct fixture *f)
{
    close(f->peer);
    f->peer = -1;
}

/* The result once an event has come. */
static enum read_proof_result result_of(struct fixture *f)
{
    struct pollfd event = { .fd = f->leg.fd, .events = POLLIN };

    assert_int_equal(poll(&event, 1, WAIT_MS), 1);
    f->leg.drained = false;
    while (leg_read(&f->leg, &f->incoming, 1 << 16) == LEG_MOVED)
        ;
    return read_proof_check(&f->leg);
}

static void a_peer_that_has_read_all_and_closes_proves_it(void **state)
{
    struct fixture *f = *state;
    char byte;

    send_bytes(f);
    read_proof_begin(&f->leg);
    assert_int_equal(read_proof_check(&f->leg), READ_PROOF_OPEN);
    peer_read(f, 7);
    assert_int_equal(read(f->peer, &byte, 1), 0); /* our end has come */
    peer_close(f);
    assert_int_equal(result_of(f), READ_PROOF_GIVEN);
}

static void a_peer_that_closes_with_bytes_unread_proves_nothing(void **state)
{
    struct fixture *f = *state;

    send_bytes(f);
    read_proof_begin(&f->leg);
    peer_read(f, 6);
    peer_close(f);
    assert_int_equal(result_of(f), READ_PROOF_MISSING);
}

static void a_peer_that_resets_proves_nothing(void **state)
{
    struct fixture *f = *state;

    send_bytes(f);
    read_proof_begin(&f->leg);
    peer_read(f, 7);
    socket_close_by_reset(f->peer);
    f->peer = -1;
    assert_int_equal(result_of(f), READ_PROOF_MISSING);
}

/* Only its system takes the bytes: the program may be stopped. */
static void a_silent_peer_proves_nothing(void **state)
{
    struct fixture *f = *state;

    send_bytes(f);
    read_proof_begin(&f->leg);
    assert_int_equal(leg_read(&f->leg, &f->incoming, 1 << 16), LEG_WAITING);
    assert_int_equal(read_proof_check(&f->leg), READ_PROOF_OPEN);
}

static void later_bytes_of_the_peer_are_read(void **state)
{
    struct fixture *f = *state;

    send_bytes(f);
    read_proof_begin(&f->leg);
    assert_int_equal(write(f->peer, "ack", 3), 3);
    assert_int_equal(result_of(f), READ_PROOF_OPEN);
    assert_int_equal(f->incoming.length, 3);
    peer_read(f, 7);
    peer_close(f);
    assert_int_equal(result_of(f), READ_PROOF_GIVEN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_peer_that_has_read_all_and_closes_proves_it),
        TEST(a_peer_that_closes_with_bytes_unread_proves_nothing),
        TEST(a_peer_that_resets_proves_nothing),
        TEST(a_silent_peer_proves_nothing),
        TEST(later_bytes_of_the_peer_are_read),
    };

    return cmocka_run_group_tests_name("read_proof", tests, NULL, NULL);
}
