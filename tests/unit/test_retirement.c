/* proxy/delivery/retirement.c: what is still read of an agent, and when its connection has retired. */
#include "delivery/retirement.h"

#include "support/budget.h"
#include "support/framing.h"
#include "support/messages.h"
#include "support/receiving.h"
#include "support/upstreams.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <sys/socket.h>

enum { DRAIN_MS = 1000, LINGER_MS = 300, SPACE = 65536 };

struct fixture {
    struct receiving receiving;
    struct buffer outgoing;
    struct retirement retirement;
};

static struct fixture fixture;

static int set_up(void **state)
{
    struct fixture *f = &fixture;

    *f = (struct fixture) { 0 };
    receiving_open(&f->receiving, &budget_without_agents);
    f->receiving.runtime.route.drain_timeout_ms = DRAIN_MS;
    f->receiving.runtime.route.linger_timeout_ms = LINGER_MS;
    buffer_init(&f->outgoing, &f->receiving.runtime.reactor.pool);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    buffer_clear(&f->outgoing);
    receiving_close(&f->receiving);
    return 0;
}

/* ---- what happens ---- */

static size_t take(struct fixture *f, size_t limit)
{
    size_t got = receiving_take(&f->receiving, limit);

    retirement_note_read(&f->retirement, &f->receiving.receiver, &f->receiving.leg, got);
    return got;
}

static void begin(struct fixture *f)
{
    retirement_begin(&f->retirement, END_DISTRUSTED, &f->receiving.receiver, &f->receiving.leg);
}

static void expect_stopped(struct fixture *f, bool expected)
{
    assert_int_equal(framer_has_stopped(&f->receiving.receiver.framer), expected);
}

static bool is_over(const struct fixture *f)
{
    return retirement_is_over(&f->retirement, &f->receiving.receiver, &f->receiving.leg, &f->outgoing);
}

/* ---- what is read ---- */

static void an_idle_agent_is_over_at_once(void **state)
{
    struct fixture *f = *state;

    assert_false(is_over(f));
    begin(f);
    assert_true(is_over(f));
    assert_int_equal(f->retirement.reason, END_DISTRUSTED);
}

static void what_has_arrived_is_read_first(void **state)
{
    struct fixture *f = *state;

    SAY(&f->receiving, PLAIN("a") PLAIN("b"));
    begin(f);
    expect_stopped(f, false);
    assert_int_equal(take(f, sizeof PLAIN("a") - 1), sizeof PLAIN("a") - 1);
    expect_stopped(f, false);
    take(f, SPACE);
    expect_stopped(f, true);
    assert_int_equal(f->receiving.receiver.senders.agent.filed, 2);
    assert_int_equal(framer_held_bytes(&f->receiving.receiver.framer), 0);
}

static void bytes_that_come_later_end_with_the_current_message(void **state)
{
    struct fixture *f = *state;

    SAY(&f->receiving, "\x93\xa1");
    begin(f);
    take(f, SPACE);
    expect_stopped(f, false); /* the message is incomplete */
    SAY(&f->receiving, "a\x01\x80" PLAIN("b") PLAIN("b"));
    take(f, SPACE);
    expect_stopped(f, true);
    assert_int_equal(f->receiving.receiver.senders.agent.filed, 1);
    assert_int_equal(framer_held_bytes(&f->receiving.receiver.framer), 2 * (sizeof PLAIN("b") - 1));
}

/* An agent that always has the next message in the socket. */
static void an_agent_without_pause_is_stopped(void **state)
{
    struct fixture *f = *state;
    unsigned reads = 0;

    SAY(&f->receiving, PLAIN("a") PLAIN("a"));
    begin(f);
    while (!framer_has_stopped(&f->receiving.receiver.framer)) {
        SAY(&f->receiving, PLAIN("a"));
        take(f, sizeof PLAIN("a") - 1);
        assert_in_range(++reads, 1, 2);
    }
    assert_int_equal(f->receiving.receiver.senders.agent.filed, 2);
}

static void an_agent_that_has_ended_is_stopped(void **state)
{
    struct fixture *f = *state;

    shutdown(f->receiving.peer, SHUT_WR);
    take(f, SPACE);
    take(f, SPACE);
    assert_true(f->receiving.leg.read_over);
    begin(f);
    expect_stopped(f, true);
}

/* ---- when it is over ---- */

static void unsettled_messages_and_answers_are_waited_for(void **state)
{
    struct fixture *f = *state;

    SAY(&f->receiving, ASKED("a", "1"));
    take(f, SPACE);
    begin(f);
    expect_stopped(f, true);
    assert_false(is_over(f)); /* unsettled */
    upstreams_make_ready(LIST_FIRST(&f->receiving.dispatcher.pool.list));
    upstreams_settle(LIST_FIRST(&f->receiving.dispatcher.pool.list));
    assert_false(is_over(f)); /* not answered */
    assert_true(senders_write(&f->receiving.receiver.senders, &f->outgoing, SPACE,
                              f->receiving.runtime.reactor.now_ms));
    assert_int_not_equal(f->outgoing.length, 0);
    assert_false(is_over(f)); /* not written */
    buffer_clear(&f->outgoing);
    assert_true(is_over(f));
}

/* ---- shedding ---- */

static void shed(struct fixture *f)
{
    retirement_shed(&f->retirement, &f->receiving.receiver, &f->receiving.leg);
}

static void what_the_agent_sends_again_is_neither_read_nor_waited_for(void **state)
{
    struct fixture *f = *state;

    SAY(&f->receiving, ASKED("a", "1") ASKED("a", "2"));
    take(f, SPACE);
    SAY(&f->receiving, ASKED("a", "3"));
    assert_true(senders_send_again(&f->receiving.receiver.senders));
    assert_false(is_over(f));
    shed(f);
    assert_true(is_over(f));
    assert_int_equal(f->retirement.reason, END_RETIRED);
    assert_int_equal(f->receiving.receiver.senders.agent.filed, 2);
}

static void the_current_message_is_read_to_its_end(void **state)
{
    struct fixture *f = *state;

    SAY(&f->receiving, ASKED("a", "1") "\x94\xa1");
    take(f, SPACE);
    shed(f);
    assert_false(is_over(f));
    SAY(&f->receiving, "a\x01\x80" OPTION("2") ASKED("a", "3"));
    take(f, SPACE);
    assert_true(is_over(f));
    assert_int_equal(f->receiving.receiver.senders.agent.filed, 2);
}

static void a_message_without_an_ack_is_waited_for(void **state)
{
    struct fixture *f = *state;

    assert_false(senders_send_again(&f->receiving.receiver.senders)); /* the agent may never ask for acks */
    SAY(&f->receiving, ASKED("a", "1") "\x93\xa1");
    take(f, SPACE);
    shed(f);
    SAY(&f->receiving, "a\x01\x80");
    take(f, SPACE);
    expect_stopped(f, true);
    assert_false(is_over(f));
    assert_false(senders_send_again(&f->receiving.receiver.senders));
}

static void a_husk_on_a_link_sends_again(void **state)
{
    struct fixture *f = *state;

    assert_true(receiver_begin_link(&f->receiving.receiver));
    assert_true(senders_send_again(&f->receiving.receiver.senders));
}

/* ---- a calling husk is told ---- */

#define GOAWAY "\x81\xa6goaway\xa7retired"

/* The step of a connection in this state, on a route that retires. */
static void update(struct fixture *f, enum agent_access_state state, enum end_reason wanted)
{
    struct agent_access access = { .state = state,
                                   .inlet = { .transport = &f->receiving.runtime.transport,
                                              .state = INLET_READY,
                                              .leg = { .fd = f->receiving.leg.fd } } };

    retirement_update(&f->retirement, &access, &f->receiving.receiver, wanted);
}

static void expect_answers(struct fixture *f, const char *bytes, size_t length)
{
    assert_true(senders_write(&f->receiving.receiver.senders, &f->outgoing, SPACE,
                              f->receiving.runtime.reactor.now_ms));
    messages_expect_buffer(&f->outgoing, bytes, length);
    buffer_clear(&f->outgoing);
}

static void a_husk_is_told_and_read_on(void **state)
{
    struct fixture *f = *state;
    const struct agent_access access = { .inlet = { .transport = &f->receiving.runtime.transport } };

    assert_true(receiver_begin_link(&f->receiving.receiver));
    update(f, ACCESS_GRANTED, END_NONE);
    assert_int_equal(f->retirement.reason, END_NONE);
    update(f, ACCESS_GRANTED, END_RETIRED);
    assert_int_equal(f->retirement.reason, END_RETIRED);
    assert_false(is_over(f)); /* the calling husk is not told yet */
    expect_answers(f, GOAWAY, sizeof GOAWAY - 1);
    assert_int_equal(retirement_deadline(&f->retirement, &access),
                     f->receiving.runtime.reactor.now_ms + LINGER_MS);
    runtime_pass(&f->receiving.runtime, LINGER_MS - 1);
    update(f, ACCESS_GRANTED, END_RETIRED); /* the next step does not restart the time */
    SAY(&f->receiving, PLAIN("a"));
    take(f, SPACE);
    take(f, SPACE);
    expect_stopped(f, false);
    runtime_pass(&f->receiving.runtime, 1);
    SAY(&f->receiving, PLAIN("b") PLAIN("b"));
    take(f, sizeof PLAIN("b") - 1);
    expect_stopped(f, false); /* the other message has arrived */
    take(f, SPACE);
    expect_stopped(f, true);
    assert_int_equal(retirement_deadline(&f->retirement, &access), f->retirement.end_at_ms);
    expect_answers(f, "", 0);
}

static void a_husk_that_has_ended_the_connection_is_not_waited_for(void **state)
{
    struct fixture *f = *state;

    assert_true(receiver_begin_link(&f->receiving.receiver));
    update(f, ACCESS_GRANTED, END_RETIRED);
    expect_answers(f, GOAWAY, sizeof GOAWAY - 1);
    assert_int_equal(shutdown(f->receiving.peer, SHUT_WR), 0);
    take(f, SPACE);
    expect_stopped(f, true);
    assert_true(is_over(f));
}

/* The calling husk is told, and husk reads nothing that it sends afterwards. */
static void a_husk_that_is_not_trusted_is_not_read_on(void **state)
{
    struct fixture *f = *state;

    assert_true(receiver_begin_link(&f->receiving.receiver));
    update(f, ACCESS_GRANTED, END_DISTRUSTED);
    expect_stopped(f, true);
    expect_answers(f,
                   "\x81\xa6goaway\xaa"
                   "distrusted",
                   19);
    assert_true(is_over(f));
}

static void a_husk_that_loses_trust_later_is_not_read_on(void **state)
{
    struct fixture *f = *state;

    assert_true(receiver_begin_link(&f->receiving.receiver));
    update(f, ACCESS_GRANTED, END_RETIRED);
    expect_stopped(f, false);
    update(f, ACCESS_GRANTED, END_DISTRUSTED);
    take(f, SPACE);
    expect_stopped(f, true);
    assert_int_equal(f->retirement.reason, END_RETIRED);
}

static void an_agent_is_not_told(void **state)
{
    struct fixture *f = *state;

    update(f, ACCESS_GRANTED, END_RETIRED);
    expect_stopped(f, true);
    assert_true(is_over(f));
}

/* For a calling husk, an end during authentication is a failure of the address. */
static void a_husk_authenticates_before_its_connection_retires(void **state)
{
    struct fixture *f = *state;

    assert_true(receiver_begin_link(&f->receiving.receiver));
    update(f, ACCESS_AUTHENTICATING, END_RETIRED);
    assert_int_equal(f->retirement.reason, END_NONE);
    expect_answers(f, "", 0);
    update(f, ACCESS_AUTHENTICATING, END_DISTRUSTED);
    expect_stopped(f, true);
    assert_true(is_over(f)); /* goaway is not sent during the handshake */
}

static void an_agent_does_not_authenticate_when_its_connection_retires(void **state)
{
    struct fixture *f = *state;

    SAY(&f->receiving, "x");
    update(f, ACCESS_AUTHENTICATING, END_RETIRED);
    expect_stopped(f, true);
    assert_true(is_over(f));
}

/* ---- deadlines ---- */

static void it_is_late_after_the_drain_timeout(void **state)
{
    struct fixture *f = *state;

    runtime_pass(&f->receiving.runtime, DRAIN_MS);
    assert_false(retirement_is_late(&f->retirement, f->receiving.runtime.reactor.now_ms));
    begin(f);
    runtime_pass(&f->receiving.runtime, DRAIN_MS - 1);
    assert_false(retirement_is_late(&f->retirement, f->receiving.runtime.reactor.now_ms));
    runtime_pass(&f->receiving.runtime, 1);
    assert_true(retirement_is_late(&f->retirement, f->receiving.runtime.reactor.now_ms));
}

static void a_second_reason_changes_nothing(void **state)
{
    struct fixture *f = *state;

    begin(f);
    uint64_t end_at_ms = f->retirement.end_at_ms;
    runtime_pass(&f->receiving.runtime, 10);
    retirement_begin(&f->retirement, END_RETIRED, &f->receiving.receiver, &f->receiving.leg);
    assert_int_equal(f->retirement.reason, END_DISTRUSTED);
    assert_int_equal(f->retirement.end_at_ms, end_at_ms);
}

/* The age of the connection at which it retires. */
static uint64_t age_of(struct fixture *f, uint32_t draw)
{
    const struct agent_access access = {
        .state = ACCESS_GRANTED, .inlet = { .transport = &f->receiving.runtime.transport, .accepted_ms = 500 }
    };

    f->retirement.age_draw = draw;
    return retirement_deadline(&f->retirement, &access) - 500;
}

static void the_age_differs_by_a_tenth_for_each_connection(void **state)
{
    struct fixture *f = *state;

    f->receiving.runtime.route.max_downstream_age_ms = 1000;
    assert_int_equal(age_of(f, 0), 900);
    assert_int_equal(age_of(f, UINT32_MAX / 2 + 1), 1000);
    assert_int_equal(age_of(f, UINT32_MAX), 1099);
    retirement_init(&f->retirement);
    uint32_t draw = f->retirement.age_draw;
    retirement_init(&f->retirement);
    uint32_t other = f->retirement.age_draw;
    retirement_init(&f->retirement);
    assert_true(draw != other || draw != f->retirement.age_draw);
}

static void a_connection_is_due_at_its_age_unless_that_is_not_limited(void **state)
{
    struct fixture *f = *state;
    const struct agent_access access = { .state = ACCESS_GRANTED,
                                         .inlet = { .transport = &f->receiving.runtime.transport,
                                                    .accepted_ms = f->receiving.runtime.reactor.now_ms } };

    f->retirement.age_draw = 0;
    assert_int_equal(retirement_deadline(&f->retirement, &access), 0);
    f->receiving.runtime.route.max_downstream_age_ms = 1000;
    runtime_pass(&f->receiving.runtime, 899);
    assert_false(retirement_is_due(&f->retirement, &access.inlet));
    runtime_pass(&f->receiving.runtime, 1);
    assert_true(retirement_is_due(&f->retirement, &access.inlet));
    f->receiving.runtime.route.max_downstream_age_ms = 0;
    assert_false(retirement_is_due(&f->retirement, &access.inlet));
}

static void the_deadline_is_the_first_one(void **state)
{
    struct fixture *f = *state;
    struct agent_access access = { .state = ACCESS_GRANTED,
                                   .inlet = { .transport = &f->receiving.runtime.transport,
                                              .accepted_ms = 0,
                                              .life = { .not_after = 1, .end_ms = 300, .due_ms = 300 } } };

    f->retirement.age_draw = 0;
    assert_int_equal(retirement_deadline(&f->retirement, &access), 300);
    f->receiving.runtime.route.max_downstream_age_ms = 100;
    assert_int_equal(retirement_deadline(&f->retirement, &access), 90);
    access.state = ACCESS_AUTHENTICATING; /* the age does not count yet: it would be due all the time */
    assert_int_equal(retirement_deadline(&f->retirement, &access), 300);
    access.state = ACCESS_GRANTED;
    begin(f);
    assert_int_equal(retirement_deadline(&f->retirement, &access), f->retirement.end_at_ms);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_idle_agent_is_over_at_once),
        TEST(what_has_arrived_is_read_first),
        TEST(bytes_that_come_later_end_with_the_current_message),
        TEST(an_agent_without_pause_is_stopped),
        TEST(an_agent_that_has_ended_is_stopped),
        TEST(unsettled_messages_and_answers_are_waited_for),
        TEST(what_the_agent_sends_again_is_neither_read_nor_waited_for),
        TEST(the_current_message_is_read_to_its_end),
        TEST(a_message_without_an_ack_is_waited_for),
        TEST(a_husk_on_a_link_sends_again),
        TEST(a_husk_is_told_and_read_on),
        TEST(a_husk_that_has_ended_the_connection_is_not_waited_for),
        TEST(a_husk_that_is_not_trusted_is_not_read_on),
        TEST(a_husk_that_loses_trust_later_is_not_read_on),
        TEST(an_agent_is_not_told),
        TEST(a_husk_authenticates_before_its_connection_retires),
        TEST(an_agent_does_not_authenticate_when_its_connection_retires),
        TEST(it_is_late_after_the_drain_timeout),
        TEST(a_second_reason_changes_nothing),
        TEST(the_age_differs_by_a_tenth_for_each_connection),
        TEST(a_connection_is_due_at_its_age_unless_that_is_not_limited),
        TEST(the_deadline_is_the_first_one),
    };

    return cmocka_run_group_tests_name("retirement", tests, NULL, NULL);
}
