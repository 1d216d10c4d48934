/* proxy/runtime/connection_log.c: which ends of connections are logged, and the sum of the others. */
#include "runtime/connection_log.h"

#include "support/addresses.h"
#include "support/runtime.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

enum { BURST = 2 };

struct fixture {
    struct runtime runtime;
    struct connection_log connection_log;
    char text[RUNTIME_LOG_BYTES]; /* of the last expect_log */
};

static struct fixture fixture;

static int set_up(void **state)
{
    struct fixture *f = &fixture;

    runtime_open(&f->runtime);
    f->runtime.route.log_burst = BURST;
    runtime_pass(&f->runtime, LOG_LIMITER_WINDOW_MS);
    connection_log_init(&f->connection_log, &f->runtime.reactor, &f->runtime.log, &f->runtime.route,
                        &f->runtime.transport.metrics);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    connection_log_close(&f->connection_log);
    runtime_close(&f->runtime);
    return 0;
}

static void end(struct fixture *f, enum end_reason reason)
{
    connection_log_write(&f->connection_log,
                         &(struct connection_end) { .side = SIDE_UPSTREAM,
                                                    .reason = reason,
                                                    .phase = "deliver",
                                                    .opened_ms = f->runtime.reactor.now_ms });
}

/* So many lines have been logged since the last call; all of them contain `part`. */
static void expect_log(struct fixture *f, unsigned lines, const char *part)
{
    char text[RUNTIME_LOG_BYTES];

    runtime_read_log(&f->runtime, f->text);
    strcpy(text, f->text);
    for (char *rest = text, *line; (line = strsep(&rest, "\n")) && *line; lines--) {
        assert_true(lines > 0);
        if (!strstr(line, part))
            fail_msg("no \"%s\" in: %s", part, line);
    }
    assert_int_equal(lines, 0);
}

static void a_failure_is_a_warning_with_all_that_is_known(void **state)
{
    struct fixture *f = *state;
    struct socket_address peer = addresses_at_port(1), upstream = addresses_at_port(2);

    connection_log_write(&f->connection_log,
                         &(struct connection_end) { .side = SIDE_DOWNSTREAM,
                                                    .reason = END_RESET,
                                                    .phase = "read",
                                                    .detail = "a detail",
                                                    .peer = &peer,
                                                    .upstream = &upstream,
                                                    .opened_ms = f->runtime.reactor.now_ms - 7 });
    expect_log(f, 1,
               " warn connection ended route=test side=downstream phase=read reason=reset what=\"connection "
               "reset by peer\" detail=\"a detail\" peer=127.0.0.1:1 upstream=127.0.0.1:2 duration_ms=7");
}

static void what_is_unknown_is_left_out(void **state)
{
    struct fixture *f = *state;

    end(f, END_RESET);
    expect_log(f, 1, "reset by peer\" duration_ms=0");
}

static void failures_beyond_the_burst_are_counted_by_reason(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < BURST + 3; i++)
        end(f, END_RESET);
    end(f, END_IO_ERROR);
    for (unsigned i = 0; i < BURST; i++)
        end(f, END_NOT_TLS);
    expect_log(f, 2 * BURST + 1, "warn connection ended");
    assert_int_equal(f->connection_log.summary.fires_at_ms,
                     f->runtime.reactor.now_ms + LOG_LIMITER_WINDOW_MS);
    f->connection_log.summary.on_fire(f->connection_log.summary.owner);
    expect_log(f, 1, "warn more connections ended route=test reason=reset suppressed=3");
    f->connection_log.summary.on_fire(f->connection_log.summary.owner); /* told once */
    expect_log(f, 0, "");
}

static void the_next_line_tells_what_was_left_out(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < BURST + 3; i++)
        end(f, END_RESET);
    expect_log(f, BURST, "reason=reset");
    runtime_pass(&f->runtime, LOG_LIMITER_WINDOW_MS);
    end(f, END_RESET);
    expect_log(f, 1, "suppressed=3");
}

static void agents_that_do_not_read_acks_are_warnings_with_a_limit(void **state)
{
    struct fixture *f = *state;
    struct socket_address peer = addresses_at_port(1);

    for (unsigned i = 0; i < BURST + 3; i++)
        connection_log_unread_acks(&f->connection_log, &peer);
    expect_log(f, BURST, "warn an agent asks for acks and does not read them: its acks beyond --unread-acks");
    f->connection_log.summary.on_fire(f->connection_log.summary.owner);
    expect_log(f, 1, "warn more agents do not read their acks route=test suppressed=3");
}

static void ordinary_ends_are_debug_lines_without_limit(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < BURST + 3; i++)
        end(f, END_RETIRED);
    expect_log(f, BURST + 3, " debug connection ended");
    assert_int_equal(f->connection_log.summary.fires_at_ms, 0);
}

static void a_close_tells_what_was_left_out(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < BURST + 1; i++)
        end(f, END_RESET);
    expect_log(f, BURST, "reason=reset");
    connection_log_close(&f->connection_log);
    expect_log(f, 1, "suppressed=1");
    assert_false(ev_is_active(&f->connection_log.summary.watcher));
}

static void a_refused_message_is_logged_like_an_end(void **state)
{
    struct fixture *f = *state;
    const struct connection_end refusal = { .side = SIDE_DOWNSTREAM,
                                            .reason = END_TAG_NOT_ALLOWED,
                                            .phase = "read" };

    connection_log_refusal(&f->connection_log, &refusal);
    expect_log(f, 1, " warn message refused route=test side=downstream phase=read reason=tag_not_allowed");
}

static void invalid_events_are_logged_and_counted_beyond_the_burst(void **state)
{
    struct fixture *f = *state;
    struct socket_address peer = addresses_at_port(1);
    const struct connection_end where = { .peer = &peer };
    const struct connection_invalid record = { EVENT_FAULT_RECORD, "app.x", false, &where },
                                    value = { EVENT_FAULT_VALUE, "", true, &where };

    connection_log_invalid(&f->connection_log, &record);
    expect_log(f, 1,
               " warn invalid events are left out route=test reason=record what=\"the record is no map\" "
               "tag=app.x peer=127.0.0.1:1");
    connection_log_invalid(&f->connection_log, &value);
    expect_log(f, 1,
               "invalid events are passed on route=test reason=value what=\"the value is no array\" peer=");
    for (unsigned i = BURST - 2; i < BURST + 1; i++)
        connection_log_invalid(&f->connection_log, &record);
    expect_log(f, 0, "");
    f->connection_log.summary.on_fire(f->connection_log.summary.owner);
    expect_log(f, 1, "warn more senders send invalid events route=test suppressed=3");
    f->connection_log.summary.on_fire(f->connection_log.summary.owner);
    expect_log(f, 0, "");
}

static void the_failure_of_a_husk_upstream_is_logged(void **state)
{
    struct fixture *f = *state;
    struct socket_address upstream = addresses_at_port(1);

    connection_log_waiting(&f->connection_log, END_CONNECT_REFUSED, &upstream);
    expect_log(f, 1, "its own upstream fails route=test reason=connect_refused");
}

static void advise(struct fixture *f, enum end_reason reason, enum spoken spoken)
{
    const struct leg leg = { .spoken = (uint8_t)spoken };

    connection_log_write(
        &f->connection_log,
        &(struct connection_end) {
            .side = SIDE_UPSTREAM, .reason = reason, .leg = &leg, .opened_ms = f->runtime.reactor.now_ms });
}

static void a_mistake_is_logged_with_what_the_peer_speaks_and_what_to_change(void **state)
{
    struct fixture *f = *state;

    advise(f, END_BAD_ACK, SPOKEN_HELO);
    expect_log(f, 1, " speaks=helo hint=\"the aggregator asks for a shared key");
    advise(f, END_CONNECT_REFUSED, SPOKEN_NOTHING); /* then the advice alone */
    expect_log(f, 1, "connection refused\" hint=");
    advise(f, END_UNKNOWN_ACK, SPOKEN_ACK); /* no mistake in the settings */
    expect_log(f, 1, "an unknown message\" duration_ms=0");
}

static void silence_is_a_mistake_only_until_an_upstream_has_answered(void **state)
{
    struct fixture *f = *state;

    advise(f, END_RESET, SPOKEN_NOTHING);
    expect_log(f, 1, " speaks=nothing hint=\"no upstream has ever answered");
    metrics_add(&f->runtime.transport.metrics.side[SIDE_UPSTREAM].bytes[METRICS_RECEIVED], 1);
    advise(f, END_RESET, SPOKEN_NOTHING);
    expect_log(f, 1, "reset by peer\" duration_ms=0");
}

static void a_hint_is_given_once(void **state)
{
    struct fixture *f = *state;
    struct socket_address peer = addresses_at_port(1);

    connection_log_hint(&f->connection_log, HINT_OLD_HUSK, &peer);
    expect_log(f, 1, "answers for single messages route=test peer=127.0.0.1:1");
    connection_log_hint(&f->connection_log, HINT_OLD_HUSK, &peer);
    expect_log(f, 0, "");
}

static void missing_acks_are_an_error_that_says_what_to_set(void **state)
{
    struct fixture *f = *state;
    struct socket_address upstream = addresses_at_port(1);

    connection_log_acks(&f->connection_log, ACKS_FORGONE, &upstream);
    expect_log(f, 1,
               " error the aggregator reads messages and has never acknowledged anything: husk sends it");
    connection_log_acks(&f->connection_log, ACKS_AWAITED, &upstream);
    expect_log(f, 1, "set --on-no-acks continue or --delivery passthrough route=test upstream=127.0.0.1:1");
    connection_log_acks(&f->connection_log, ACKS_SEEN, &upstream);
    expect_log(f, 1, " info the aggregator acknowledges messages");
}

static void messages_that_are_given_up_are_counted_beyond_the_burst(void **state)
{
    struct fixture *f = *state;

    end(f, END_RESET); /* has a limit of its own */
    expect_log(f, 1, "warn connection ended");
    for (unsigned i = 0; i < BURST + 3; i++)
        connection_log_give_up(&f->connection_log, END_RESET, 2);
    expect_log(f, BURST,
               "warn messages given up route=test reason=reset what=\"connection reset by peer\" messages=2");
    f->connection_log.summary.on_fire(f->connection_log.summary.owner);
    expect_log(f, 1, "warn more messages given up route=test reason=reset suppressed=3");
}

/* ---- failures of upstream addresses that repeat ---- */

enum { FIRST_MS = 10 * 1000, LONGEST_MS = 5 * 60 * 1000 };

static void fail_at(struct fixture *f, uint16_t port, enum end_reason reason)
{
    struct socket_address upstream = addresses_at_port(port);

    connection_log_write(&f->connection_log,
                         &(struct connection_end) { .side = SIDE_UPSTREAM,
                                                    .reason = reason,
                                                    .phase = "connect",
                                                    .upstream = &upstream,
                                                    .opened_ms = f->runtime.reactor.now_ms });
}

static void pass(struct fixture *f, uint64_t duration_ms)
{
    runtime_pass(&f->runtime, duration_ms);
    f->connection_log.summary.on_fire(f->connection_log.summary.owner);
}

static void forget(struct fixture *f, uint16_t port)
{
    struct socket_address upstream = addresses_at_port(port);

    connection_log_forget(&f->connection_log, &upstream);
}

static void a_failure_that_repeats_is_logged_less_and_less_often(void **state)
{
    struct fixture *f = *state;
    uint64_t interval_ms = FIRST_MS;

    fail_at(f, 1, END_CONNECT_REFUSED);
    expect_log(f, 1, "warn connection ended route=test side=upstream phase=connect reason=connect_refused");
    for (unsigned lines = 0; lines < 8; lines++) {
        fail_at(f, 1, END_CONNECT_REFUSED);
        pass(f, interval_ms - 1);
        fail_at(f, 1, END_CONNECT_REFUSED);
        expect_log(f, 0, "");
        pass(f, 1);
        expect_log(f, 1,
                   "warn more connections ended route=test reason=connect_refused upstream=127.0.0.1:1 "
                   "suppressed=2");
        interval_ms = interval_ms * 2 < LONGEST_MS ? interval_ms * 2 : LONGEST_MS;
    }
}

static void another_reason_and_another_address_are_news(void **state)
{
    struct fixture *f = *state;

    fail_at(f, 1, END_CONNECT_REFUSED);
    fail_at(f, 2, END_CONNECT_REFUSED);
    fail_at(f, 1, END_CONNECT_TIMEOUT);
    expect_log(f, 3, "warn connection ended");
    fail_at(f, 2, END_CONNECT_REFUSED);
    expect_log(f, 0, "");
}

static void a_failure_after_a_pause_is_logged_at_once(void **state)
{
    struct fixture *f = *state;

    for (uint64_t interval_ms = FIRST_MS; interval_ms <= 4 * FIRST_MS; interval_ms *= 2) {
        fail_at(f, 1, END_CONNECT_REFUSED);
        expect_log(f, 1, "warn connection ended");
        pass(f, interval_ms);
    }
    assert_false(LIST_EMPTY(&f->connection_log.repeats));
    pass(f, LONGEST_MS);
    assert_true(LIST_EMPTY(&f->connection_log.repeats)); /* it is not known for ever */
    expect_log(f, 0, "");
}

static void a_failure_is_news_when_the_address_has_worked(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.log_burst = 10;
    fail_at(f, 1, END_CONNECT_REFUSED);
    fail_at(f, 1, END_CONNECT_REFUSED);
    fail_at(f, 2, END_CONNECT_REFUSED);
    expect_log(f, 2, "warn connection ended");
    forget(f, 1);
    expect_log(f, 1,
               "warn more connections ended route=test reason=connect_refused upstream=127.0.0.1:1 "
               "suppressed=1");
    forget(f, 1);
    expect_log(f, 0, "");
    fail_at(f, 1, END_CONNECT_REFUSED);
    expect_log(f, 1, "warn connection ended");
    fail_at(f, 2, END_CONNECT_REFUSED);
    expect_log(f, 0, "");
    connection_log_forget(&f->connection_log, NULL);
    expect_log(f, 1, "upstream=127.0.0.1:2 suppressed=1");
    assert_true(LIST_EMPTY(&f->connection_log.repeats));
}

static void without_a_burst_each_failure_is_logged(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.log_burst = 0;
    fail_at(f, 1, END_CONNECT_REFUSED);
    fail_at(f, 1, END_CONNECT_REFUSED);
    expect_log(f, 2, "warn connection ended");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_failure_is_a_warning_with_all_that_is_known),
        TEST(what_is_unknown_is_left_out),
        TEST(failures_beyond_the_burst_are_counted_by_reason),
        TEST(the_next_line_tells_what_was_left_out),
        TEST(agents_that_do_not_read_acks_are_warnings_with_a_limit),
        TEST(ordinary_ends_are_debug_lines_without_limit),
        TEST(a_close_tells_what_was_left_out),
        TEST(a_refused_message_is_logged_like_an_end),
        TEST(invalid_events_are_logged_and_counted_beyond_the_burst),
        TEST(the_failure_of_a_husk_upstream_is_logged),
        TEST(a_mistake_is_logged_with_what_the_peer_speaks_and_what_to_change),
        TEST(silence_is_a_mistake_only_until_an_upstream_has_answered),
        TEST(a_hint_is_given_once),
        TEST(missing_acks_are_an_error_that_says_what_to_set),
        TEST(messages_that_are_given_up_are_counted_beyond_the_burst),
        TEST(a_failure_that_repeats_is_logged_less_and_less_often),
        TEST(another_reason_and_another_address_are_news),
        TEST(a_failure_after_a_pause_is_logged_at_once),
        TEST(a_failure_is_news_when_the_address_has_worked),
        TEST(without_a_burst_each_failure_is_logged),
    };

    return cmocka_run_group_tests_name("connection_log", tests, NULL, NULL);
}
