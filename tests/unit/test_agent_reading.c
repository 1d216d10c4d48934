/* proxy/delivery/agent_reading.c: whether husk reads an agent, and how much. */
#include "delivery/agent_reading.h"

#include "support/framing.h"
#include "support/receiving.h"
#include "support/upstreams.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/socket.h>

enum { SPACE = 65536 };

struct fixture {
    struct receiving receiving;
    struct agent_reading reading;
    struct read_share other; /* of another agent */
    unsigned admitted;       /* calls of on_admitted for the agent */
};

static struct fixture fixture;

static void on_admitted(void *owner)
{
    struct fixture *f = &fixture;

    f->admitted += owner == f;
}

static bool is_mid_message(const void *owner)
{
    return owner == &fixture && framer_is_mid_message(&fixture.receiving.receiver.framer);
}

static const struct read_budget_events events = { on_admitted, is_mid_message };

static int set_up(void **state)
{
    struct fixture *f = &fixture;

    *f = (struct fixture) { 0 };
    receiving_open(&f->receiving, &events);
    f->receiving.runtime.route.unread_acks_bytes = SPACE;
    agent_reading_init(&f->reading, f);
    read_share_init(&f->other, NULL);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    agent_reading_end(&f->reading, &f->receiving.receiver);
    read_budget_release(&f->receiving.budget, &f->other);
    receiving_close(&f->receiving);
    return 0;
}

static bool is_wanted(const struct fixture *f)
{
    return agent_reading_is_wanted(&f->receiving.receiver, &f->receiving.leg);
}

static bool has_budget(const struct fixture *f)
{
    return agent_reading_has_budget(&f->reading, &f->receiving.receiver);
}

static void queue(struct fixture *f, size_t moved)
{
    agent_reading_queue(&f->reading, &f->receiving.receiver, &f->receiving.leg, moved);
}

/* Another agent holds the whole budget. */
static void budget_spend(struct fixture *f)
{
    read_budget_set_excess(&f->receiving.budget, &f->other, f->receiving.budget.limit_bytes);
}

/* ---- whether husk wants to read ---- */

static void an_agent_is_wanted_until_it_ends(void **state)
{
    struct fixture *f = *state;

    assert_true(is_wanted(f));
    shutdown(f->receiving.peer, SHUT_WR);
    receiving_take(&f->receiving, SPACE);
    receiving_take(&f->receiving, SPACE);
    assert_false(is_wanted(f));
}

static void an_agent_is_wanted_until_its_last_message_is_complete(void **state)
{
    struct fixture *f = *state;

    SAY(&f->receiving, "\x93\xa1");
    receiving_take(&f->receiving, SPACE);
    framer_stop(&f->receiving.receiver.framer);
    assert_true(is_wanted(f));
    SAY(&f->receiving, "a\x01\x80");
    receiving_take(&f->receiving, SPACE);
    assert_false(is_wanted(f));
}

static void an_agent_that_leaves_its_answers_is_not_read(void **state)
{
    struct fixture *f = *state;
    struct upstream *upstream;
    struct buffer taken;

    f->receiving.runtime.route.unread_acks_bytes = 1;
    SAY(&f->receiving, ASKED("a", "1"));
    receiving_take(&f->receiving, SPACE);
    assert_true(is_wanted(f));
    upstream = LIST_FIRST(&f->receiving.dispatcher.pool.list);
    upstreams_make_ready(upstream);
    upstreams_settle(upstream);
    assert_false(is_wanted(f));

    f->receiving.leg.send_error = EPIPE; /* the agent gets no answer: husk reads what it has sent */
    assert_true(is_wanted(f));
    f->receiving.leg.send_error = 0;

    buffer_init(&taken, &f->receiving.runtime.reactor.pool);
    assert_true(senders_write(&f->receiving.receiver.senders, &taken, SPACE, FRAMING_NOW_MS));
    assert_true(is_wanted(f));
    buffer_clear(&taken);
}

/* ---- the budget ---- */

static void an_agent_waits_while_others_hold_the_budget(void **state)
{
    struct fixture *f = *state;

    queue(f, 0);
    assert_false(f->reading.waits_for_budget);
    budget_spend(f);
    assert_false(has_budget(f));
    assert_true(agent_reading_is_scarce(&f->reading, &f->receiving.receiver));
    queue(f, 0);
    assert_true(f->reading.waits_for_budget);

    read_budget_release(&f->receiving.budget, &f->other);
    assert_int_equal(f->admitted, 1);
    assert_true(has_budget(f));
    queue(f, 0);
    assert_false(f->reading.waits_for_budget);
    assert_false(read_budget_is_awaited(&f->receiving.budget));
}

static void an_agent_that_was_read_goes_to_the_end_of_the_queue(void **state)
{
    struct fixture *f = *state;

    budget_spend(f);
    queue(f, 0);
    read_budget_wait(&f->receiving.budget, &f->other);
    queue(f, 0);
    assert_ptr_equal(TAILQ_FIRST(&f->receiving.budget.queue), &f->reading.share);
    queue(f, 1);
    assert_ptr_equal(TAILQ_FIRST(&f->receiving.budget.queue), &f->other);
}

static void an_agent_that_ends_waits_no_more(void **state)
{
    struct fixture *f = *state;

    budget_spend(f);
    queue(f, 0);
    agent_reading_end(&f->reading, &f->receiving.receiver);
    assert_false(read_budget_is_awaited(&f->receiving.budget));
}

/* An agent that overdraws the budget is read to the end of its message, and not as far as without limit. */
static void an_overdraft_ends_with_the_message(void **state)
{
    struct fixture *f = *state;
    const struct receiver *receiver = &f->receiving.receiver;

    budget_spend(f);
    SAY(&f->receiving, "\x93\xa1");
    receiving_take(&f->receiving, SPACE);
    queue(f, 0);
    agent_reading_account(&f->reading, receiver);
    assert_int_equal(f->admitted, 1);
    assert_true(agent_reading_overdraws(&f->reading, receiver) && has_budget(f));
    assert_true(agent_reading_holds_budget(&f->reading, receiver));
    assert_true(agent_reading_is_scarce(&f->reading, receiver));
    assert_in_range(agent_reading_window(&f->reading, receiver), 1, framer_window(&receiver->framer) - 1);

    SAY(&f->receiving, "a\x01\x80");
    receiving_take(&f->receiving, SPACE);
    agent_reading_account(&f->reading, receiver);
    assert_false(agent_reading_overdraws(&f->reading, receiver) || has_budget(f));
    assert_false(agent_reading_holds_budget(&f->reading, receiver));
    assert_int_equal(agent_reading_window(&f->reading, receiver), framer_window(&receiver->framer));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_agent_is_wanted_until_it_ends),
        TEST(an_agent_is_wanted_until_its_last_message_is_complete),
        TEST(an_agent_that_leaves_its_answers_is_not_read),
        TEST(an_agent_waits_while_others_hold_the_budget),
        TEST(an_agent_that_was_read_goes_to_the_end_of_the_queue),
        TEST(an_agent_that_ends_waits_no_more),
        TEST(an_overdraft_ends_with_the_message),
    };

    return cmocka_run_group_tests_name("agent_reading", tests, NULL, NULL);
}
