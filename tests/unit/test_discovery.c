/* proxy/control/discovery.c: several targets become one list. Names and SRV records: tests/scenario. */
#include "control/discovery.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "support/loop.h"

struct fixture {
    struct ev_loop *loop;
    struct log log;
    struct discovery discovery;
    struct endpoint_list *list; /* the last published; shared */
    size_t published;
};

static void on_endpoints(void *owner, struct endpoint_list *list)
{
    struct fixture *f = owner;

    endpoint_list_release(f->list);
    f->list = list ? endpoint_list_share(list) : NULL;
    f->published++;
}

static void expect_endpoint(const struct fixture *f, size_t at, const char *address, const char *server_name,
                            unsigned weight, unsigned tier)
{
    char text[ADDRESS_TEXT_BYTES];

    assert_true(at < f->list->count);
    const struct endpoint *endpoint = &f->list->endpoints[at];
    socket_address_format(&endpoint->address, text, sizeof text);
    assert_string_equal(text, address);
    if (server_name)
        assert_string_equal(endpoint->server_name, server_name);
    else
        assert_null(endpoint->server_name);
    assert_int_equal(endpoint->weight, weight * ENDPOINT_WEIGHT_UNIT);
    assert_int_equal(endpoint->tier, tier);
}

static void open_discovery(struct fixture *f, const struct discovery_options *options)
{
    struct fault fault;

    *f = (struct fixture) { .loop = ev_loop_new(EVFLAG_AUTO) };
    log_init(&f->log, STDERR_FILENO, LOG_ERROR, LOG_TEXT);
    const struct discovery_setup setup = {
        .options = options, .log = &f->log, .on_endpoints = on_endpoints, .owner = f
    };
    if (!discovery_open(&f->discovery, f->loop, &setup, &fault))
        fail_msg("%s", fault.text);
    discovery_begin(&f->discovery, NULL);
    if (f->discovery.list)
        on_endpoints(f, f->discovery.list);
}

static void close_discovery(struct fixture *f)
{
    discovery_close(&f->discovery);
    endpoint_list_release(f->list);
    assert_int_equal(ev_run(f->loop, EVRUN_NOWAIT), 0); /* no watcher is active */
    ev_loop_destroy(f->loop);
    log_deinit(&f->log);
}

static void targets_are_merged_in_order_and_standbys_come_last(void **state)
{
    static const struct discovery_target targets[] = {
        { .address = { .host = "127.0.0.9", .port = 9 }, .weight = 2, .is_standby = true },
        { .address = { .host = "127.0.0.1", .port = 1 }, .weight = 3 },
        { .address = { .is_unix = true, .host = "/run/x" }, .weight = 1 },
        { .address = { .host = "localhost", .port = 1 }, .weight = 7 }, /* the same place as the second */
        { .address = { .host = "::ffff:127.0.0.1", .port = 1 }, .weight = 9 }, /* and again */
        { .address = { .host = "localhost", .port = 2 }, .weight = 1 },
        { .address = { .is_unix = true, .host = "/run/y" }, .weight = 1, .is_standby = true },
    };
    static const struct discovery_options options = {
        .targets = targets,
        .target_count = sizeof targets / sizeof targets[0],
        .resolver = { .min_ttl_ms = 1, .max_ttl_ms = 1, .retry_min_ms = 1, .retry_max_ms = 1 },
    };
    struct fixture f;

    (void)state;
    open_discovery(&f, &options);
    while (!f.list || f.list->count < 5)
        loop_turn(f.loop);
    expect_endpoint(&f, 0, "127.0.0.1:1", NULL, 3, 0);
    expect_endpoint(&f, 1, "unix:/run/x", NULL, 1, 0);
    expect_endpoint(&f, 2, "127.0.0.1:2", NULL, 1, 0);
    expect_endpoint(&f, 3, "127.0.0.9:9", NULL, 2, 1);
    expect_endpoint(&f, 4, "unix:/run/y", NULL, 1, 1);
    close_discovery(&f);
}

/* Where TLS asks for the upstream's own name, an address with another name is another place. */
static void names_at_one_address_are_endpoints_of_their_own(void **state)
{
    static const struct discovery_target targets[] = {
        { .address = { .host = "localhost", .port = 1 }, .weight = 2, .is_standby = true },
        { .address = { .host = "127.0.0.1", .port = 1 }, .weight = 3 },
        { .address = { .host = "LOCALHOST", .port = 1 }, .weight = 7, .is_standby = true }, /* the first */
        { .address = { .host = "::1", .port = 1 }, .weight = 4 },
        { .address = { .host = "0::1", .port = 1 }, .weight = 5 }, /* the same name */
        { .address = { .host = "127.0.0.1", .port = 1 },
          .is_standby = true,
          .weight = 6 }, /* already a peer */
    };
    static const struct discovery_options options = {
        .targets = targets,
        .target_count = sizeof targets / sizeof targets[0],
        .resolver = { .hosts = RESOLVER_KEEP_HOSTS,
                      .min_ttl_ms = 1,
                      .max_ttl_ms = 1,
                      .retry_min_ms = 1,
                      .retry_max_ms = 1 },
    };
    struct fixture f;

    (void)state;
    open_discovery(&f, &options);
    for (size_t answered = 0; answered < options.target_count;) {
        loop_turn(f.loop);
        answered = 0;
        for (size_t i = 0; i < options.target_count; i++)
            answered += f.discovery.lookups[i].has_answered;
    }
    assert_int_equal(f.list->count, 3);
    expect_endpoint(&f, 0, "127.0.0.1:1", "127.0.0.1", 3, 0);
    expect_endpoint(&f, 1, "[::1]:1", "::1", 4, 0);
    expect_endpoint(&f, 2, "127.0.0.1:1", "localhost", 2, 1);
    assert_ptr_not_equal(f.list->endpoints[0].stats, f.list->endpoints[2].stats);
    close_discovery(&f);
}

static void discovery_follow(struct fixture *f, struct discovery *next, struct discovery *before,
                             const struct discovery_options *options)
{
    const struct discovery_setup setup = {
        .options = options, .log = &f->log, .on_endpoints = on_endpoints, .owner = f
    };
    struct fault fault;

    assert_true(discovery_open(next, f->loop, &setup, &fault));
    discovery_begin(next, before);
    discovery_close(before);
    endpoint_list_release(f->list);
    f->list = next->list ? endpoint_list_share(next->list) : NULL;
}

static void targets_that_stay_keep_their_addresses(void **state)
{
    static const struct discovery_target targets[] = {
        { .address = { .host = "127.0.0.1", .port = 1 }, .weight = 2 },
        { .address = { .host = "127.0.0.2", .port = 2 }, .weight = 1 },
        { .address = { .host = "127.0.0.3", .port = 3 }, .weight = 1, .server_name = "a" },
    };
    static const struct discovery_target others[] = {
        { .address = { .host = "127.0.0.4", .port = 4 }, .weight = 1 },
        { .address = { .host = "127.0.0.3", .port = 3 }, .weight = 1, .server_name = "b" },
        { .address = { .host = "127.0.0.1", .port = 1 }, .weight = 5 },
    };
    const struct discovery_options before = {
        .targets = targets,
        .target_count = 3,
        .resolver = { .min_ttl_ms = 1, .max_ttl_ms = 1, .retry_min_ms = 1, .retry_max_ms = 1 },
    };
    struct discovery_options after = before, secret;
    struct discovery second, third;
    struct fixture f;

    (void)state;
    after.targets = others;
    secret = after;
    secret.has_tls = true;
    open_discovery(&f, &before);
    while (!f.list || f.list->count < 3)
        loop_turn(f.loop);
    discovery_follow(&f, &second, &f.discovery, &after);
    assert_int_equal(f.list->count, 1);
    expect_endpoint(&f, 0, "127.0.0.1:1", NULL, 5, 0);
    while (f.list->count < 3)
        loop_turn(f.loop);
    /* The names that TLS asks for may be others. */
    discovery_follow(&f, &third, &second, &secret);
    assert_null(f.list);
    while (!f.list || f.list->count < 3)
        loop_turn(f.loop);
    assert_true(f.list->endpoints[0].has_tls);
    discovery_close(&third);
    close_discovery(&f);
}

static void a_standby_alone_is_not_in_the_first_tier(void **state)
{
    static const struct discovery_target target = { .address = { .is_unix = true, .host = "/run/x" },
                                                    .weight = 1,
                                                    .is_standby = true };
    static const struct discovery_options options = { .targets = &target, .target_count = 1 };
    struct fixture f;

    (void)state;
    open_discovery(&f, &options);
    assert_int_equal(f.published, 1);
    expect_endpoint(&f, 0, "unix:/run/x", NULL, 1, 1);
    close_discovery(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_merged_in_order_and_standbys_come_last),
        cmocka_unit_test(names_at_one_address_are_endpoints_of_their_own),
        cmocka_unit_test(targets_that_stay_keep_their_addresses),
        cmocka_unit_test(a_standby_alone_is_not_in_the_first_tier),
    };

    return cmocka_run_group_tests_name("discovery", tests, NULL, NULL);
}
