/* proxy/control/health.c: which addresses a round tries. */
#include "control/health.h"

#include "support/addresses.h"
#include "support/loop.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SHARED = 3 }; /* names at the first address */

/* Binds a port of 127.0.0.1, which refuses connections unless it listens. */
static int socket_bind(struct socket_address *to)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *to = addresses_at_port(0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&to->storage, to->length), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&to->storage, &to->length), 0);
    return fd;
}

/* Several names have the first address, which refuses; the last endpoint has an address that accepts. */
static void a_round_tries_an_address_once(void **state)
{
    static const char *const names[] = { "a.test", "b.test", "c.test", "d.test" };
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    const struct health_options options = { .interval_ms = 60000, .timeout_ms = 60000 };
    struct endpoint endpoints[SHARED + 1];
    struct socket_address dead, alive;
    int dead_fd = socket_bind(&dead), alive_fd = socket_bind(&alive);
    struct health health;

    (void)state;
    assert_int_equal(listen(alive_fd, 1), 0);
    for (size_t i = 0; i <= SHARED; i++)
        endpoints[i] =
            (struct endpoint) { .address = i == SHARED ? alive : dead, .server_name = names[i], .weight = 1 };
    health_open(&health, loop, &options);
    health_replace(&health, endpoint_list_new(endpoints, SHARED + 1));
    while (!health.is_known) {
        assert_true(health.at == 0 || health.at == SHARED);
        loop_turn(loop);
    }
    assert_int_equal(health.failure, END_NONE);
    assert_int_equal(health.at, SHARED);

    health_replace(&health, endpoint_list_new(endpoints, SHARED)); /* the dead address alone */
    health.is_known = false;
    while (!health.is_known) {
        assert_int_equal(health.at, 0);
        loop_turn(loop);
    }
    assert_int_equal(health.failure, END_CONNECT_REFUSED);
    health_close(&health);
    ev_loop_destroy(loop);
    close(dead_fd);
    close(alive_fd);
}

/* ---- after another one ---- */

enum { HOUR_MS = 3600000, MINUTE_MS = 60000 };

/* Two places that accept connections, and one that does not. */
struct places {
    struct ev_loop *loop;
    int fds[3];
    struct endpoint endpoints[3];
};

static void open_places(struct places *places)
{
    struct socket_address address;

    places->loop = ev_loop_new(EVFLAG_AUTO);
    for (unsigned i = 0; i < 3; i++) {
        places->fds[i] = socket_bind(&address);
        places->endpoints[i] = (struct endpoint) { .address = address, .weight = 1 };
        assert_true(i == 2 || listen(places->fds[i], 1) == 0);
    }
}

static void close_places(struct places *places)
{
    ev_loop_destroy(places->loop);
    for (unsigned i = 0; i < 3; i++)
        close(places->fds[i]);
}

/* Probes the endpoints from `first` on until a round has ended. */
static void probe(struct health *health, struct places *places, const struct health_options *options,
                  size_t first, size_t count)
{
    health_open(health, places->loop, options);
    health_replace(health, endpoint_list_new(&places->endpoints[first], count));
    while (!health->is_known)
        loop_turn(places->loop);
}

static void follow(struct health *health, struct health *before, struct places *places, size_t first,
                   size_t count)
{
    const struct health_options options = { .interval_ms = MINUTE_MS, .timeout_ms = MINUTE_MS };

    health_open(health, places->loop, &options);
    health_follow(health, endpoint_list_new(&places->endpoints[first], count), before);
    assert_false(ev_is_active(&before->timer));
    assert_int_equal(before->fd, -1);
    health_close(before);
}

/* libev adds and subtracts its clock, a double: what is left can be longer by a rounding error. */
static bool fires_within(const struct places *places, struct health *health, unsigned limit_ms)
{
    return ev_timer_remaining(places->loop, &health->timer) < (double)(limit_ms + 1) / 1000;
}

static void a_result_stands_where_it_is_true(void **state)
{
    static const struct health_options options = { .interval_ms = HOUR_MS, .timeout_ms = MINUTE_MS };
    static const struct {
        size_t first, count, next, next_count;
        bool stands, waits;
    } cases[] = {
        { 0, 1, 0, 1, true, true },   /* the same */
        { 0, 2, 0, 2, true, true },   /* the same two */
        { 0, 1, 0, 2, true, false },  /* one more */
        { 0, 2, 0, 1, true, false },  /* without the one that was not asked */
        { 0, 2, 1, 1, false, false }, /* without the one that answered */
        { 0, 1, 1, 1, false, false }, /* another one */
        { 2, 1, 2, 1, true, true },   /* nobody answered */
        { 2, 1, 1, 2, false, false }, /* and another one may answer */
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct places places;
        struct health before, after;
        open_places(&places);
        probe(&before, &places, &options, cases[i].first, cases[i].count);
        const struct health known = before;
        follow(&after, &before, &places, cases[i].next, cases[i].next_count);
        assert_int_equal(after.is_known, cases[i].stands);
        assert_true(!cases[i].stands || after.failure == known.failure);
        assert_true(!cases[i].stands || after.ended_ms == known.ended_ms);
        assert_int_equal(after.fd < 0, cases[i].waits);
        /* The next round does not come later than the own interval allows. */
        assert_true(!cases[i].waits || fires_within(&places, &after, MINUTE_MS));
        health_close(&after);
        close_places(&places);
    }
}

static void a_round_that_is_due_sooner_stays_due(void **state)
{
    static const struct health_options options = { .interval_ms = 500, .timeout_ms = MINUTE_MS };
    struct places places;
    struct health before, after;

    (void)state;
    open_places(&places);
    probe(&before, &places, &options, 0, 1);
    follow(&after, &before, &places, 0, 1);
    assert_true(fires_within(&places, &after, 500));
    health_close(&after);
    close_places(&places);
}

/* The pause doubles after each failed round, up to the interval. A good round begins anew. */
static void after_a_failed_round_the_next_one_comes_soon(void **state)
{
    static const double pauses[] = { 0.5, 1, 1.5, 1.5 };
    static const struct health_options options = { .interval_ms = 1500, .timeout_ms = MINUTE_MS };
    struct places places;
    struct health health;

    (void)state;
    open_places(&places);
    health_open(&health, places.loop, &options);
    for (size_t good = 0; good < 2; good++) {
        for (size_t i = 0; i < sizeof pauses / sizeof pauses[0]; i++) {
            health.is_known = false;
            health_replace(&health, endpoint_list_new(&places.endpoints[2], 1));
            while (!health.is_known)
                loop_turn(places.loop);
            /* The loop's clock stands still since then. */
            assert_float_equal(ev_timer_remaining(places.loop, &health.timer), pauses[i], 0.001);
        }
        health.is_known = false;
        health_replace(&health, endpoint_list_new(&places.endpoints[0], 1));
        while (!health.is_known)
            loop_turn(places.loop);
        assert_int_equal(health.failure, END_NONE);
    }
    health_close(&health);
    close_places(&places);
}

static void who_probes_until_good_probes_no_more_after_a_change(void **state)
{
    static const struct health_options options = { HOUR_MS, MINUTE_MS, HEALTH_UNTIL_GOOD };
    struct places places;
    struct health before, after;

    (void)state;
    open_places(&places);
    probe(&before, &places, &options, 0, 1);
    health_open(&after, places.loop, &options);
    health_follow(&after, endpoint_list_new(places.endpoints, 1), &before);
    health_close(&before);
    assert_true(after.is_known && after.fd < 0 && !ev_is_active(&after.timer));
    health_refresh(&after); /* something has failed */
    assert_true(after.fd >= 0);
    health_close(&after);
    close_places(&places);
}

static void a_round_under_way_begins_again(void **state)
{
    static const struct health_options options = { .interval_ms = HOUR_MS, .timeout_ms = MINUTE_MS };
    struct places places;
    struct health before, after;

    (void)state;
    open_places(&places);
    health_open(&before, places.loop, &options);
    health_replace(&before, endpoint_list_new(places.endpoints, 1));
    follow(&after, &before, &places, 0, 1);
    assert_false(after.is_known);
    while (!after.is_known)
        loop_turn(places.loop);
    assert_int_equal(after.failure, END_NONE);
    health_close(&after);
    close_places(&places);
}

static void who_does_not_probe_knows_nothing(void **state)
{
    static const struct health_options probing = { .interval_ms = HOUR_MS, .timeout_ms = MINUTE_MS },
                                       off = { .timeout_ms = MINUTE_MS };
    struct places places;
    struct health before, between, after;

    (void)state;
    open_places(&places);
    probe(&before, &places, &probing, 2, 1);
    health_open(&between, places.loop, &off);
    health_follow(&between, endpoint_list_new(&places.endpoints[2], 1), &before);
    health_close(&before);
    assert_true(!between.is_known && between.fd < 0 && !ev_is_active(&between.timer));
    follow(&after, &between, &places, 2, 1);
    assert_true(after.fd >= 0);
    health_close(&after);
    close_places(&places);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_round_tries_an_address_once),
        cmocka_unit_test(a_result_stands_where_it_is_true),
        cmocka_unit_test(a_round_that_is_due_sooner_stays_due),
        cmocka_unit_test(after_a_failed_round_the_next_one_comes_soon),
        cmocka_unit_test(who_probes_until_good_probes_no_more_after_a_change),
        cmocka_unit_test(a_round_under_way_begins_again),
        cmocka_unit_test(who_does_not_probe_knows_nothing),
    };

    return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
