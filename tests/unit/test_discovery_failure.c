/* proxy/relay/upstream.c: what is said of an upstream, from what is known of it. */
#include "control/discovery.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

static const struct discovery_dial no_dial;

static struct discovery_target place = { .address = { .host = "logs.example" }, .weight = 1 };
static struct discovery_source resolving = { .place = &place };
static struct discovery_options options = {
    .places = &place,
    .place_count = 1,
    .health = { .interval_ms = 1000 },
};
static struct endpoint_list list;

/* Resolved, and probed at `ended_ms`. */
static struct discovery probed(enum end_reason failure, uint64_t ended_ms)
{
    return (struct discovery) {
        .options = &options,
        .sources = &resolving,
        .list = &list,
        .health = { .options = options.health, .known = true, .failure = failure, .ended_ms = ended_ms },
    };
}

static void expect(const struct discovery *upstream, struct discovery_dial dial, enum end_reason failure,
                   const char *expected)
{
    char text[200] = "";

    assert_int_equal(discovery_failure(upstream, &dial), failure);
    discovery_describe(upstream, &dial, text, sizeof text);
    assert_string_equal(text, expected);
}

static void nothing_speaks_against_what_is_not_known_but_it_is_not_ready_either(void **state)
{
    struct discovery upstream = { .options = &options,
                                 .sources = &resolving,
                                 .health.options = options.health };

    (void)state;
    expect(&upstream, no_dial, END_NONE, "upstream: logs.example is not resolved yet\n");
    upstream.list = &list;
    expect(&upstream, no_dial, END_NONE, "upstream: not probed yet\n");
    upstream.health.options.interval_ms = 0;
    expect(&upstream, no_dial, END_NONE, "");
}

static void a_name_that_does_not_resolve_fails_until_it_has_resolved_once(void **state)
{
    struct discovery_source source = { .place = &place, .unresolved = "no such name" };
    struct discovery upstream = { .options = &options, .sources = &source };

    (void)state;
    expect(&upstream, no_dial, END_UNRESOLVED, "upstream: cannot resolve logs.example: no such name\n");
    upstream.list = &list;
    expect(&upstream, no_dial, END_NONE, "");
}

static void the_newest_news_counts(void **state)
{
    const struct discovery good = probed(END_NONE, 100), bad = probed(END_CONNECT_REFUSED, 100);
    const struct discovery_dial refused_before = { END_CONNECT_REFUSED, 99 };
    const struct discovery_dial refused_after = { END_CONNECT_TIMEOUT, 101 };
    const struct discovery_dial good_before = { END_NONE, 99 }, good_after = { END_NONE, 101 };

    (void)state;
    expect(&good, no_dial, END_NONE, "");
    expect(&good, refused_before, END_NONE, "");
    expect(&good, (struct discovery_dial) { END_RESET, 99 }, END_NONE, "");
    expect(&good, refused_after, END_CONNECT_TIMEOUT, "upstream: connecting timed out\n");
    expect(&bad, no_dial, END_CONNECT_REFUSED, "upstream: connection refused\n");
    expect(&bad, good_before, END_CONNECT_REFUSED, "upstream: connection refused\n");
    expect(&bad, good_after, END_NONE, "");
}

static void a_probe_cannot_disprove_more_than_absence(void **state)
{
    const struct discovery good = probed(END_NONE, 100);
    const struct discovery_dial rejected = { END_TLS_REJECTED, 99 };

    (void)state;
    expect(&good, rejected, END_TLS_REJECTED, "upstream: peer rejected the TLS connection\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_speaks_against_what_is_not_known_but_it_is_not_ready_either),
        cmocka_unit_test(a_name_that_does_not_resolve_fails_until_it_has_resolved_once),
        cmocka_unit_test(the_newest_news_counts),
        cmocka_unit_test(a_probe_cannot_disprove_more_than_absence),
    };

    return cmocka_run_group_tests_name("discovery_failure", tests, NULL, NULL);
}
