/* proxy/delivery/retry.c: what becomes of a message whose upstream connection has ended. */
#include "delivery/retry.h"

#include "support/messages.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

enum { MAX_ATTEMPTS = 3, MAX_ACK_TIMEOUTS = 2 };
enum { NOW_MS = 1000 };

static void ignore_settled(void *owner, const struct message *message)
{
    (void)owner, (void)message;
}

static void ignore_refused(void *owner, const struct sender_refusal *refusal)
{
    (void)owner, (void)refusal;
}

static void ignore_undelivered(void *owner, enum end_reason reason)
{
    (void)owner, (void)reason;
}

static void ignore(void *owner)
{
    (void)owner;
}

static const struct sender_events events = {
    .on_settled = ignore_settled,
    .on_refused = ignore_refused,
    .on_undelivered = ignore_undelivered,
    .on_wake = ignore,
};

struct fixture {
    struct buffer_pool pool;
    struct retry retry;
    struct sender sender;
    struct message *message; /* the agent's, and wants an ack */
    struct message *batch;   /* of 20 messages */
};

static struct fixture fixture;

static int set_up(void **state)
{
    struct fixture *f = &fixture;

    *f = (struct fixture) { 0 };
    retry_init(&f->retry, MAX_ATTEMPTS, MAX_ACK_TIMEOUTS);
    sender_init(&f->sender, &events, NULL, 1);
    f->message = messages_make(&f->pool, "m", MESSAGE_AGENT_ACK, 1);
    f->batch = messages_make(&f->pool, "b", MESSAGE_AGENT_ACK, 20);
    sender_file(&f->sender, f->message, 0);
    sender_file(&f->sender, f->batch, 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    sender_release(&f->sender);
    message_free(f->message);
    message_free(f->batch);
    buffer_pool_deinit(&f->pool);
    return 0;
}

/* A connection has ended at the message. */
static void fail_at(struct message *message, enum end_reason reason, enum retry_fault fault)
{
    retry_count_failure(&fixture.retry, message, &(struct retry_failure) { reason, fault, NOW_MS * 1000 });
}

static void a_connection_that_ends_at_a_message_isolates_it(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(retry_decide(&f->retry, f->message), RETRY_AGAIN); /* it did not end at this message */
    assert_false(message_is_isolated(f->message));
    fail_at(f->message, END_RESET, RETRY_FAULT_NONE);
    assert_true(message_is_isolated(f->message));
    assert_true(sender_must_wait(&f->sender, f->batch));
    assert_int_equal(retry_decide(&f->retry, f->message), RETRY_AGAIN);
}

/* A connection has ended at another message. */
static void expose(struct message *message, enum end_reason reason, enum retry_fault fault)
{
    retry_count_exposure(message, &(struct retry_failure) { reason, fault, NOW_MS * 1000 });
}

static void what_was_sent_with_others_counts_once_the_message_has_failed_alone(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < MAX_ATTEMPTS; i++)
        expose(f->message, END_RESET, RETRY_FAULT_MESSAGE);
    assert_false(message_is_isolated(f->message)); /* nothing is known against it */
    fail_at(f->message, END_RESET, RETRY_FAULT_MESSAGE);
    assert_int_equal(retry_decide(&f->retry, f->message), RETRY_AGAIN);
    fail_at(f->message, END_RESET, RETRY_FAULT_MESSAGE);
    assert_int_equal(retry_decide(&f->retry, f->message), RETRY_GIVE_UP);
}

static void the_end_of_an_address_exposes_no_message(void **state)
{
    struct fixture *f = *state;

    expose(f->message, END_RESET, RETRY_FAULT_ADDRESS);
    expose(f->message, END_ACK_TIMEOUT, RETRY_FAULT_MESSAGE);
    expose(f->message, END_SHUTDOWN, RETRY_FAULT_NONE);
    expose(f->message, END_NO_MEMORY, RETRY_FAULT_NONE);
    assert_int_equal(f->message->exposures, 0);
    expose(f->message, END_RESET, RETRY_FAULT_NONE);
    assert_int_equal(f->message->exposures, 1);
}

static void the_first_retry_is_at_once_and_the_next_ones_wait(void **state)
{
    static const uint64_t delays_ms[] = { 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000 };
    struct fixture *f = *state;

    retry_init(&f->retry, 20, MAX_ACK_TIMEOUTS);
    for (size_t i = 0; i < sizeof delays_ms / sizeof delays_ms[0]; i++) {
        fail_at(f->message, END_RESET, RETRY_FAULT_NONE);
        assert_int_equal(retry_delay_ms(&f->retry, f->message), delays_ms[i]);
    }
}

static void a_message_yields_after_half_of_its_attempts_without_evidence(void **state)
{
    struct fixture *f = *state;

    retry_init(&f->retry, 6, MAX_ACK_TIMEOUTS);
    fail_at(f->message, END_RESET, RETRY_FAULT_EITHER);
    fail_at(f->message, END_RESET, RETRY_FAULT_EITHER);
    assert_false(f->message->yields);
    assert_true(sender_must_wait(&f->sender, f->batch));
    fail_at(f->message, END_RESET, RETRY_FAULT_EITHER);
    assert_true(f->message->yields);
    assert_false(sender_must_wait(&f->sender, f->batch));
    assert_true(message_is_isolated(f->message));
}

static void a_message_that_is_at_fault_does_not_yield(void **state)
{
    struct fixture *f = *state;

    retry_init(&f->retry, 4, MAX_ACK_TIMEOUTS);
    for (unsigned i = 0; i < 3; i++)
        fail_at(f->message, END_RESET, RETRY_FAULT_MESSAGE);
    assert_false(f->message->yields);
}

static void no_retry_waits_for_long_before_the_end_of_the_process(void **state)
{
    struct fixture *f = *state;

    retry_init(&f->retry, 20, MAX_ACK_TIMEOUTS);
    f->message->attempts = 10;
    assert_int_equal(retry_delay_ms(&f->retry, f->message), RETRY_DELAY_MAX_MS);
    retry_note_drain(&f->retry);
    assert_int_equal(retry_delay_ms(&f->retry, f->message), RETRY_DELAY_MIN_MS);
    f->message->attempts = 1;
    assert_int_equal(retry_delay_ms(&f->retry, f->message), 0);
}

static void an_attempt_that_can_be_the_last_one_is_not_at_once(void **state)
{
    struct fixture *f = *state;

    fail_at(f->message, END_RESET, RETRY_FAULT_NONE);
    retry_init(&f->retry, 3, MAX_ACK_TIMEOUTS);
    assert_int_equal(retry_delay_ms(&f->retry, f->message), 0);
    retry_init(&f->retry, 2, MAX_ACK_TIMEOUTS);
    assert_int_equal(retry_delay_ms(&f->retry, f->message), RETRY_DELAY_MIN_MS);
    retry_init(&f->retry, 0, MAX_ACK_TIMEOUTS); /* there is no last one */
    assert_int_equal(retry_delay_ms(&f->retry, f->message), 0);
}

static void an_address_at_fault_costs_no_message(void **state)
{
    static const enum retry_fault faults[] = { RETRY_FAULT_ADDRESS, RETRY_FAULT_NONE };
    struct fixture *f = *state;

    for (unsigned attempts = 0; attempts < 100; attempts++) {
        fail_at(f->message, END_RESET, faults[attempts % 2]);
        assert_int_equal(retry_decide(&f->retry, f->message), RETRY_AGAIN);
    }
    fail_at(f->message, END_RESET, RETRY_FAULT_MESSAGE);
    assert_int_equal(retry_decide(&f->retry, f->message), RETRY_GIVE_UP);
}

static void a_failure_of_husk_itself_is_no_attempt(void **state)
{
    static const enum end_reason reasons[] = { END_NO_MEMORY, END_NO_DESCRIPTOR, END_SHUTDOWN, END_OTHER_SIDE,
                                               END_RETIRED };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        fail_at(f->message, reasons[i], RETRY_FAULT_MESSAGE);
        assert_false(message_is_isolated(f->message));
    }
}

static void a_late_ack_does_not_isolate(void **state)
{
    struct fixture *f = *state;

    fail_at(f->message, END_ACK_TIMEOUT, RETRY_FAULT_MESSAGE);
    assert_false(message_is_isolated(f->message));
    assert_false(sender_has_isolated(&f->sender));
    assert_int_equal(retry_decide(&f->retry, f->message), RETRY_AGAIN);
}

static void a_message_is_given_up_after_so_many_connections(void **state)
{
    struct fixture *f = *state;

    for (unsigned attempts = 1; attempts <= MAX_ATTEMPTS; attempts++) {
        assert_int_equal(retry_decide(&f->retry, f->message), RETRY_AGAIN);
        fail_at(f->message, END_UPSTREAM_CLOSED, RETRY_FAULT_MESSAGE);
    }
    assert_int_equal(retry_decide(&f->retry, f->message), RETRY_GIVE_UP);
    retry_init(&f->retry, 0, MAX_ACK_TIMEOUTS); /* 0: no limit */
    assert_int_equal(retry_decide(&f->retry, f->message), RETRY_AGAIN);
}

static void a_message_is_given_up_after_so_many_ack_timeouts(void **state)
{
    struct fixture *f = *state;

    for (unsigned timeouts = 1; timeouts <= MAX_ACK_TIMEOUTS; timeouts++) {
        assert_int_equal(retry_decide(&f->retry, f->message), RETRY_AGAIN);
        fail_at(f->message, END_ACK_TIMEOUT, RETRY_FAULT_MESSAGE);
    }
    assert_int_equal(retry_decide(&f->retry, f->message), RETRY_GIVE_UP);
}

static void a_message_without_bytes_is_given_up(void **state)
{
    struct fixture *f = *state;

    message_discard_bytes(f->message);
    assert_int_equal(retry_decide(&f->retry, f->message), RETRY_GIVE_UP);
    message_discard_bytes(f->batch);
    assert_int_equal(retry_decide(&f->retry, f->batch), RETRY_GIVE_UP);
}

static void silence_is_not_the_messages(void **state)
{
    struct fixture *f = *state;

    for (unsigned timeouts = 0; timeouts < 100; timeouts++) {
        fail_at(f->message, END_ACK_TIMEOUT, RETRY_FAULT_ADDRESS);
        assert_int_equal(retry_decide(&f->retry, f->message), RETRY_AGAIN);
    }
    assert_int_equal(f->message->ack_timeouts, 0);
}

static void silence_splits_a_batch_and_does_not_drop_it(void **state)
{
    struct fixture *f = *state;

    for (unsigned timeouts = 0; timeouts < 100; timeouts++) {
        fail_at(f->batch, END_ACK_TIMEOUT, RETRY_FAULT_ADDRESS);
        assert_int_equal(retry_decide(&f->retry, f->batch), RETRY_SPLIT);
    }
    assert_int_equal(retry_part_events(f->batch), 1);
}

/* The verdict about a connection that ends at `message`. An ack came `acked_us` after the message was sent.
 */
static enum retry_fault judge(struct message *message, enum end_reason reason, int64_t acked_us)
{
    return retry_judge(&(struct retry_evidence) { .reason = reason,
                                                  .message = message,
                                                  .sent_us = NOW_MS * 1000,
                                                  .acked_us = (uint64_t)(NOW_MS * 1000 + acked_us) });
}

static void a_late_ack_is_the_messages_where_others_came_since_it_was_sent(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(judge(f->message, END_ACK_TIMEOUT, -1), RETRY_FAULT_ADDRESS);
    assert_int_equal(judge(f->message, END_ACK_TIMEOUT, 0), RETRY_FAULT_ADDRESS);
    assert_int_equal(judge(f->message, END_ACK_TIMEOUT, 1), RETRY_FAULT_MESSAGE);
}

static void an_end_is_the_messages_where_others_got_through_since_its_last_attempt(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(judge(f->message, END_RESET, 0), RETRY_FAULT_ADDRESS);
    assert_int_equal(judge(f->message, END_RESET, 1), RETRY_FAULT_MESSAGE);
    f->message->attempted_us = NOW_MS * 1000 + 5;
    assert_int_equal(judge(f->message, END_RESET, 5), RETRY_FAULT_ADDRESS);
    assert_int_equal(judge(f->message, END_RESET, 6), RETRY_FAULT_MESSAGE);
}

static void the_silence_of_a_husk_on_a_link_is_not_the_messages(void **state)
{
    struct fixture *f = *state;
    struct retry_evidence evidence = {
        .reason = END_ACK_TIMEOUT, .message = f->message, .sent_us = 10, .acked_us = 11, .now_us = 20
    };

    assert_int_equal(retry_judge(&evidence), RETRY_FAULT_MESSAGE);
    evidence.says_waiting = true;
    assert_int_equal(retry_judge(&evidence), RETRY_FAULT_ADDRESS);
    evidence.reason = END_RESET;
    assert_int_equal(retry_judge(&evidence), RETRY_FAULT_MESSAGE);
}

static void an_end_counts_for_both_where_the_connection_was_quiet_before_it(void **state)
{
    struct fixture *f = *state;
    struct retry_evidence evidence = { .reason = END_RESET, .was_quiet = true };

    assert_int_equal(retry_judge(&evidence), RETRY_FAULT_ADDRESS); /* it ended before the message */
    evidence.message = f->message;
    assert_int_equal(retry_judge(&evidence), RETRY_FAULT_EITHER);
    assert_true(retry_blames_message(RETRY_FAULT_EITHER) && retry_blames_address(RETRY_FAULT_EITHER));
    evidence.others_fail = true; /* the aggregator takes no message at all */
    assert_int_equal(retry_judge(&evidence), RETRY_FAULT_ADDRESS);
    evidence.others_fail = false;
    evidence.reason = END_ACK_TIMEOUT; /* silence proves nothing */
    assert_int_equal(retry_judge(&evidence), RETRY_FAULT_ADDRESS);
    evidence.reason = END_NO_MEMORY;
    assert_false(retry_blames_message(retry_judge(&evidence)));
}

static void a_first_retry_is_no_evidence_against_an_address_that_has_worked_lately(void **state)
{
    struct fixture *f = *state;
    struct retry_evidence evidence = { .reason = END_RESET,
                                       .message = f->message,
                                       .sent_us = NOW_MS * 1000,
                                       .now_us = NOW_MS * 1000,
                                       .acked_us = NOW_MS * 1000 };

    assert_int_equal(retry_judge(&evidence), RETRY_FAULT_ADDRESS); /* it is not a retry */
    f->message->attempts = 1;
    f->message->attempted_us = NOW_MS * 1000;
    assert_int_equal(retry_judge(&evidence), RETRY_FAULT_NONE);
    evidence.now_us += 5000000;
    assert_int_equal(retry_judge(&evidence), RETRY_FAULT_ADDRESS); /* not lately */
    evidence.now_us = NOW_MS * 1000;
    f->message->attempts = 2;
    assert_int_equal(retry_judge(&evidence), RETRY_FAULT_ADDRESS);
}

static void an_end_without_a_message_at_fault_is_the_address_s_unless_it_was_of_use(void **state)
{
    struct retry_evidence evidence = { .reason = END_RESET, .acked_us = 1 };

    (void)state;
    assert_int_equal(retry_judge(&evidence), RETRY_FAULT_ADDRESS);
    evidence.is_of_use = true;
    assert_int_equal(retry_judge(&evidence), RETRY_FAULT_NONE);
    evidence = (struct retry_evidence) { .reason = END_RETIRED };
    assert_int_equal(retry_judge(&evidence), RETRY_FAULT_NONE);
}

static void a_message_that_its_agent_sends_again_is_dropped_with_the_agent(void **state)
{
    struct fixture *f = *state;

    sender_note_end(&f->sender);
    assert_int_equal(retry_decide(&f->retry, f->message), RETRY_GIVE_UP);
    assert_int_equal(retry_decide(&f->retry, f->batch), RETRY_GIVE_UP);
    sender_release(&f->sender);
    assert_int_equal(retry_decide(&f->retry, f->message), RETRY_LEFT);
    assert_int_equal(retry_decide(&f->retry, f->batch), RETRY_LEFT);
}

static void a_message_that_husk_protects_outlives_its_agent(void **state)
{
    struct fixture *f = *state;
    struct message *ours = messages_make(&f->pool, "o", MESSAGE_OUR_ACK, 1);

    assert_int_equal(retry_decide(&f->retry, ours), RETRY_AGAIN);
    fail_at(ours, END_RESET, RETRY_FAULT_NONE); /* there is no sender to tell */
    assert_int_equal(retry_decide(&f->retry, ours), RETRY_AGAIN);
    message_free(ours);
}

static void a_batch_is_sent_alone_and_then_split(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(retry_decide(&f->retry, f->batch), RETRY_AGAIN);
    fail_at(f->batch, END_RESET, RETRY_FAULT_NONE);
    assert_int_equal(retry_decide(&f->retry, f->batch), RETRY_AGAIN);
    for (unsigned attempts = 2; attempts <= MAX_ATTEMPTS + 1; attempts++) {
        fail_at(f->batch, END_RESET, RETRY_FAULT_NONE);
        assert_int_equal(retry_decide(&f->retry, f->batch), RETRY_SPLIT); /* it is never given up as one */
    }
}

static void an_isolated_batch_has_eight_parts_at_most(void **state)
{
    static const unsigned counts[][2] = { { 2, 1 }, { 8, 1 }, { 9, 2 }, { 24, 3 }, { 25, 4 } };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct message *batch = messages_make(&f->pool, "b", MESSAGE_AGENT_ACK, counts[i][0]);
        batch->attempts = 2;
        assert_int_equal(retry_part_events(batch), counts[i][1]);
        message_free(batch);
    }
}

static void a_batch_with_a_late_ack_is_split_into_its_events(void **state)
{
    struct fixture *f = *state;

    fail_at(f->batch, END_ACK_TIMEOUT, RETRY_FAULT_MESSAGE);
    assert_int_equal(retry_decide(&f->retry, f->batch), RETRY_SPLIT);
    assert_int_equal(retry_part_events(f->batch), 1);
}

static void a_part_is_isolated_as_its_batch_was(void **state)
{
    struct fixture *f = *state;
    struct message *part = messages_make(&f->pool, "p", MESSAGE_OUR_ACK, 1);

    retry_inherit(part, f->batch);
    assert_false(message_is_isolated(part));
    f->batch->attempts = 5;
    retry_inherit(part, f->batch);
    assert_int_equal(part->attempts, 1); /* it has its own attempts */
    f->batch->attempted_us = 7;
    retry_inherit(part, f->batch);
    assert_int_equal(part->attempted_us, 7); /* acks after this time are evidence against it */
    message_free(part);
}

static void a_cut_through_message_restarts_while_nothing_is_lost(void **state)
{
    struct fixture *f = *state;

    assert_true(retry_can_restart(&f->retry, f->message, 100));
    message_discard_bytes(f->message);
    assert_false(retry_can_restart(&f->retry, f->message, 100));
    assert_true(retry_can_restart(&f->retry, f->message, 0));
    f->message->attempts = MAX_ATTEMPTS - 1;
    assert_true(retry_can_restart(&f->retry, f->message, 0));
    f->message->attempts = MAX_ATTEMPTS;
    assert_true(retry_can_restart(&f->retry, f->message, 0)); /* the address was at fault */
    f->message->is_blamed = true;
    assert_false(retry_can_restart(&f->retry, f->message, 0));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_connection_that_ends_at_a_message_isolates_it),
        TEST(what_was_sent_with_others_counts_once_the_message_has_failed_alone),
        TEST(the_end_of_an_address_exposes_no_message),
        TEST(the_first_retry_is_at_once_and_the_next_ones_wait),
        TEST(a_message_yields_after_half_of_its_attempts_without_evidence),
        TEST(a_message_that_is_at_fault_does_not_yield),
        TEST(no_retry_waits_for_long_before_the_end_of_the_process),
        TEST(an_attempt_that_can_be_the_last_one_is_not_at_once),
        TEST(an_address_at_fault_costs_no_message),
        TEST(a_failure_of_husk_itself_is_no_attempt),
        TEST(a_late_ack_does_not_isolate),
        TEST(a_message_is_given_up_after_so_many_connections),
        TEST(a_message_is_given_up_after_so_many_ack_timeouts),
        TEST(a_message_without_bytes_is_given_up),
        TEST(silence_is_not_the_messages),
        TEST(silence_splits_a_batch_and_does_not_drop_it),
        TEST(a_late_ack_is_the_messages_where_others_came_since_it_was_sent),
        TEST(an_end_is_the_messages_where_others_got_through_since_its_last_attempt),
        TEST(the_silence_of_a_husk_on_a_link_is_not_the_messages),
        TEST(an_end_counts_for_both_where_the_connection_was_quiet_before_it),
        TEST(a_first_retry_is_no_evidence_against_an_address_that_has_worked_lately),
        TEST(an_end_without_a_message_at_fault_is_the_address_s_unless_it_was_of_use),
        TEST(a_message_that_its_agent_sends_again_is_dropped_with_the_agent),
        TEST(a_message_that_husk_protects_outlives_its_agent),
        TEST(a_batch_is_sent_alone_and_then_split),
        TEST(an_isolated_batch_has_eight_parts_at_most),
        TEST(a_batch_with_a_late_ack_is_split_into_its_events),
        TEST(a_part_is_isolated_as_its_batch_was),
        TEST(a_cut_through_message_restarts_while_nothing_is_lost),
    };

    return cmocka_run_group_tests_name("retry", tests, NULL, NULL);
}
