/* proxy/control/readiness.c: what speaks against being ready, and what is done about it. */
#include "control/readiness.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>
#include <unistd.h>

enum { SHED_MS = 500 };

static const struct dialer_outcome no_dial;

static struct discovery_target target = { .address = { .host = "logs.example" }, .weight = 1 };
static struct discovery_lookup resolving = { .target = &target };
static struct discovery_options options = {
    .targets = &target,
    .target_count = 1,
    .health = { .interval_ms = 1000 },
};
static struct endpoint_list list;

/* Resolved, and probed at `ended_ms`. */
static struct discovery probed(enum end_reason failure, uint64_t ended_ms)
{
    return (struct discovery) {
        .options = &options,
        .lookups = &resolving,
        .list = &list,
        .health = { .options = options.health, .is_known = true, .failure = failure, .ended_ms = ended_ms },
    };
}

static void expect_reasons(const struct readiness_facts *facts, const char *expected)
{
    char text[200] = "text of before";

    assert_int_equal(readiness_describe(facts, text, sizeof text), !*expected);
    assert_string_equal(text, expected);
}

static void expect(const struct discovery *discovery, struct dialer_outcome dial, enum end_reason failure,
                   const char *expected)
{
    const struct readiness_facts facts = { .discovery = discovery, .dial = dial };

    assert_int_equal(readiness_upstream_failure(discovery, &dial), failure);
    expect_reasons(&facts, expected);
}

/* ---- the upstream ---- */

static void an_unknown_upstream_has_not_failed_but_is_not_ready(void **state)
{
    struct discovery discovery = { .options = &options,
                                   .lookups = &resolving,
                                   .health.options = options.health };

    (void)state;
    expect(&discovery, no_dial, END_NONE, "upstream: logs.example is not resolved yet\n");
    discovery.list = &list;
    expect(&discovery, no_dial, END_NONE, "upstream: not probed yet\n");
    discovery.health.options.interval_ms = 0;
    expect(&discovery, no_dial, END_NONE, "");
}

static void a_name_that_does_not_resolve_fails_until_it_has_resolved_once(void **state)
{
    struct discovery_lookup lookup = { .target = &target, .unresolved = "no such name" };
    struct discovery discovery = { .options = &options, .lookups = &lookup };

    (void)state;
    expect(&discovery, no_dial, END_UNRESOLVED, "upstream: cannot resolve logs.example: no such name\n");
    discovery.list = &list;
    expect(&discovery, no_dial, END_NONE, "");
}

static void the_newer_of_probe_and_dial_decides(void **state)
{
    const struct discovery good = probed(END_NONE, 100), bad = probed(END_CONNECT_REFUSED, 100);
    const struct dialer_outcome refused_before = { .reason = END_CONNECT_REFUSED, .at_ms = 99 };
    const struct dialer_outcome refused_after = { .reason = END_CONNECT_TIMEOUT, .at_ms = 101 };
    const struct dialer_outcome good_before = { .reason = END_NONE, .at_ms = 99 },
                                good_after = { .reason = END_NONE, .at_ms = 101 };

    (void)state;
    expect(&good, no_dial, END_NONE, "");
    expect(&good, refused_before, END_NONE, "");
    expect(&good, (struct dialer_outcome) { .reason = END_RESET, .at_ms = 99 }, END_NONE, "");
    expect(&good, refused_after, END_CONNECT_TIMEOUT, "upstream: connecting timed out\n");
    expect(&bad, no_dial, END_CONNECT_REFUSED, "upstream: connection refused\n");
    expect(&bad, good_before, END_CONNECT_REFUSED, "upstream: connection refused\n");
    expect(&bad, good_after, END_NONE, "");
}

static void a_good_probe_does_not_cancel_a_dial_that_failed_after_connecting(void **state)
{
    const struct discovery good = probed(END_NONE, 100);
    const struct dialer_outcome rejected = { .reason = END_TLS_REJECTED, .at_ms = 99 };

    (void)state;
    expect(&good, rejected, END_TLS_REJECTED, "upstream: peer rejected the TLS connection\n");
}

static void a_dial_counts_for_half_a_minute(void **state)
{
    (void)state;
    const struct dialer_outcome failed = { .reason = END_CONNECT_REFUSED, .at_ms = 1000 };
    struct dialer_outcome dial = readiness_recent_dial(failed, 30999);
    assert_int_equal(dial.reason, END_CONNECT_REFUSED);
    assert_int_equal(dial.at_ms, 1000);
    dial = readiness_recent_dial(failed, 31000);
    assert_int_equal(dial.reason, END_NONE);
    assert_int_equal(dial.at_ms, 0);
}

/* ---- the first connection ---- */

static void without_the_first_connection_husk_is_not_ready(void **state)
{
    const struct discovery good = probed(END_NONE, 100), bad = probed(END_CONNECT_REFUSED, 100);
    struct dialer_outcome awaited = { .awaits_first = true };

    (void)state;
    expect(&good, awaited, END_NONE, "upstream: not connected yet\n");
    expect(&bad, awaited, END_CONNECT_REFUSED, "upstream: connection refused\n");
    awaited.at_ms = 99; /* a dial before the reload succeeded */
    expect(&good, awaited, END_NONE, "");
}

static void a_good_probe_cancels_no_dial_while_the_first_connection_is_awaited(void **state)
{
    const struct discovery good = probed(END_NONE, 100);
    const struct dialer_outcome reset = { .reason = END_RESET, .at_ms = 99, .awaits_first = true };

    (void)state;
    expect(&good, reset, END_RESET, "upstream: connection reset by peer\n");
}

static void a_dial_counts_as_long_as_the_first_connection_is_awaited(void **state)
{
    const struct dialer_outcome failed = { .reason = END_TLS_REJECTED, .at_ms = 1000, .awaits_first = true };

    (void)state;
    assert_int_equal(readiness_recent_dial(failed, 1000000).reason, END_TLS_REJECTED);
}

/* ---- the other reasons ---- */

static void each_reason_has_a_line(void **state)
{
    const struct discovery good = probed(END_NONE, 100);
    struct readiness_facts facts = { .discovery = &good, .wall_seconds = 1000 };

    (void)state;
    expect_reasons(&facts, "");
    /* The last second of the validity; of the CAs one has ended. */
    facts.validity[SIDE_UPSTREAM] = (struct validity) { 1000, 1000, 999, 1000, 0 };
    expect_reasons(&facts, "");
    facts.validity[SIDE_UPSTREAM].intermediates = 999;
    expect_reasons(&facts, "certificate: an intermediate of the own certificate has expired\n");
    facts.validity[SIDE_UPSTREAM] = (struct validity) { 1000, 0, 999, 999, 0 };
    expect_reasons(&facts, "certificate: all CAs have expired\n");
    facts.validity[SIDE_UPSTREAM] = (struct validity) { .leaf = 999 };
    expect_reasons(&facts, "certificate: the own certificate has expired\n");
    facts.dial = (struct dialer_outcome) { .reason = END_CONNECT_REFUSED, .at_ms = 101 };
    expect_reasons(&facts, "certificate: the own certificate has expired\n"
                           "upstream: connection refused\n");
}

static void a_certificate_that_ends_soon_is_a_reason_if_a_life_is_asked_for(void **state)
{
    const struct discovery good = probed(END_NONE, 100);
    struct readiness_facts facts = { .discovery = &good, .wall_seconds = 1000, .min_certificate_life = 100 };

    (void)state;
    facts.validity[SIDE_DOWNSTREAM] = (struct validity) { 1100, 1100, 1001, 1001, 0 };
    expect_reasons(&facts, "");
    facts.validity[SIDE_DOWNSTREAM].leaf = 1099;
    expect_reasons(&facts, "certificate: the own certificate ends within --min-certificate-life\n");
    facts.validity[SIDE_DOWNSTREAM] = (struct validity) { .leaf = 1100, .intermediates = 1000 };
    expect_reasons(&facts, "certificate: an intermediate of the own certificate ends within "
                           "--min-certificate-life\n");
    facts.validity[SIDE_DOWNSTREAM] = (struct validity) { .leaf = 999 };
    expect_reasons(&facts, "certificate: the own certificate has expired\n");
}

static void an_address_without_acks_is_a_note_unless_its_messages_are_held(void **state)
{
    struct endpoint_metrics other = { .address = "10.0.0.2:1", .is_listed = true };
    struct endpoint_metrics silent = { .next = &other, .address = "10.0.0.1:1", .is_listed = true };
    struct discovery good = probed(END_NONE, 100);
    struct readiness_facts facts = { .discovery = &good, .on_no_acks = ROUTE_NO_ACKS_CONTINUE };
    char text[400];

    (void)state;
    good.stats_registry.first = &silent;
    expect_reasons(&facts, "");
    silent.acks = METRICS_ACKS_NEVER;
    assert_true(readiness_describe(&facts, text, sizeof text));
    assert_string_equal(
        text, "upstream 10.0.0.1:1: never acknowledges; husk sends without acks (--on-no-acks continue)\n");
    facts.on_no_acks = ROUTE_NO_ACKS_HOLD;
    assert_true(readiness_describe(&facts, text, sizeof text)); /* the other address takes the messages */
    assert_string_equal(
        text, "upstream 10.0.0.1:1: never acknowledges; husk keeps its messages (--on-no-acks hold)\n");
    silent.server_name = "b.test";
    assert_true(readiness_describe(&facts, text, sizeof text));
    assert_string_equal(
        text,
        "upstream 10.0.0.1:1 (b.test): never acknowledges; husk keeps its messages (--on-no-acks hold)\n");
    other.is_listed = false;
    assert_false(readiness_describe(&facts, text, sizeof text));
    facts.on_no_acks = ROUTE_NO_ACKS_CONTINUE;
    facts.dial = (struct dialer_outcome) { .reason = END_CONNECT_REFUSED, .at_ms = 101 };
    assert_false(readiness_describe(&facts, text, sizeof text));
}

/* ---- refusing connections ---- */

struct calls {
    struct log log;
    unsigned verdicts[READINESS_SHED + 1];
};

static void on_verdict(void *owner, enum readiness_verdict verdict)
{
    ((struct calls *)owner)->verdicts[verdict]++;
}

static struct readiness watching(struct discovery *discovery, struct calls *calls)
{
    *calls = (struct calls) { 0 };
    log_init(&calls->log, STDERR_FILENO, LOG_ERROR, LOG_TEXT);
    return (struct readiness) { .options = { .discovery = discovery,
                                             .log = &calls->log,
                                             .refuses_unhealthy = true,
                                             .shed_after_ms = SHED_MS,
                                             .on_verdict = on_verdict,
                                             .owner = calls } };
}

static void expect_calls(const struct calls *calls, unsigned refuse, unsigned admit)
{
    assert_int_equal(calls->verdicts[READINESS_REFUSE], refuse);
    assert_int_equal(calls->verdicts[READINESS_ADMIT], admit);
}

static void connections_are_refused_once_per_failure_and_accepted_once_after_it(void **state)
{
    struct discovery discovery = probed(END_NONE, 100);
    struct calls calls;
    struct readiness readiness = watching(&discovery, &calls);

    (void)state;
    readiness_check(&readiness, &no_dial, 100);
    expect_calls(&calls, 0, 0);
    discovery.health.failure = END_CONNECT_REFUSED;
    readiness_check(&readiness, &no_dial, 100);
    readiness_check(&readiness, &no_dial, 100);
    expect_calls(&calls, 1, 0);
    discovery.health.failure = END_NONE;
    readiness_check(&readiness, &no_dial, 100);
    readiness_check(&readiness, &no_dial, 100);
    expect_calls(&calls, 1, 1);
    log_deinit(&calls.log);
}

static void connections_are_not_refused_unless_asked_for(void **state)
{
    struct discovery discovery = probed(END_CONNECT_REFUSED, 100);
    struct calls calls;
    struct readiness readiness = watching(&discovery, &calls);

    (void)state;
    readiness.options.refuses_unhealthy = false;
    readiness_check(&readiness, &no_dial, 100);
    expect_calls(&calls, 0, 0);
    log_deinit(&calls.log);
}

static void options_that_refuse_nothing_accept_connections_at_once(void **state)
{
    struct discovery discovery = probed(END_CONNECT_REFUSED, 100);
    struct calls calls;
    struct readiness readiness = watching(&discovery, &calls);
    struct readiness_options other = readiness.options;

    (void)state;
    readiness_check(&readiness, &no_dial, 100);
    readiness_set_options(&readiness, &other);
    expect_calls(&calls, 1, 0);
    other.refuses_unhealthy = false;
    readiness_set_options(&readiness, &other);
    expect_calls(&calls, 1, 1);
    log_deinit(&calls.log);
}

static void a_refusal_is_repeated_and_nothing_else(void **state)
{
    struct discovery discovery = probed(END_NONE, 100);
    struct calls calls;
    struct readiness readiness = watching(&discovery, &calls);

    (void)state;
    readiness_refuse_again(&readiness);
    expect_calls(&calls, 0, 0);
    discovery.health.failure = END_CONNECT_REFUSED;
    readiness_check(&readiness, &no_dial, 100);
    readiness_refuse_again(&readiness);
    expect_calls(&calls, 2, 0);
    log_deinit(&calls.log);
}

/* ---- shedding ---- */

struct shedding {
    struct endpoint_metrics endpoints[2];
    struct discovery discovery;
    struct calls calls;
    struct readiness readiness;
};

/* Two addresses, which have failed, and a third one that is not listed any more. */
static void shedding_init(struct shedding *s, enum readiness_state state)
{
    static struct endpoint_metrics unlisted;

    *s = (struct shedding) { .discovery = probed(END_CONNECT_REFUSED, 100) };
    for (unsigned i = 0; i < 2; i++) {
        s->endpoints[i] = (struct endpoint_metrics) { .next = i ? &unlisted : &s->endpoints[1],
                                                      .ejected_until_ms = 50,
                                                      .is_listed = true };
    }
    s->discovery.stats_registry.first = s->endpoints;
    s->readiness = watching(&s->discovery, &s->calls);
    s->readiness.options.refuses_unhealthy = false;
    readiness_drain(&s->readiness, state);
}

static void check(struct shedding *s, uint64_t at_ms, unsigned sheds)
{
    readiness_check(&s->readiness, &no_dial, at_ms);
    assert_int_equal(s->calls.verdicts[READINESS_SHED], sheds);
}

static void after_a_while_without_an_address_a_route_that_drains_sheds_and_refuses(void **state)
{
    struct shedding s;

    (void)state;
    shedding_init(&s, READINESS_DRAINING);
    check(&s, 1000, 0);
    check(&s, 1000 + SHED_MS - 1, 0);
    expect_calls(&s.calls, 0, 0);
    check(&s, 1000 + SHED_MS, 1);
    check(&s, 2000 + SHED_MS, 2);
    expect_calls(&s.calls, 1, 0);
    s.discovery.health.failure = END_NONE;
    check(&s, 3000 + SHED_MS, 2);
    expect_calls(&s.calls, 1, 1);
    log_deinit(&s.calls.log);
}

static void sockets_that_cannot_pause_do_not_refuse(void **state)
{
    struct shedding s;

    (void)state;
    shedding_init(&s, READINESS_DRAINING_FIXED);
    check(&s, 1000, 0);
    check(&s, 1000 + SHED_MS, 1);
    expect_calls(&s.calls, 0, 0);
    log_deinit(&s.calls.log);
}

static void a_route_sheds_at_once_if_its_upstream_has_failed_for_long(void **state)
{
    struct shedding s;

    (void)state;
    shedding_init(&s, READINESS_SERVING);
    check(&s, 1000, 0);
    check(&s, 1000 + SHED_MS, 0);
    readiness_drain(&s.readiness, READINESS_DRAINING);
    check(&s, 1001 + SHED_MS, 1);
    log_deinit(&s.calls.log);
}

static void one_address_that_has_not_failed_is_enough(void **state)
{
    struct shedding s;

    (void)state;
    shedding_init(&s, READINESS_DRAINING);
    check(&s, 1000, 0);
    s.endpoints[1].ejected_until_ms = 0;
    check(&s, 1000 + SHED_MS, 0);
    s.endpoints[1].ejected_until_ms = 60;
    s.endpoints[1].connections[METRICS_READY] = 1;
    check(&s, 1000 + 2 * SHED_MS, 0);
    s.endpoints[1].connections[METRICS_READY] = 0;
    check(&s, 2000 + 2 * SHED_MS, 0); /* the time begins again */
    check(&s, 2000 + 3 * SHED_MS, 1);
    log_deinit(&s.calls.log);
}

static void an_upstream_without_addresses_is_not_known_to_fail(void **state)
{
    struct shedding s;

    (void)state;
    shedding_init(&s, READINESS_DRAINING);
    s.endpoints[0].is_listed = s.endpoints[1].is_listed = false;
    check(&s, 1000, 0);
    check(&s, 1000 + SHED_MS, 0);
    log_deinit(&s.calls.log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_upstream_has_not_failed_but_is_not_ready),
        cmocka_unit_test(a_name_that_does_not_resolve_fails_until_it_has_resolved_once),
        cmocka_unit_test(the_newer_of_probe_and_dial_decides),
        cmocka_unit_test(a_good_probe_does_not_cancel_a_dial_that_failed_after_connecting),
        cmocka_unit_test(a_dial_counts_for_half_a_minute),
        cmocka_unit_test(without_the_first_connection_husk_is_not_ready),
        cmocka_unit_test(a_good_probe_cancels_no_dial_while_the_first_connection_is_awaited),
        cmocka_unit_test(a_dial_counts_as_long_as_the_first_connection_is_awaited),
        cmocka_unit_test(each_reason_has_a_line),
        cmocka_unit_test(a_certificate_that_ends_soon_is_a_reason_if_a_life_is_asked_for),
        cmocka_unit_test(an_address_without_acks_is_a_note_unless_its_messages_are_held),
        cmocka_unit_test(connections_are_refused_once_per_failure_and_accepted_once_after_it),
        cmocka_unit_test(connections_are_not_refused_unless_asked_for),
        cmocka_unit_test(options_that_refuse_nothing_accept_connections_at_once),
        cmocka_unit_test(a_refusal_is_repeated_and_nothing_else),
        cmocka_unit_test(after_a_while_without_an_address_a_route_that_drains_sheds_and_refuses),
        cmocka_unit_test(sockets_that_cannot_pause_do_not_refuse),
        cmocka_unit_test(a_route_sheds_at_once_if_its_upstream_has_failed_for_long),
        cmocka_unit_test(one_address_that_has_not_failed_is_enough),
        cmocka_unit_test(an_upstream_without_addresses_is_not_known_to_fail),
    };

    return cmocka_run_group_tests_name("readiness", tests, NULL, NULL);
}
