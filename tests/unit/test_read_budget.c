/* proxy/delivery/read_budget.c: when agents may be read, whose turn it is, and who may overdraw. */
#include "delivery/read_budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { LIMIT_BYTES = 1000, AGENTS = 3 };

struct agent {
    struct read_share share;
    bool is_mid_message;
    unsigned turns;
};

struct fixture {
    metrics_counter gauge;
    struct read_budget budget;
    struct agent agents[AGENTS];
};

static struct fixture fixture;

static void on_admitted(void *owner)
{
    ((struct agent *)owner)->turns++;
}

static bool is_mid_message(const void *owner)
{
    return ((const struct agent *)owner)->is_mid_message;
}

static const struct read_budget_events events = { .on_admitted = on_admitted,
                                                  .is_mid_message = is_mid_message };

static int set_up(void **state)
{
    fixture = (struct fixture) { 0 };
    read_budget_init(&fixture.budget, &events, LIMIT_BYTES, &fixture.gauge);
    for (unsigned i = 0; i < AGENTS; i++)
        read_share_init(&fixture.agents[i].share, &fixture.agents[i]);
    *state = &fixture;
    return 0;
}

static bool admits(const struct fixture *f, unsigned agent)
{
    return read_budget_admits(&f->budget, &f->agents[agent].share);
}

/* Passes the turn: exactly the agent at `expected` gets it; AGENTS: nobody. */
static void expect_turn(struct fixture *f, unsigned expected)
{
    unsigned before[AGENTS];

    for (unsigned i = 0; i < AGENTS; i++)
        before[i] = f->agents[i].turns;
    read_budget_admit_next(&f->budget);
    for (unsigned i = 0; i < AGENTS; i++)
        assert_int_equal(f->agents[i].turns - before[i], i == expected);
}

static void retained_bytes_spend_the_budget(void **state)
{
    struct fixture *f = *state;
    uint64_t one = 0, two = 0;

    read_budget_retain(&f->budget, &one, 600);
    read_budget_retain(&f->budget, &two, LIMIT_BYTES - 601);
    assert_int_equal(metrics_read(&f->gauge), LIMIT_BYTES - 1);
    assert_true(read_budget_can_retain(&f->budget));
    assert_true(admits(f, 0));
    read_budget_retain(&f->budget, &one, 601);
    assert_int_equal(one, 601);
    assert_int_equal(metrics_read(&f->gauge), LIMIT_BYTES);
    assert_false(read_budget_can_retain(&f->budget));
    assert_false(admits(f, 0));
    read_budget_retain(&f->budget, &one, 0);
    assert_true(admits(f, 0));
    assert_int_equal(metrics_read(&f->gauge), LIMIT_BYTES - 601);
}

static void parts_of_messages_spend_the_budget_for_agents_only(void **state)
{
    struct fixture *f = *state;
    uint64_t message = 0;

    read_budget_retain(&f->budget, &message, 400);
    read_budget_set_excess(&f->budget, &f->agents[0].share, 100);
    read_budget_set_excess(&f->budget, &f->agents[1].share, 499);
    assert_true(admits(f, 2));
    read_budget_set_excess(&f->budget, &f->agents[0].share, 101);
    assert_false(admits(f, 0));
    assert_false(admits(f, 2));
    assert_true(read_budget_can_retain(&f->budget));
    assert_int_equal(metrics_read(&f->gauge), 400);
    read_budget_set_excess(&f->budget, &f->agents[1].share, 0);
    assert_true(admits(f, 2));
}

static void congestion_stops_reading(void **state)
{
    struct fixture *f = *state;

    read_budget_set_congestion(&f->budget, READ_CONGESTED);
    assert_false(admits(f, 0));
    f->agents[0].is_mid_message = true;
    read_budget_wait(&f->budget, &f->agents[0].share);
    expect_turn(f, AGENTS); /* not even a part of a message is completed */
    read_budget_set_congestion(&f->budget, READ_FREE);
    assert_true(admits(f, 0));
    expect_turn(f, 0);
}

static void agents_are_read_in_the_order_they_came(void **state)
{
    struct fixture *f = *state;

    read_budget_set_congestion(&f->budget, READ_CONGESTED);
    assert_false(read_budget_is_awaited(&f->budget));
    read_budget_wait(&f->budget, &f->agents[1].share);
    read_budget_wait(&f->budget, &f->agents[0].share);
    read_budget_wait(&f->budget, &f->agents[1].share); /* waits already: keeps its place */
    assert_true(read_budget_is_awaited(&f->budget));
    read_budget_set_congestion(&f->budget, READ_FREE);
    assert_true(admits(f, 1));
    assert_false(admits(f, 0));
    assert_false(admits(f, 2)); /* a newcomer does not overtake those that wait */
    expect_turn(f, 1);
    read_budget_leave(&f->budget, &f->agents[1].share);
    read_budget_leave(&f->budget, &f->agents[1].share);
    expect_turn(f, 0);
    read_budget_leave(&f->budget, &f->agents[0].share);
    assert_false(read_budget_is_awaited(&f->budget));
    expect_turn(f, AGENTS);
    assert_true(admits(f, 2));
}

/* Parts of messages fill the budget: agents 0 and 1 hold one each, agent 2 none. All wait, agent 2 first. */
static void fill_with_parts(struct fixture *f)
{
    read_budget_set_excess(&f->budget, &f->agents[0].share, 500);
    read_budget_set_excess(&f->budget, &f->agents[1].share, 500);
    f->agents[0].is_mid_message = f->agents[1].is_mid_message = true;
    read_budget_wait(&f->budget, &f->agents[2].share);
    read_budget_wait(&f->budget, &f->agents[0].share);
    read_budget_wait(&f->budget, &f->agents[1].share);
}

static void one_agent_at_a_time_overdraws_to_complete_its_message(void **state)
{
    struct fixture *f = *state;

    fill_with_parts(f);
    expect_turn(f, 0); /* agent 2 has no part of a message */
    assert_true(read_budget_is_overdrawn_by(&f->budget, &f->agents[0].share));
    assert_true(admits(f, 0));
    assert_false(admits(f, 1));
    read_budget_leave(&f->budget, &f->agents[0].share);
    expect_turn(f, AGENTS); /* the overdraft lasts until its message is complete */
    read_budget_end_overdraft(&f->budget, &f->agents[1].share);
    assert_true(admits(f, 0)); /* agent 1 did not overdraw: nothing ends */
    read_budget_end_overdraft(&f->budget, &f->agents[0].share);
    assert_false(admits(f, 0));
    expect_turn(f, 1);
    assert_true(read_budget_is_overdrawn_by(&f->budget, &f->agents[1].share));
}

static void nobody_overdraws_while_messages_fill_the_budget(void **state)
{
    struct fixture *f = *state;
    uint64_t message = 0;

    fill_with_parts(f);
    read_budget_retain(&f->budget, &message, LIMIT_BYTES);
    expect_turn(f, AGENTS);
    read_budget_retain(&f->budget, &message, LIMIT_BYTES - 1);
    expect_turn(f, 0);
}

static void an_agent_that_is_gone_frees_its_share_and_passes_the_turn(void **state)
{
    struct fixture *f = *state;

    fill_with_parts(f);
    expect_turn(f, 0);
    read_budget_release(&f->budget, &f->agents[0].share);
    assert_int_equal(f->agents[2].turns, 1); /* the first in the queue: there is space again */
    assert_false(read_budget_is_overdrawn_by(&f->budget, &f->agents[0].share));
    assert_int_equal(f->budget.excess_bytes, 500);
    read_budget_release(&f->budget, &f->agents[2].share);
    assert_int_equal(f->agents[1].turns, 1);
    read_budget_release(&f->budget, &f->agents[1].share);
    assert_false(read_budget_is_awaited(&f->budget));
    assert_int_equal(f->budget.excess_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(retained_bytes_spend_the_budget, set_up),
        cmocka_unit_test_setup(parts_of_messages_spend_the_budget_for_agents_only, set_up),
        cmocka_unit_test_setup(congestion_stops_reading, set_up),
        cmocka_unit_test_setup(agents_are_read_in_the_order_they_came, set_up),
        cmocka_unit_test_setup(one_agent_at_a_time_overdraws_to_complete_its_message, set_up),
        cmocka_unit_test_setup(nobody_overdraws_while_messages_fill_the_budget, set_up),
        cmocka_unit_test_setup(an_agent_that_is_gone_frees_its_share_and_passes_the_turn, set_up),
    };

    return cmocka_run_group_tests_name("read_budget", tests, NULL, NULL);
}
