/* proxy/worker/: several routes on the same workers; a route that begins, changes and ends while another one
 * carries traffic. With real threads and sockets. */
#include "worker/route_group.h"

#include "support/addresses.h"
#include "support/loop.h"
#include "support/runtime.h"
#include "wire/socket.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { WORKERS = 2, ROUTES = 2, TIMEOUT_SECONDS = 20, BYTES = 4096 };

struct fixture {
    struct runtime runtime; /* its log, and options for the routes */
    struct ev_loop *loop;
    struct worker_group workers;
    struct test_route {
        struct route_options options;
        struct route_group group;
        unsigned ended;
        int upstream; /* a listening socket */
    } routes[ROUTES];
};

static struct fixture fixture;

static void on_ended(void *owner)
{
    struct test_route *route = owner;

    route->ended++;
}

/* A listening socket of the test, and its address. */
static int aggregator_listen(struct socket_address *address)
{
    const struct socket_address any = addresses_at_port(0);
    struct fault fault;
    int fd = socket_listen(&any, SOCKET_EXCLUSIVE, NULL, &fault);

    assert_true(fd >= 0);
    *address = socket_local_address(fd);
    return fd;
}

static void route_start(struct fixture *f, struct test_route *route)
{
    struct listening_options listen = { .count = 1 };
    static struct credentials *const plaintext[SIDE_COUNT];
    const struct route_group_options options = {
        .workers = &f->workers,
        .loop = f->loop,
        .worker_count = WORKERS,
        .log = &f->runtime.log,
        .on_ended = on_ended,
        .owner = route,
    };
    struct endpoint endpoint = { .weight = ENDPOINT_WEIGHT_UNIT };
    struct fault fault;

    listen.addresses[0].address = addresses_at_port(0);
    route->upstream = aggregator_listen(&endpoint.address);
    assert_true(route_group_bind(&route->group, &options, &listen, &fault));
    assert_true(route_group_open(&route->group, &route->options, plaintext, &fault));
    struct endpoint_list *list = endpoint_list_new(&endpoint, 1);
    route_group_replace_endpoints(&route->group, list);
    endpoint_list_release(list);
}

static int set_up(void **state)
{
    struct fixture *f = &fixture;
    static const char *const names[ROUTES] = { "first", "second" };
    struct fault fault;

    *f = (struct fixture) { .loop = ev_loop_new(EVFLAG_AUTO) };
    runtime_open(&f->runtime);
    f->runtime.route.drain_timeout_ms = TIMEOUT_SECONDS * 1000;
    f->runtime.route.unread_acks_bytes = 1 << 16;
    assert_true(worker_group_start(&f->workers, WORKERS, &f->runtime.log, &fault));
    for (unsigned i = 0; i < ROUTES; i++) {
        f->routes[i].options = f->runtime.route;
        f->routes[i].options.name = names[i];
        f->routes[i].options.protocol = i == 0 ? ROUTE_FORWARD : ROUTE_TCP;
        route_start(f, &f->routes[i]);
    }
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    worker_group_stop(&f->workers);
    for (unsigned i = 0; i < ROUTES; i++) {
        (void)route_group_close(&f->routes[i].group);
        close(f->routes[i].upstream);
    }
    worker_group_free(&f->workers);
    ev_loop_destroy(f->loop);
    runtime_close(&f->runtime);
    return 0;
}

/* ---- peers, with blocking sockets ---- */

static int blocking(int fd)
{
    const struct timeval timeout = { .tv_sec = TIMEOUT_SECONDS };

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout), 0);
    return fd;
}

static int agent_connect_at(const struct socket_address *address)
{
    int fd = blocking(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

    if (connect(fd, (const struct sockaddr *)&address->storage, address->length) == 0)
        return fd;
    close(fd);
    return -1;
}

static int agent_connect(const struct test_route *route)
{
    int fd = agent_connect_at(&route->group.listening.sockets[0].address);

    assert_true(fd >= 0);
    return fd;
}

static int upstream_accept(const struct test_route *route)
{
    struct pollfd ready = { .fd = route->upstream, .events = POLLIN };

    assert_int_equal(poll(&ready, 1, TIMEOUT_SECONDS * 1000), 1);
    return blocking(accept4(route->upstream, NULL, NULL, SOCK_CLOEXEC));
}

static void bytes_send(int fd, const void *bytes, size_t length)
{
    assert_int_equal(send(fd, bytes, length, MSG_NOSIGNAL), length);
}

static void bytes_expect(int fd, const char *text)
{
    char bytes[BYTES];

    assert_int_equal(recv(fd, bytes, strlen(text), MSG_WAITALL), strlen(text));
    assert_memory_equal(bytes, text, strlen(text));
}

/* The peer has closed in order. */
static void end_expect(int fd)
{
    char byte;

    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    close(fd);
}

/* An agent and its upstream connection, through a tunnel. */
struct pair {
    int agent, upstream;
};

static struct pair pair_open(const struct test_route *route)
{
    struct pair pair = { .agent = agent_connect(route) };

    bytes_send(pair.agent, "hello", 5);
    pair.upstream = upstream_accept(route);
    bytes_expect(pair.upstream, "hello");
    return pair;
}

static void pair_exchange(const struct pair *pair)
{
    bytes_send(pair->agent, "ping", 4);
    bytes_expect(pair->upstream, "ping");
    bytes_send(pair->upstream, "pong", 4);
    bytes_expect(pair->agent, "pong");
}

static void pair_close(const struct pair *pair)
{
    close(pair->agent);
    close(pair->upstream);
}

/* Asks for the ack "1". */
static const char message_bytes[] = "\x94\xa1"
                                    "a\x01\x81\xa1m\xa1x\x81\xa5"
                                    "chunk\xa1"
                                    "1";
enum { MESSAGE_BYTES = sizeof message_bytes - 1 };

/* Sends one message, and waits until its worker has dialled. */
static struct pair message_send(const struct test_route *route)
{
    struct pair pair = { .agent = agent_connect(route) };

    bytes_send(pair.agent, message_bytes, MESSAGE_BYTES);
    pair.upstream = upstream_accept(route);
    return pair;
}

/* The aggregator acknowledges that message. */
static void message_ack(const struct pair *pair)
{
    char received[BYTES], ack[64] = "\x81\xa3"
                                    "ack";
    size_t length = 0;
    const char *chunk = NULL;

    while (!chunk) {
        ssize_t got = recv(pair->upstream, received + length, sizeof received - length, 0);
        assert_true(got > 0);
        length += (size_t)got;
        chunk = memmem(received, length,
                       "\xa5"
                       "chunk",
                       6);
    }
    size_t id_length = (size_t)(received + length - chunk - 6);
    assert_true(id_length < sizeof ack - 5);
    memcpy(ack + 5, chunk + 6, id_length);
    bytes_send(pair->upstream, ack, 5 + id_length);
}

static void ack_expect(int agent)
{
    bytes_expect(agent, "\x81\xa3"
                        "ack\xa1"
                        "1");
}

/* ---- waiting for the control thread ---- */

static void run_until_ended(struct fixture *f, const struct test_route *route)
{
    while (!route->ended)
        loop_turn(f->loop);
    assert_int_equal(route->ended, 1);
}

/* ---- tests ---- */

static uint64_t received_bytes(const struct route_group *group)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < route_group_size(group); i++)
        bytes += metrics_read(&group->metrics[i]->side[SIDE_DOWNSTREAM].bytes[METRICS_RECEIVED]);
    return bytes;
}

static void two_routes_share_the_workers_and_no_counter(void **state)
{
    struct fixture *f = *state;
    struct route_group *forward = &f->routes[0].group, *tcp = &f->routes[1].group;
    struct pair pair = pair_open(&f->routes[1]), message = message_send(&f->routes[0]);

    pair_exchange(&pair);
    assert_int_equal(route_group_connections(tcp), 1);
    assert_int_equal(route_group_connections(forward), 1);
    assert_false(route_group_has_unsettled(tcp));
    assert_true(route_group_has_unsettled(forward));
    message_ack(&message);
    ack_expect(message.agent);
    assert_int_equal(received_bytes(tcp), strlen("hello") + strlen("ping"));
    assert_int_equal(received_bytes(forward), MESSAGE_BYTES);
    assert_int_equal(route_group_size(tcp), WORKERS);
    pair_close(&pair);
    pair_close(&message);
}

static void a_route_ends_while_another_one_carries_traffic(void **state)
{
    struct fixture *f = *state;
    struct test_route *forward = &f->routes[0];
    const struct socket_address address = forward->group.listening.sockets[0].address;
    struct pair pair = pair_open(&f->routes[1]), message = message_send(forward);
    int idle[8];

    for (unsigned i = 0; i < 8; i++)
        idle[i] = agent_connect(forward);
    route_group_end(&forward->group);
    route_group_end(&forward->group); /* does nothing */
    pair_exchange(&pair);
    run_until_ended(f, forward);
    pair_exchange(&pair);
    assert_int_equal(route_group_close(&forward->group), 1); /* the message */
    assert_int_equal(route_group_connections(&forward->group), 0);
    assert_int_equal(agent_connect_at(&address), -1);
    pair_exchange(&pair);
    for (unsigned i = 0; i < 8; i++)
        close(idle[i]);
    pair_close(&pair);
    pair_close(&message);
}

static void a_route_begins_again_while_another_one_carries_traffic(void **state)
{
    struct fixture *f = *state;
    struct test_route *forward = &f->routes[0];
    struct pair pair = pair_open(&f->routes[1]);

    for (unsigned round = 1; round <= 3; round++) {
        forward->ended = 0;
        route_group_end(&forward->group);
        run_until_ended(f, forward);
        assert_int_equal(route_group_close(&forward->group), 0);
        close(forward->upstream);
        route_start(f, forward);
        struct pair message = message_send(forward);
        message_ack(&message);
        ack_expect(message.agent);
        pair_exchange(&pair);
        pair_close(&message);
    }
    pair_close(&pair);
}

static void the_connections_of_a_retiring_route_end_between_two_messages(void **state)
{
    struct fixture *f = *state;
    struct test_route *forward = &f->routes[0];
    const struct socket_address address = forward->group.listening.sockets[0].address;
    struct pair message = message_send(forward), slow = { .agent = agent_connect(forward) };

    bytes_send(slow.agent, message_bytes, 1);
    while (received_bytes(&forward->group) != MESSAGE_BYTES + 1)
        usleep(1000);
    route_group_retire(&forward->group);
    message_ack(&message);
    ack_expect(message.agent);
    end_expect(message.agent);
    assert_int_equal(agent_connect_at(&address), -1);
    /* The rest of the message is taken, and its connection ends after the ack. */
    bytes_send(slow.agent, message_bytes + 1, MESSAGE_BYTES - 1);
    slow.upstream = upstream_accept(forward); /* of the other worker */
    message_ack(&slow);
    ack_expect(slow.agent);
    end_expect(slow.agent);
    assert_false(route_group_has_unsettled(&forward->group));
    route_group_end(&forward->group);
    run_until_ended(f, forward);
    assert_int_equal(route_group_close(&forward->group), 0);
    close(message.upstream);
    close(slow.upstream);
}

static void a_route_that_no_worker_has_is_closed_without_a_trace(void **state)
{
    struct fixture *f = *state;
    struct listening_options listen = { .count = 1 };
    const struct route_group_options options = {
        .workers = &f->workers, .loop = f->loop, .worker_count = WORKERS, .log = &f->runtime.log
    };
    struct route_group group;
    struct fault fault;

    listen.addresses[0].address = addresses_at_port(0);
    assert_true(route_group_bind(&group, &options, &listen, &fault));
    const struct socket_address address = group.listening.sockets[0].address;
    assert_int_equal(route_group_close(&group), 0);
    assert_int_equal(agent_connect_at(&address), -1);
    assert_int_equal(route_group_close(&group), 0); /* does nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(two_routes_share_the_workers_and_no_counter, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_route_ends_while_another_one_carries_traffic, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_route_begins_again_while_another_one_carries_traffic, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_connections_of_a_retiring_route_end_between_two_messages, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_route_that_no_worker_has_is_closed_without_a_trace, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
