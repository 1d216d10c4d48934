/* proxy/link/dialer.c: the last outcome, and the addresses that stay. */
#include "link/dialer.h"

#include "support/runtime.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct runtime runtime;

static int set_up(void **state)
{
    runtime_open(&runtime);
    *state = &runtime.transport.dialer;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    runtime_close(&runtime);
    return 0;
}

static void expect_outcome(const struct dialer *dialer, enum end_reason reason, uint64_t at_ms)
{
    struct dialer_outcome outcome = dialer_last_outcome(dialer);

    assert_int_equal(outcome.reason, reason);
    assert_int_equal(outcome.at_ms, at_ms);
}

static void the_last_report_is_the_outcome(void **state)
{
    struct dialer *dialer = *state;
    uint64_t now_ms = runtime.reactor.now_ms;

    expect_outcome(dialer, END_NONE, 0);
    dialer_report(dialer, END_CONNECT_REFUSED);
    expect_outcome(dialer, END_CONNECT_REFUSED, now_ms);
    runtime_pass(&runtime, 10);
    dialer_report(dialer, END_NONE);
    expect_outcome(dialer, END_NONE, now_ms + 10);
    dialer_report(dialer, END_REASON_COUNT - 1);
    expect_outcome(dialer, END_REASON_COUNT - 1, now_ms + 10);
}

static void failures_of_this_process_are_no_outcome(void **state)
{
    struct dialer *dialer = *state;

    dialer_report(dialer, END_CONNECT_TIMEOUT);
    uint64_t reported_ms = runtime.reactor.now_ms;
    runtime_pass(&runtime, 10);
    dialer_report(dialer, END_NO_MEMORY);
    dialer_report(dialer, END_NO_DESCRIPTOR);
    expect_outcome(dialer, END_CONNECT_TIMEOUT, reported_ms);
}

static void an_ack_ends_a_failure(void **state)
{
    struct dialer *dialer = *state;

    dialer_note_ack(dialer);
    expect_outcome(dialer, END_NONE, 0); /* there was none: the time of the last dial stays */
    dialer_report(dialer, END_ACK_TIMEOUT);
    uint64_t failed_ms = runtime.reactor.now_ms;
    runtime_pass(&runtime, 10);
    dialer_note_ack(dialer);
    expect_outcome(dialer, END_NONE, failed_ms + 10);
}

static void an_ack_is_not_the_first_connection_that_is_awaited(void **state)
{
    struct dialer *dialer = *state;

    dialer_await_first(dialer);
    dialer_report(dialer, END_TLS_REJECTED);
    dialer_note_ack(dialer);
    expect_outcome(dialer, END_TLS_REJECTED, runtime.reactor.now_ms);
}

static void other_options_forget_the_outcome(void **state)
{
    struct dialer *dialer = *state;

    dialer_report(dialer, END_CERTIFICATE_NAME);
    dialer_options_changed(dialer);
    expect_outcome(dialer, END_NONE, 0);
}

static void the_last_addresses_stay_while_no_name_resolves(void **state)
{
    struct dialer *dialer = *state;

    assert_false(dialer->is_resolved);
    dialer_set_endpoints(dialer, NULL);
    assert_true(dialer->is_resolved); /* it is known that there is none */
    assert_null(dialer->endpoints.list);
    runtime_set_endpoints(&runtime, (const uint16_t[]) { 1, 2 }, NULL, 2);
    dialer_set_endpoints(dialer, NULL);
    assert_int_equal(dialer->endpoints.list->count, 2);
    runtime_set_endpoints(&runtime, (const uint16_t[]) { 3 }, NULL, 1);
    assert_int_equal(dialer->endpoints.list->count, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_last_report_is_the_outcome),
        TEST(failures_of_this_process_are_no_outcome),
        TEST(an_ack_ends_a_failure),
        TEST(an_ack_is_not_the_first_connection_that_is_awaited),
        TEST(other_options_forget_the_outcome),
        TEST(the_last_addresses_stay_while_no_name_resolves),
    };

    return cmocka_run_group_tests_name("dialer", tests, NULL, NULL);
}
