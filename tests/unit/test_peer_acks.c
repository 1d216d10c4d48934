/* proxy/delivery/peer_acks.c, over TCP on loopback: what husk concludes about an address without acks. */
#include "delivery/peer_acks.h"

#include "support/addresses.h"
#include "support/messages.h"
#include "support/runtime.h"
#include "wire/socket.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_MS = 10000, NEEDED = 2, LINGER_MS = 1000 };

struct fixture {
    struct runtime runtime;
    struct endpoint_stats stats; /* of the address */
    struct endpoint endpoint;
    struct outlet outlet;
    struct upstream_stream stream;
    struct peer_acks acks;
    int listener, peer;
};

static struct fixture fixture;

static void on_run(void *task)
{
    (void)task;
}

static void on_ready(void *owner)
{
    (void)owner;
}

/* A new connection to the address. */
static void connect_peer(struct fixture *f)
{
    static struct task task = { .run = on_run };
    struct socket_address address = socket_local_address(f->listener);
    struct pollfd arrival = { .fd = f->listener, .events = POLLIN };
    enum end_reason reason = END_NONE;
    int fd = socket_connect(&address, 0, &reason);

    assert_true(fd >= 0);
    assert_int_equal(poll(&arrival, 1, WAIT_MS), 1);
    f->peer = accept(f->listener, NULL, NULL);
    assert_true(f->peer >= 0);
    outlet_open(&f->outlet, &f->runtime.transport.dialer, &task);
    leg_open(&f->outlet.leg, fd,
             &(struct leg_options) { .io = &f->runtime.reactor.io,
                                     .metrics = &f->runtime.transport.metrics.side[SIDE_UPSTREAM],
                                     .on_ready = on_ready });
    f->outlet.endpoint = &f->endpoint;
    upstream_stream_init(&f->stream, &f->runtime.reactor.pool, &f->runtime.transport.metrics.messages, 1000,
                         &(struct hash_key) { 0 });
    f->acks =
        (struct peer_acks) { .transport = &f->runtime.transport, .outlet = &f->outlet, .stream = &f->stream };
    peer_acks_update(&f->acks);
}

static void disconnect(struct fixture *f)
{
    struct message *message;

    while ((message = in_flight_take_oldest(&f->stream.in_flight)))
        message_free(message);
    upstream_stream_clear(&f->stream);
    leg_close(&f->outlet.leg, LEG_CLOSE);
    if (f->peer >= 0)
        close(f->peer);
    f->peer = -1;
}

static int set_up(void **state)
{
    struct fixture *f = &fixture;
    struct socket_address address = addresses_parse("127.0.0.1:0");
    struct fault fault;

    *f = (struct fixture) { .endpoint = { .stats = &f->stats } };
    runtime_open(&f->runtime);
    f->runtime.route.no_acks_after = NEEDED;
    f->runtime.route.linger_timeout_ms = LINGER_MS;
    f->listener = socket_listen(&address, SOCKET_EXCLUSIVE, NULL, &fault);
    assert_true(f->listener >= 0);
    connect_peer(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    disconnect(f);
    close(f->listener);
    runtime_close(&f->runtime);
    return 0;
}

/* Sends a message that asks for an ack, which the peer's system takes. */
static struct message *send_message(struct fixture *f)
{
    struct message *message = messages_make(&f->runtime.reactor.pool, "a", MESSAGE_AGENT_ACK, 1);
    struct pollfd arrival = { .fd = f->peer, .events = POLLIN };

    assert_true(upstream_stream_put(&f->stream, message, f->runtime.reactor.now_us));
    (void)leg_write(&f->outlet.leg, &f->stream.outgoing);
    assert_int_equal(f->stream.outgoing.length, 0);
    assert_int_equal(poll(&arrival, 1, WAIT_MS), 1);
    return message;
}

/* The peer reads everything and closes. Returns what is concluded. */
static enum end_reason close_in_order(struct fixture *f)
{
    struct pollfd event = { .fd = f->outlet.leg.fd, .events = POLLIN };
    char bytes[1000];

    while (read(f->peer, bytes, sizeof bytes) > 0)
        ;
    close(f->peer);
    f->peer = -1;
    assert_int_equal(poll(&event, 1, WAIT_MS), 1);
    f->outlet.leg.drained = false;
    while (leg_read(&f->outlet.leg, &f->stream.incoming, 1 << 16) == LEG_MOVED)
        ;
    return peer_acks_check(&f->acks);
}

static void expect_log(struct fixture *f, const char *text)
{
    char log[RUNTIME_LOG_BYTES];

    runtime_read_log(&f->runtime, log);
    if (*text)
        assert_non_null(strstr(log, text));
    else
        assert_string_equal(log, "");
}

static void enough_connections_show_that_an_address_never_acknowledges(void **state)
{
    struct fixture *f = *state;

    send_message(f);
    assert_true(peer_acks_ask(&f->acks, END_ACK_TIMEOUT));
    assert_int_equal(peer_acks_check(&f->acks), END_NONE);
    assert_int_equal(close_in_order(f), END_ACK_TIMEOUT);
    expect_log(f, "");
    assert_int_equal(f->stream.in_flight.acks, IN_FLIGHT_ACKS);
    disconnect(f);
    connect_peer(f);
    send_message(f);
    assert_true(peer_acks_ask(&f->acks, END_UNKNOWN_ACK));
    assert_int_equal(close_in_order(f), END_RETIRED);
    expect_log(f, " error the aggregator reads messages and has never acknowledged anything");
    assert_int_equal(f->stream.in_flight.acks, IN_FLIGHT_NO_ACKS); /* its messages settle too */
    disconnect(f);
    connect_peer(f);
    assert_int_equal(f->stream.in_flight.acks, IN_FLIGHT_NO_ACKS);
}

static void after_an_ack_husk_waits_for_acks_again(void **state)
{
    struct fixture *f = *state;

    f->stats.metrics.acks = METRICS_ACKS_NEVER;
    peer_acks_update(&f->acks);
    assert_int_equal(f->stream.in_flight.acks, IN_FLIGHT_NO_ACKS);
    peer_acks_note(&f->acks);
    expect_log(f, " info the aggregator acknowledges messages");
    assert_int_equal(f->stream.in_flight.acks, IN_FLIGHT_ACKS);
    peer_acks_note(&f->acks);
    expect_log(f, "");
}

static void on_no_acks_hold_keeps_the_messages(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.on_no_acks = ROUTE_NO_ACKS_HOLD;
    f->runtime.route.no_acks_after = 1;
    send_message(f);
    assert_true(peer_acks_ask(&f->acks, END_ACK_TIMEOUT));
    assert_int_equal(close_in_order(f), END_ACK_TIMEOUT);
    expect_log(f, "--on-no-acks hold");
    assert_int_equal(f->stream.in_flight.acks, IN_FLIGHT_ACKS);
    assert_false(peer_acks_ask(&f->acks, END_ACK_TIMEOUT)); /* it is known */
}

static void a_peer_that_does_not_close_proves_nothing(void **state)
{
    struct fixture *f = *state;

    send_message(f);
    assert_true(peer_acks_ask(&f->acks, END_ACK_TIMEOUT));
    runtime_pass(&f->runtime, LINGER_MS - 1);
    assert_int_equal(peer_acks_check(&f->acks), END_NONE);
    runtime_pass(&f->runtime, 1);
    assert_int_equal(peer_acks_check(&f->acks), END_ACK_TIMEOUT);
    assert_int_equal(f->stats.metrics.no_acks_proofs, 0);
}

static void late_acks_are_acks(void **state)
{
    struct fixture *f = *state;
    struct message *message = send_message(f);

    assert_true(peer_acks_ask(&f->acks, END_ACK_TIMEOUT));
    assert_ptr_equal(in_flight_take_oldest(&f->stream.in_flight), message); /* its ack has come */
    message_free(message);
    assert_int_equal(close_in_order(f), END_RETIRED);
    assert_int_equal(f->stats.metrics.no_acks_proofs, 0);
}

static void husk_does_not_test_whether_the_peer_reads(void **state)
{
    struct fixture *f = *state;

    send_message(f);
    f->stats.metrics.acks = METRICS_ACKS_SENT; /* it has acknowledged others */
    assert_false(peer_acks_ask(&f->acks, END_ACK_TIMEOUT));
    f->stats.metrics.acks = METRICS_ACKS_UNKNOWN;
    f->runtime.route.no_acks_after = 0;
    assert_false(peer_acks_ask(&f->acks, END_ACK_TIMEOUT));
    f->runtime.route.no_acks_after = NEEDED;
    f->runtime.route.delivery = ROUTE_PASSTHROUGH;
    assert_false(peer_acks_ask(&f->acks, END_ACK_TIMEOUT));
    f->runtime.route.delivery = ROUTE_AT_LEAST_ONCE;
    f->stream.in_flight.is_link = true;
    assert_false(peer_acks_ask(&f->acks, END_ACK_TIMEOUT));
    f->stream.in_flight.is_link = false;
    assert_false(peer_acks_ask(&f->acks, END_RESET));
    assert_false(peer_acks_ask(&f->acks, END_UPSTREAM_CLOSED));
    assert_false(peer_acks_ask(&f->acks, END_NONE));
    in_flight_queue(&f->stream.in_flight, 1); /* a byte that the peer's system does not have */
    assert_true(buffer_append(&f->stream.outgoing, "x", 1));
    assert_false(peer_acks_ask(&f->acks, END_ACK_TIMEOUT));
}

static void answers_of_other_protocols_prove_nothing(void **state)
{
    static const char *const foreign[] = { "HTTP/1.1 400 Bad Request", "\x15\x03\x03", "\x92\xa4HELO\x80" };
    struct fixture *f = *state;

    send_message(f);
    for (size_t i = 0; i < 3; i++) {
        buffer_clear(&f->stream.incoming);
        assert_true(buffer_append(&f->stream.incoming, foreign[i], strlen(foreign[i])));
        assert_false(peer_acks_ask(&f->acks, END_BAD_ACK));
    }
    buffer_clear(&f->stream.incoming);
    assert_true(buffer_append(&f->stream.incoming, "OK\n", 3));
    assert_true(peer_acks_ask(&f->acks, END_BAD_ACK));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(enough_connections_show_that_an_address_never_acknowledges),
        TEST(after_an_ack_husk_waits_for_acks_again),
        TEST(on_no_acks_hold_keeps_the_messages),
        TEST(a_peer_that_does_not_close_proves_nothing),
        TEST(late_acks_are_acks),
        TEST(husk_does_not_test_whether_the_peer_reads),
        TEST(answers_of_other_protocols_prove_nothing),
    };

    return cmocka_run_group_tests_name("peer_acks", tests, NULL, NULL);
}
