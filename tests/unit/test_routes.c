/* proxy/routes.c, proxy/route.c: several routes in one process, which begin and end at run time. With real
 * threads and sockets. */
#include "routes.h"

#include "support/addresses.h"
#include "support/loop.h"
#include "support/peers.h"
#include "support/runtime.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS = 2, ROUTES = 4, TEXT_BYTES = 1000 };

struct site {
    struct options options;
    struct listening_address addresses[LISTENER_SOCKETS_MAX];
    struct discovery_target target;
    int upstream; /* a listening socket */
};

struct fixture {
    struct runtime runtime; /* its log, and options for the routes */
    struct process_options process;
    struct worker_group workers;
    struct routes routes;
    struct ev_loop *loop;
    struct site sites[ROUTES];
    const struct options *unused; /* that on_unused has told first */
    unsigned unused_count;
};

static struct fixture fixture;

static void on_unused(void *owner, struct options *options)
{
    struct fixture *f = owner;

    f->unused = f->unused ? f->unused : options;
    f->unused_count++;
}

/* A plaintext route of `protocol: tcp`, or, for the first site, of `protocol: forward`. */
static void site_make(struct fixture *f, unsigned at, const char *name)
{
    struct site *site = &f->sites[at];
    struct socket_address upstream;
    char text[ADDRESS_TEXT_BYTES];
    struct fault fault;

    *site = (struct site) { .upstream = peers_listen(&upstream), .target = { .weight = 1 } };
    socket_address_format(&upstream, text, sizeof text);
    assert_true(address_parse(&site->target.address, text, &fault));
    site->options.route = f->runtime.route;
    site->options.route.name = name;
    site->options.route.protocol = at == 0 ? ROUTE_FORWARD : ROUTE_TCP;
    site->options.listen = (struct listening_options) { .addresses = site->addresses, .count = 1 };
    site->options.listen.addresses[0].address = addresses_at_port(0);
    site->options.discovery = (struct discovery_options) {
        .targets = &site->target,
        .target_count = 1,
        .resolver = { .min_ttl_ms = 1000, .max_ttl_ms = 1000, .retry_min_ms = 1000, .retry_max_ms = 1000 },
    };
}

static int set_up(void **state)
{
    struct fixture *f = &fixture;
    static const char *const names[ROUTES] = { "first", "second", "third", "second" };
    struct fault fault;

    *f = (struct fixture) { .loop = ev_loop_new(EVFLAG_AUTO) };
    runtime_open(&f->runtime);
    f->runtime.route.unread_acks_bytes = 1 << 16;
    f->runtime.route.drain_timeout_ms = 20000;
    f->process =
        (struct process_options) { .workers = WORKERS, .drain_timeout_ms = 20000, .drain_quiet_ms = 10000 };
    routes_init(&f->routes, &(struct routes_options) { .process = &f->process,
                                                       .loop = f->loop,
                                                       .workers = &f->workers,
                                                       .log = &f->runtime.log,
                                                       .on_unused = on_unused,
                                                       .owner = f });
    for (unsigned i = 0; i < ROUTES; i++)
        site_make(f, i, names[i]);
    assert_true(worker_group_start(&f->workers, WORKERS, &f->runtime.log, &fault));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    worker_group_stop(&f->workers);
    (void)routes_close(&f->routes);
    worker_group_free(&f->workers);
    ev_loop_destroy(f->loop);
    for (unsigned i = 0; i < ROUTES; i++)
        close(f->sites[i].upstream);
    runtime_close(&f->runtime);
    return 0;
}

static struct route *add(struct fixture *f, unsigned at)
{
    struct fault fault;
    struct route *route = routes_prepare(&f->routes, &f->sites[at].options, &fault);

    if (!route || !route_listen(route, &fault) || !routes_open(&f->routes, &fault))
        fail_msg("%s", fault.text);
    routes_start(&f->routes);
    while (!route->discovery->list)
        loop_turn(f->loop);
    return route;
}

static struct socket_address address_of(const struct route *route)
{
    return route->group.listening.sockets[0].address;
}

static void run_until_unused(struct fixture *f, unsigned at)
{
    while (!f->unused)
        loop_turn(f->loop);
    assert_ptr_equal(f->unused, &f->sites[at].options);
    f->unused = NULL;
}

static const char *description(struct fixture *f, bool *is_ready)
{
    static char text[TEXT_BYTES];

    text[0] = '\0';
    *is_ready = routes_describe(&f->routes, text, sizeof text);
    return text;
}

static void log_expect(struct fixture *f, const char *line)
{
    char text[RUNTIME_LOG_BYTES];

    runtime_read_log(&f->runtime, text);
    if (!strstr(text, line))
        fail_msg("no \"%s\" in: %s", line, text);
}

/* ---- tests ---- */

static void a_route_is_removed_while_another_one_carries_traffic(void **state)
{
    struct fixture *f = *state;
    struct route *first = add(f, 0), *second = add(f, 1);
    const struct socket_address first_address = address_of(first), second_address = address_of(second);
    struct peers_pair pair = peers_pair_open(&second_address, f->sites[1].upstream),
                      message = peers_message_send(&first_address, f->sites[0].upstream);

    route_retire(first);
    route_retire(first); /* does nothing */
    assert_null(routes_find(&f->routes, "first"));
    peers_pair_exchange(&pair);
    peers_message_ack(&message); /* the message is not lost */
    peers_expect_ack(message.agent);
    peers_expect_end(message.agent);
    run_until_unused(f, 0);
    log_expect(f, "route removed route=first");
    assert_int_equal(peers_connect(&first_address), -1);
    peers_pair_exchange(&pair);
    close(message.upstream);
    peers_pair_close(&pair);
}

static void a_route_is_added_while_another_one_carries_traffic(void **state)
{
    struct fixture *f = *state;
    const struct socket_address address = address_of(add(f, 1));
    struct peers_pair pair = peers_pair_open(&address, f->sites[1].upstream);

    for (unsigned round = 0; round < 3; round++) {
        const struct socket_address added = address_of(add(f, 2));
        struct peers_pair other = peers_pair_open(&added, f->sites[2].upstream);
        peers_pair_exchange(&other);
        peers_pair_exchange(&pair);
        peers_pair_close(&other);
        route_retire(routes_find(&f->routes, "third"));
        run_until_unused(f, 2);
    }
    peers_pair_close(&pair);
}

static void a_route_that_cannot_begin_leaves_nothing_behind(void **state)
{
    struct fixture *f = *state;
    const struct socket_address taken = address_of(add(f, 1));
    struct listening_options *listen = &f->sites[0].options.listen;
    struct fault fault;
    bool is_ready;

    listen->addresses[1].address = taken;
    listen->count = 2;
    assert_null(routes_prepare(&f->routes, &f->sites[0].options, &fault));
    assert_non_null(strstr(fault.text, "--listen: cannot listen on "));
    assert_null(routes_find(&f->routes, "first"));
    assert_string_equal(description(f, &is_ready), "");
    assert_true(is_ready);
    listen->count = 1;
    const struct socket_address address = address_of(add(f, 0));
    int agent = peers_connect(&address);
    assert_true(agent >= 0);
    close(agent);
}

static void readiness_names_the_route_if_there_are_several(void **state)
{
    struct fixture *f = *state;
    bool is_ready;

    f->sites[1].options.discovery.health = (struct health_options) { .interval_ms = 1, .timeout_ms = 1000 };
    close(f->sites[1].upstream);
    f->sites[1].upstream = -1;
    struct route *second = add(f, 1);
    while (!second->discovery->health.is_known)
        loop_turn(f->loop);
    assert_string_equal(description(f, &is_ready), "upstream: connection refused\n");
    assert_false(is_ready);
    (void)add(f, 0);
    (void)add(f, 2);
    assert_string_equal(description(f, &is_ready), "second: upstream: connection refused\n");
    assert_false(is_ready);
    route_retire(second);
    assert_string_equal(description(f, &is_ready), "");
    assert_true(is_ready);
}

static void a_snapshot_has_all_routes(void **state)
{
    struct fixture *f = *state;
    struct metrics_snapshot snapshot = { 0 };

    (void)add(f, 0);
    struct route *second = add(f, 1);
    const struct socket_address address = address_of(second);
    struct peers_pair pair = peers_pair_open(&address, f->sites[1].upstream);
    second->reload.succeeded = 2;
    routes_snapshot(&f->routes, &snapshot);
    assert_string_equal(snapshot.routes->name, "first");
    assert_int_equal(snapshot.routes->worker_count, WORKERS);
    assert_string_equal(snapshot.routes->next->name, "second");
    assert_true(snapshot.routes->next->upstream_healthy);
    assert_null(snapshot.routes->next->next);
    assert_int_equal(snapshot.reloads_succeeded, 2);
    assert_int_equal(routes_connections(&f->routes), 1);
    peers_pair_close(&pair);
    route_retire(second);
    run_until_unused(f, 1);
    snapshot = (struct metrics_snapshot) { 0 };
    routes_snapshot(&f->routes, &snapshot);
    assert_null(snapshot.routes->next);
    assert_int_equal(snapshot.reloads_succeeded, 2); /* a counter never decreases */
}

static void a_snapshot_has_each_name_once(void **state)
{
    struct fixture *f = *state;
    struct metrics_snapshot snapshot = { 0 };
    struct route *second = add(f, 1);
    const struct socket_address address = address_of(second);
    struct peers_pair pair = peers_pair_open(&address, f->sites[1].upstream);

    route_retire(second); /* its tunnel goes on */
    (void)add(f, 3);
    routes_snapshot(&f->routes, &snapshot);
    assert_string_equal(snapshot.routes->name, "second");
    assert_null(snapshot.routes->next);
    peers_pair_close(&pair);
    run_until_unused(f, 1);
}

/* ---- changes ---- */

/* The fourth site is another one of the name of the second. */
static struct options *other_options(struct fixture *f)
{
    return &f->sites[3].options;
}

static void on_caught_up(void *owner)
{
    bool *done = owner;

    *done = true;
}

/* Waits until the workers have handled everything that was posted to them. */
static void workers_catch_up(struct fixture *f)
{
    bool done = false;
    struct receipt receipt;

    receipt_open(&receipt, f->loop, on_caught_up, &done);
    worker_group_fence(&f->workers, &receipt);
    while (!done)
        loop_turn(f->loop);
    receipt_close(&receipt);
}

static void change(struct route *route, struct options *options)
{
    struct fault fault;
    struct route_change *made = route_change_new(route, options, &fault);

    if (!made || !listening_change_listen(route_change_binding(made), &fault))
        fail_msg("%s", fault.text);
    route_change_begin(made);
}

static void a_changed_route_keeps_its_connections_and_its_address(void **state)
{
    struct fixture *f = *state;
    struct route *second = add(f, 1);
    const struct socket_address address = address_of(second);
    struct peers_pair pair = peers_pair_open(&address, f->sites[1].upstream);

    other_options(f)->listen.count = 2;
    other_options(f)->listen.addresses[1].address = addresses_at_port(0);
    change(second, other_options(f));
    run_until_unused(f, 1);
    memset(&f->sites[1].options, 0xa5, sizeof f->sites[1].options); /* nobody reads them */
    memset(&f->sites[1].target, 0xa5, sizeof f->sites[1].target);
    while (!second->discovery->list)
        loop_turn(f->loop);
    workers_catch_up(f);
    peers_pair_exchange(&pair);
    assert_ptr_equal(routes_find(&f->routes, "second"), second);
    const struct socket_address kept = address_of(second);
    assert_true(socket_address_equal(&kept, &address));
    for (unsigned i = 0; i < 2; i++) {
        struct peers_pair other =
            peers_pair_open(&second->group.listening.sockets[i].address, f->sites[3].upstream);
        peers_pair_exchange(&other);
        peers_pair_close(&other);
    }
    peers_pair_close(&pair);
    route_retire(second);
    run_until_unused(f, 3);
}

static void a_change_that_fails_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct route *second = add(f, 1);
    const struct socket_address address = address_of(second), taken = address_of(add(f, 2));
    struct credentials_options *credentials = &other_options(f)->credentials[SIDE_UPSTREAM];
    struct fault fault;

    other_options(f)->listen.addresses[0].address = taken;
    assert_null(route_change_new(second, other_options(f), &fault));
    assert_non_null(strstr(fault.text, "--listen: cannot listen on "));
    credentials->cert_file = credentials->key_file = credentials->ca_file = "/nonexistent/file";
    assert_null(route_change_new(second, other_options(f), &fault));
    assert_non_null(strstr(fault.text, "/nonexistent/file"));
    *credentials = (struct credentials_options) { 0 };
    other_options(f)->listen.addresses[0].address = addresses_at_port(0);
    route_change_cancel(route_change_new(second, other_options(f), &fault));
    assert_null(f->unused);
    struct peers_pair pair = peers_pair_open(&address, f->sites[1].upstream);
    peers_pair_exchange(&pair);
    peers_pair_close(&pair);
}

static void a_route_ends_with_the_changes_that_are_not_made_yet(void **state)
{
    struct fixture *f = *state;
    struct route *second = add(f, 1);

    change(second, other_options(f));
    assert_null(f->unused);
    worker_group_stop(&f->workers);
    (void)routes_close(&f->routes);
    assert_ptr_equal(f->unused, &f->sites[1].options);
    assert_int_equal(f->unused_count, 2); /* the options before, and those of the end */
}

static void a_stream_of_credentials_outlives_each_pause_of_a_reload(void **state)
{
    const struct process_options process = { .reload_retry_max_ms = 3600 * 1000 };
    struct fixture *f = *state;
    struct routes other;

    routes_init(&other, &(struct routes_options) { .process = &process, .loop = f->loop });
    assert_true(other.reloads.workload_apis.options.unused_ms > process.reload_retry_max_ms);
    (void)routes_close(&other);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_route_is_removed_while_another_one_carries_traffic),
        CASE(a_route_is_added_while_another_one_carries_traffic),
        CASE(a_route_that_cannot_begin_leaves_nothing_behind),
        CASE(readiness_names_the_route_if_there_are_several),
        CASE(a_snapshot_has_all_routes),
        CASE(a_snapshot_has_each_name_once),
        CASE(a_changed_route_keeps_its_connections_and_its_address),
        CASE(a_change_that_fails_changes_nothing),
        CASE(a_route_ends_with_the_changes_that_are_not_made_yet),
        CASE(a_stream_of_credentials_outlives_each_pause_of_a_reload),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
