/* proxy/delivery/agent_clock.c: what counts as progress, and when an agent is stalled, idle or silent. */
#include "delivery/agent_clock.h"

#include "link/shared_key.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum {
    START_MS = 10000,
    MESSAGE_TIMEOUT_MS = 5000,
    IDLE_TIMEOUT_MS = 30000,
    SILENCE_MS = 2000,
    UNREAD_MS = 4000
};

static const struct route_options route = {
    .message_timeout_ms = MESSAGE_TIMEOUT_MS,
    .idle_timeout_ms = IDLE_TIMEOUT_MS,
    .silence_hint_ms = SILENCE_MS,
    .unread_acks_timeout_ms = UNREAD_MS,
};
static const struct route_options no_timeouts;

static struct agent_facts facts_at(uint64_t now_ms)
{
    return (struct agent_facts) { .route = &route, .now_ms = now_ms };
}

static void an_agent_stalls_in_the_middle_of_a_message_only(void **state)
{
    const struct agent_clock clock = { .progress_ms = START_MS };
    struct agent_facts facts = facts_at(START_MS + MESSAGE_TIMEOUT_MS);

    (void)state;
    assert_false(agent_clock_is_stalled(&clock, &facts));
    assert_int_equal(agent_clock_deadline(&clock, &facts), START_MS + IDLE_TIMEOUT_MS);
    facts.is_mid_message = true;
    assert_int_equal(agent_clock_deadline(&clock, &facts), START_MS + MESSAGE_TIMEOUT_MS);
    assert_true(agent_clock_is_stalled(&clock, &facts));
    facts.now_ms--;
    assert_false(agent_clock_is_stalled(&clock, &facts));
}

static void an_agent_that_waits_for_husk_does_not_stall(void **state)
{
    const struct agent_clock clock = { .progress_ms = START_MS };
    struct agent_facts facts = facts_at(START_MS + MESSAGE_TIMEOUT_MS);

    (void)state;
    facts.is_mid_message = facts.waits_for_husk = true;
    assert_false(agent_clock_is_stalled(&clock, &facts));
    assert_int_equal(agent_clock_deadline(&clock, &facts), START_MS + IDLE_TIMEOUT_MS);
}

static void under_pressure_an_agent_stalls_after_a_second(void **state)
{
    const struct agent_clock clock = { .progress_ms = START_MS };
    struct agent_facts facts = facts_at(START_MS + 999);
    struct route_options shorter = route;

    (void)state;
    facts.is_mid_message = facts.is_under_pressure = true;
    assert_false(agent_clock_is_stalled(&clock, &facts));
    assert_int_equal(agent_clock_deadline(&clock, &facts), START_MS + 1000);
    facts.now_ms++;
    assert_true(agent_clock_is_stalled(&clock, &facts));
    shorter.message_timeout_ms = 300; /* a shorter timeout stays */
    facts.route = &shorter;
    assert_int_equal(agent_clock_deadline(&clock, &facts), START_MS + 300);
}

static void an_agent_is_idle_after_the_timeout(void **state)
{
    const struct agent_clock clock = { .progress_ms = START_MS };
    struct agent_facts facts = facts_at(START_MS + IDLE_TIMEOUT_MS - 1);

    (void)state;
    assert_false(agent_clock_is_idle(&clock, &facts));
    facts.now_ms++;
    assert_true(agent_clock_is_idle(&clock, &facts));
    facts.has_unsettled = true; /* the agent waits for husk, and no deadline is due */
    assert_false(agent_clock_is_idle(&clock, &facts));
    assert_int_equal(agent_clock_deadline(&clock, &facts), 0);
}

static void an_agent_that_has_sent_nothing_is_silent(void **state)
{
    const struct agent_clock clock = { .progress_ms = START_MS };
    struct agent_facts facts = facts_at(START_MS + SILENCE_MS - 1);

    (void)state;
    facts.is_untouched = true;
    assert_false(agent_clock_is_silent(&clock, &facts));
    assert_int_equal(agent_clock_deadline(&clock, &facts), START_MS + SILENCE_MS);
    facts.now_ms++;
    assert_true(agent_clock_is_silent(&clock, &facts));
    /* The hint is given once: no deadline remains for it. */
    assert_int_equal(agent_clock_deadline(&clock, &facts), START_MS + IDLE_TIMEOUT_MS);
    facts.is_untouched = false;
    assert_false(agent_clock_is_silent(&clock, &facts));
}

static void an_agent_that_takes_no_acks_for_the_timeout_does_not_read_them(void **state)
{
    struct agent_clock clock = { .progress_ms = START_MS };
    struct agent_facts facts = facts_at(START_MS + UNREAD_MS);

    (void)state;
    assert_false(agent_clock_leaves_acks(&clock, &facts));
    facts.leaves_acks = true;
    assert_true(agent_clock_leaves_acks(&clock, &facts));
    facts.now_ms--;
    assert_false(agent_clock_leaves_acks(&clock, &facts));
    assert_int_equal(agent_clock_deadline(&clock, &facts), START_MS + UNREAD_MS);
    agent_clock_progress(&clock, &facts, 1); /* the agent is slow, and reads */
    assert_int_equal(agent_clock_deadline(&clock, &facts), START_MS + UNREAD_MS - 1 + UNREAD_MS);
}

static void an_agent_that_gets_a_helo_is_not_silent(void **state)
{
    static struct shared_key_slot key;
    const struct agent_clock clock = { .progress_ms = START_MS };
    struct route_options with_key = route;
    struct agent_facts facts = facts_at(START_MS + SILENCE_MS);

    (void)state;
    with_key.key[SIDE_DOWNSTREAM] = &key;
    facts.route = &with_key;
    facts.is_untouched = true;
    assert_false(agent_clock_is_silent(&clock, &facts));
    assert_int_equal(agent_clock_deadline(&clock, &facts), START_MS + IDLE_TIMEOUT_MS);
}

static void without_timeouts_there_is_no_deadline(void **state)
{
    const struct agent_clock clock = { .progress_ms = START_MS };
    struct agent_facts facts = { .route = &no_timeouts,
                                 .now_ms = UINT64_MAX / 2,
                                 .is_untouched = true,
                                 .is_mid_message = true,
                                 .leaves_acks = true,
                                 .is_under_pressure = true };

    (void)state;
    assert_int_equal(agent_clock_deadline(&clock, &facts), 0);
    assert_false(agent_clock_is_stalled(&clock, &facts));
    assert_false(agent_clock_is_idle(&clock, &facts));
    assert_false(agent_clock_is_silent(&clock, &facts));
    assert_false(agent_clock_leaves_acks(&clock, &facts));
}

static void any_byte_is_progress_without_pressure(void **state)
{
    struct agent_clock clock = { .progress_ms = START_MS };
    struct agent_facts facts = facts_at(START_MS + 700);

    (void)state;
    agent_clock_progress(&clock, &facts, 1);
    assert_int_equal(clock.progress_ms, START_MS + 700);
    facts.now_ms += 100;
    facts.holds_budget = true;
    agent_clock_progress(&clock, &facts, 1);
    assert_int_equal(clock.progress_ms, START_MS + 800);
    facts.now_ms += 100;
    facts.holds_budget = false;
    facts.is_under_pressure = true;
    agent_clock_progress(&clock, &facts, 1);
    assert_int_equal(clock.progress_ms, START_MS + 900);
}

static void under_pressure_bytes_earn_time(void **state)
{
    struct agent_clock clock = { .progress_ms = START_MS };
    struct agent_facts facts = facts_at(START_MS + 700);

    (void)state;
    facts.holds_budget = facts.is_under_pressure = true;
    agent_clock_progress(&clock, &facts, 63);
    assert_int_equal(clock.progress_ms, START_MS);
    agent_clock_progress(&clock, &facts, 64 * 5);
    assert_int_equal(clock.progress_ms, START_MS + 5);
    agent_clock_progress(&clock, &facts, 64 * 5000); /* no time is earned in advance */
    assert_int_equal(clock.progress_ms, START_MS + 700);
    facts.now_ms += 10;
    agent_clock_progress(&clock, &facts, SIZE_MAX);
    assert_int_equal(clock.progress_ms, START_MS + 710);
}

static void a_pause_is_counted_once_and_ends(void **state)
{
    struct agent_clock clock = { .progress_ms = START_MS };
    struct message_metrics metrics = { 0 };
    struct agent_facts facts = facts_at(START_MS + 300);

    (void)state;
    agent_clock_pause(&clock, &metrics, START_MS + 100, 0);
    assert_int_equal(clock.progress_ms, START_MS); /* no pause: nothing changes */
    assert_int_equal(metrics_read(&metrics.rate_limited), 0);
    agent_clock_pause(&clock, &metrics, START_MS + 200, 500);
    agent_clock_pause(&clock, &metrics, START_MS + 300, 450);
    assert_int_equal(metrics_read(&metrics.rate_limited), 1);
    assert_int_equal(metrics_read(&metrics.rate_limited_agents), 1);
    assert_int_equal(agent_clock_deadline(&clock, &facts), START_MS + 750);
    agent_clock_pause(&clock, &metrics, START_MS + 750, 0);
    assert_int_equal(metrics_read(&metrics.rate_limited), 1);
    assert_int_equal(metrics_read(&metrics.rate_limited_agents), 0);
    assert_int_equal(clock.paused_until_ms, 0);
    assert_int_equal(clock.progress_ms, START_MS + 750); /* an agent that was paused was not idle */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_agent_stalls_in_the_middle_of_a_message_only),
        cmocka_unit_test(an_agent_that_waits_for_husk_does_not_stall),
        cmocka_unit_test(under_pressure_an_agent_stalls_after_a_second),
        cmocka_unit_test(an_agent_is_idle_after_the_timeout),
        cmocka_unit_test(an_agent_that_has_sent_nothing_is_silent),
        cmocka_unit_test(an_agent_that_takes_no_acks_for_the_timeout_does_not_read_them),
        cmocka_unit_test(an_agent_that_gets_a_helo_is_not_silent),
        cmocka_unit_test(without_timeouts_there_is_no_deadline),
        cmocka_unit_test(any_byte_is_progress_without_pressure),
        cmocka_unit_test(under_pressure_bytes_earn_time),
        cmocka_unit_test(a_pause_is_counted_once_and_ends),
    };

    return cmocka_run_group_tests_name("agent_clock", tests, NULL, NULL);
}
