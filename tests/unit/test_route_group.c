/* proxy/worker/: several routes on the same workers; a route that begins, changes and ends while another one
 * carries traffic. With real threads and sockets. */
#include "worker/route_group.h"

#include "support/addresses.h"
#include "support/loop.h"
#include "support/peers.h"
#include "support/runtime.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS = 2, ROUTES = 2, TIMEOUT_SECONDS = 20 };

struct fixture {
    struct runtime runtime; /* its log, and options for the routes */
    struct ev_loop *loop;
    struct worker_group workers;
    struct test_route {
        struct route_options options;
        struct listening_address addresses[LISTENER_SOCKETS_MAX];
        struct listening_options listen;
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

static void route_start(struct fixture *f, struct test_route *route)
{
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

    route->listen = (struct listening_options) { .addresses = route->addresses, .count = 1 };
    route->listen.addresses[0].address = addresses_at_port(0);
    route->upstream = peers_listen(&endpoint.address);
    assert_true(route_group_bind(&route->group, &options, &route->listen, &fault));
    assert_true(route_group_open(&route->group, &route->options, plaintext, &fault));
    assert_true(route_group_listen(&route->group, &fault));
    route_group_begin(&route->group);
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

static const struct socket_address *address_of(const struct test_route *route)
{
    return &route->group.listening.sockets[0].address;
}

static struct peers_pair pair_open(const struct test_route *route)
{
    return peers_pair_open(address_of(route), route->upstream);
}

static struct peers_pair message_send(const struct test_route *route)
{
    return peers_message_send(address_of(route), route->upstream);
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
    struct peers_pair pair = pair_open(&f->routes[1]), message = message_send(&f->routes[0]);

    peers_pair_exchange(&pair);
    assert_int_equal(route_group_connections(tcp), 1);
    assert_int_equal(route_group_connections(forward), 1);
    assert_false(route_group_has_unsettled(tcp));
    assert_true(route_group_has_unsettled(forward));
    peers_message_ack(&message);
    peers_expect_ack(message.agent);
    assert_int_equal(received_bytes(tcp), sizeof "hello" + sizeof "ping" - 2);
    assert_int_equal(received_bytes(forward), PEERS_MESSAGE_BYTES);
    assert_int_equal(route_group_size(tcp), WORKERS);
    peers_pair_close(&pair);
    peers_pair_close(&message);
}

static void a_route_ends_while_another_one_carries_traffic(void **state)
{
    struct fixture *f = *state;
    struct test_route *forward = &f->routes[0];
    const struct socket_address address = *address_of(forward);
    struct peers_pair pair = pair_open(&f->routes[1]), message = message_send(forward);
    int idle[8];

    for (unsigned i = 0; i < 8; i++)
        idle[i] = peers_connect(address_of(forward));
    route_group_end(&forward->group);
    route_group_end(&forward->group); /* does nothing */
    peers_pair_exchange(&pair);
    run_until_ended(f, forward);
    peers_pair_exchange(&pair);
    assert_int_equal(route_group_close(&forward->group), 1); /* the message */
    assert_int_equal(route_group_connections(&forward->group), 0);
    assert_int_equal(peers_connect(&address), -1);
    peers_pair_exchange(&pair);
    for (unsigned i = 0; i < 8; i++)
        close(idle[i]);
    peers_pair_close(&pair);
    peers_pair_close(&message);
}

static void a_route_begins_again_while_another_one_carries_traffic(void **state)
{
    struct fixture *f = *state;
    struct test_route *forward = &f->routes[0];
    struct peers_pair pair = pair_open(&f->routes[1]);

    for (unsigned round = 1; round <= 3; round++) {
        forward->ended = 0;
        route_group_end(&forward->group);
        run_until_ended(f, forward);
        assert_int_equal(route_group_close(&forward->group), 0);
        close(forward->upstream);
        route_start(f, forward);
        struct peers_pair message = message_send(forward);
        peers_message_ack(&message);
        peers_expect_ack(message.agent);
        peers_pair_exchange(&pair);
        peers_pair_close(&message);
    }
    peers_pair_close(&pair);
}

static void the_connections_of_a_retiring_route_end_between_two_messages(void **state)
{
    struct fixture *f = *state;
    struct test_route *forward = &f->routes[0];
    const struct socket_address address = *address_of(forward);
    struct peers_pair message = message_send(forward), slow = { .agent = peers_connect(address_of(forward)) };

    peers_send(slow.agent, peers_message, 1);
    while (received_bytes(&forward->group) != PEERS_MESSAGE_BYTES + 1)
        usleep(1000);
    route_group_retire(&forward->group);
    peers_message_ack(&message);
    peers_expect_ack(message.agent);
    peers_expect_end(message.agent);
    /* The rest of the message is taken, and its connection ends after the ack. */
    peers_send(slow.agent, peers_message + 1, PEERS_MESSAGE_BYTES - 1);
    slow.upstream = peers_accept(forward->upstream); /* of the other worker */
    peers_message_ack(&slow);
    peers_expect_ack(slow.agent);
    peers_expect_end(slow.agent);
    assert_int_equal(peers_connect(&address), -1); /* both workers have retired the route */
    assert_false(route_group_has_unsettled(&forward->group));
    route_group_end(&forward->group);
    run_until_ended(f, forward);
    assert_int_equal(route_group_close(&forward->group), 0);
    close(message.upstream);
    close(slow.upstream);
}

/* Another worker has accepted the connection, and was slower to retire. */
static void a_worker_that_has_retired_takes_a_connection_that_is_passed_on(void **state)
{
    struct fixture *f = *state;
    struct test_route *forward = &f->routes[0];
    struct worker_route *worker = &forward->group.routes[1];
    struct peers_pair message;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    route_group_retire(&forward->group);
    while (!route_group_has_retired(&forward->group))
        loop_turn(f->loop);
    message.agent = ends[0];
    peers_send(message.agent, peers_message, PEERS_MESSAGE_BYTES);
    acceptor_reserve(&worker->transport.acceptor);
    const struct mailbox_item item = { .kind = MAILBOX_CONNECTION, .route = worker, .fd = ends[1] };
    assert_true(mailbox_post(worker->mailbox, item));
    message.upstream = peers_accept(forward->upstream);
    peers_message_ack(&message);
    peers_expect_ack(message.agent);
    peers_expect_end(message.agent);
    route_group_end(&forward->group);
    run_until_ended(f, forward);
    assert_int_equal(route_group_close(&forward->group), 0);
    close(message.upstream);
}

/* ---- new options ---- */

static void on_changed(void *owner)
{
    unsigned *changes = owner;

    ++*changes;
}

static void change_begin(struct test_route *route, unsigned *changes)
{
    const struct worker_route_change to = { .options = route->options };
    struct fault fault;
    struct route_group_change *change = route_group_change_new(&route->group, &route->listen, &fault);

    assert_non_null(change);
    assert_true(listening_change_listen(route_group_change_binding(change), &fault));
    route_group_change_begin(change, &to, on_changed, changes);
}

/* Changes the options, and waits until no worker uses the old ones. */
static void change(struct fixture *f, struct test_route *route)
{
    unsigned changes = 0;

    change_begin(route, &changes);
    while (!changes)
        loop_turn(f->loop);
    assert_int_equal(changes, 1);
}

/* Any agent may write this tag. */
static struct message_policy policy_make(const char *tag)
{
    struct message_policy policy = { 0 };
    struct message_rule *rule = message_policy_add(&policy, tag);
    struct fault fault;

    assert_non_null(rule);
    assert_true(peer_policy_add(&rule->who, PEER_RULE_ANY, NULL, &fault));
    assert_true(message_rule_set_tags(rule, tag, &fault));
    return policy;
}

static uint64_t received_messages(const struct route_group *group)
{
    uint64_t messages = 0;

    for (unsigned i = 0; i < route_group_size(group); i++)
        messages += metrics_read(&group->metrics[i]->messages.received);
    return messages;
}

/* An agent whose message has begun, and the rest of it is missing. */
static int message_begin(const struct test_route *route)
{
    uint64_t before = received_bytes(&route->group);
    int agent = peers_connect(address_of(route));

    peers_send(agent, peers_message, PEERS_MESSAGE_BYTES - 1);
    while (received_bytes(&route->group) != before + PEERS_MESSAGE_BYTES - 1)
        usleep(1000);
    return agent;
}

static void new_rules_hold_after_the_current_message(void **state)
{
    struct fixture *f = *state;
    struct test_route *forward = &f->routes[0];
    struct message_policy a = policy_make("a"), b = policy_make("b");

    forward->options.policy = &a;
    change(f, forward);
    struct peers_pair idle = message_send(forward);
    peers_message_ack(&idle);
    peers_expect_ack(idle.agent);
    struct peers_pair slow = { .agent = message_begin(forward) };
    int busy = message_begin(forward);
    forward->options.policy = &b;
    change(f, forward);
    message_policy_deinit(&a); /* nobody reads the old options any more */

    peers_send(idle.agent, peers_message, PEERS_MESSAGE_BYTES);
    peers_expect_reset(idle.agent);
    peers_send(slow.agent, peers_message + PEERS_MESSAGE_BYTES - 1, 1);
    slow.upstream = peers_accept(forward->upstream); /* of the other worker */
    peers_message_ack(&slow);
    peers_expect_ack(slow.agent);
    peers_send(slow.agent, peers_message, PEERS_MESSAGE_BYTES);
    peers_expect_reset(slow.agent);
    /* The end of the message that has begun, and another one at once. */
    char bytes[1 + PEERS_MESSAGE_BYTES] = { peers_message[PEERS_MESSAGE_BYTES - 1] };
    memcpy(bytes + 1, peers_message, PEERS_MESSAGE_BYTES);
    peers_send(busy, bytes, sizeof bytes);
    peers_expect_reset(busy);
    assert_int_equal(received_messages(&forward->group), 3); /* one of each agent */
    forward->options.policy = NULL;
    change(f, forward);
    message_policy_deinit(&b);
    close(idle.upstream);
    close(slow.upstream);
}

static void connections_that_stay_have_the_new_timeouts(void **state)
{
    struct fixture *f = *state;
    struct test_route *forward = &f->routes[0], *tcp = &f->routes[1];
    struct peers_pair pair = pair_open(tcp), message = message_send(forward);

    peers_message_ack(&message);
    peers_expect_ack(message.agent);
    forward->options.idle_timeout_ms = tcp->options.idle_timeout_ms = 10;
    change(f, forward);
    change(f, tcp);
    peers_expect_end(message.agent);
    peers_expect_end(pair.agent);
    close(message.upstream);
    close(pair.upstream);
}

static void upstream_connections_that_differ_from_new_ones_are_replaced(void **state)
{
    struct fixture *f = *state;
    struct test_route *forward = &f->routes[0];
    struct peers_pair message = message_send(forward);

    peers_await(message.upstream); /* the message is in flight */
    forward->options.dead_peer_ms++;
    change(f, forward);
    peers_message_ack(&message); /* no message is sent twice */
    peers_expect_ack(message.agent);
    peers_expect_end(message.upstream);
    peers_send(message.agent, peers_message, PEERS_MESSAGE_BYTES);
    message.upstream = peers_accept(forward->upstream);
    peers_message_ack(&message);
    peers_expect_ack(message.agent);
    forward->options.max_senders++; /* nothing that an open connection has */
    change(f, forward);
    peers_send(message.agent, peers_message, PEERS_MESSAGE_BYTES);
    peers_message_ack(&message);
    peers_expect_ack(message.agent);
    peers_pair_close(&message);
}

static void an_address_that_stays_refuses_no_connection(void **state)
{
    struct fixture *f = *state;
    struct test_route *tcp = &f->routes[1];
    const struct socket_address kept = *address_of(tcp);
    struct peers_pair pair = pair_open(tcp);
    struct listening_options *listen = &tcp->listen;

    for (unsigned i = 0; i < 3; i++)
        listen->addresses[i].address = addresses_at_port(0);
    for (unsigned round = 0; round < 20; round++) {
        listen->count = round % 2 ? 1 : 3;
        change(f, tcp);
        struct peers_pair other = pair_open(tcp); /* at the address that stays */
        peers_pair_close(&other);
        peers_pair_exchange(&pair);
    }
    assert_true(socket_address_equal(address_of(tcp), &kept));
    listen->count = 3;
    change(f, tcp);
    const struct socket_address added = tcp->group.listening.sockets[2].address;
    struct peers_pair other = peers_pair_open(&added, tcp->upstream);
    peers_pair_exchange(&other);
    peers_pair_close(&other);
    peers_pair_close(&pair);
}

static void a_change_that_is_not_made_yet_ends_with_its_route(void **state)
{
    struct fixture *f = *state;
    unsigned changes = 0;

    change_begin(&f->routes[0], &changes);
    worker_group_stop(&f->workers);
    (void)route_group_close(&f->routes[0].group);
    assert_int_equal(changes, 0);
}

static void a_route_that_no_worker_has_is_closed_without_a_trace(void **state)
{
    struct fixture *f = *state;
    struct listening_options listen = { .addresses = (struct listening_address[1]) { { .from = NULL } },
                                        .count = 1 };
    const struct route_group_options options = {
        .workers = &f->workers, .loop = f->loop, .worker_count = WORKERS, .log = &f->runtime.log
    };
    struct route_group group;
    struct fault fault;

    const int probe = peers_listen(&listen.addresses[0].address); /* finds a free port */
    close(probe);
    assert_true(route_group_bind(&group, &options, &listen, &fault));
    assert_int_equal(peers_connect(&listen.addresses[0].address), -1);
    assert_true(route_group_listen(&group, &fault));
    int agent = peers_connect(&listen.addresses[0].address);
    assert_true(agent >= 0);
    assert_int_equal(route_group_close(&group), 0);
    assert_int_equal(peers_connect(&listen.addresses[0].address), -1);
    close(agent);
    assert_int_equal(route_group_close(&group), 0); /* does nothing */
}

/* The process before refuses connections until it hands over. */
static void an_inherited_socket_that_is_paused_listens_again(void **state)
{
    static struct credentials *const plaintext[SIDE_COUNT];
    struct fixture *f = *state;
    struct test_route third = { .ended = 0 };
    struct listening_options listen = { .addresses = third.addresses, .count = 1 };
    struct inherited_socket item = { .name = "" };
    struct inherited inherited = { .items = &item, .count = 1 };
    const struct route_group_options options = {
        .route = "third",
        .inherited = &inherited,
        .workers = &f->workers,
        .loop = f->loop,
        .worker_count = WORKERS,
        .log = &f->runtime.log,
        .on_ended = on_ended,
        .owner = &third,
    };
    struct fault fault;
    int agent = -1, probe = peers_listen(&item.address); /* finds a free port */

    close(probe);
    const int before = socket_listen(&item.address, SOCKET_EXCLUSIVE, NULL, &fault);
    assert_true(before >= 0);
    item.fd = dup(before);
    listen.addresses[0].address = item.address;
    assert_true(route_group_bind(&third.group, &options, &listen, &fault));
    assert_true(route_group_open(&third.group, &f->routes[0].options, plaintext, &fault));
    assert_true(route_group_listen(&third.group, &fault));
    socket_listen_pause(before);
    assert_int_equal(peers_connect(&listen.addresses[0].address), -1);
    route_group_begin(&third.group);
    for (unsigned ms = 0; agent < 0 && ms < TIMEOUT_SECONDS * 1000; ms++) {
        agent = peers_connect(&listen.addresses[0].address);
        usleep(1000);
    }
    assert_true(agent >= 0);
    route_group_end(&third.group);
    run_until_ended(f, &third);
    assert_int_equal(route_group_close(&third.group), 0);
    close(agent);
    close(before);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(two_routes_share_the_workers_and_no_counter),
        CASE(a_route_ends_while_another_one_carries_traffic),
        CASE(a_route_begins_again_while_another_one_carries_traffic),
        CASE(the_connections_of_a_retiring_route_end_between_two_messages),
        CASE(a_worker_that_has_retired_takes_a_connection_that_is_passed_on),
        CASE(new_rules_hold_after_the_current_message),
        CASE(connections_that_stay_have_the_new_timeouts),
        CASE(upstream_connections_that_differ_from_new_ones_are_replaced),
        CASE(an_address_that_stays_refuses_no_connection),
        CASE(a_change_that_is_not_made_yet_ends_with_its_route),
        CASE(a_route_that_no_worker_has_is_closed_without_a_trace),
        CASE(an_inherited_socket_that_is_paused_listens_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
