/* proxy/delivery/retirement.c: what is still read of an agent, and when its connection has retired. */
#include "delivery/retirement.h"

#include "support/budget.h"
#include "support/framing.h"
#include "support/runtime.h"
#include "support/upstreams.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DRAIN_MS = 1000, SPACE = 65536 };

struct fixture {
    struct runtime runtime;
    struct read_budget budget;
    struct chunk_ids chunk_ids;
    struct dispatcher dispatcher;
    struct body_filter bodies;
    struct message_policy policy;
    struct message_meters meters;
    struct message_permit permit;
    struct receiver_shared shared;
    struct receiver receiver;
    struct leg leg;
    int peer; /* the other end of the leg */
    struct buffer outgoing;
    struct retirement retirement;
};

static struct fixture fixture;

static void on_nothing(void *owner)
{
    (void)owner;
}

static struct connection_end where(const void *owner, enum end_reason reason)
{
    (void)owner;
    return (struct connection_end) { .reason = reason };
}

static const struct receiver_events events = { on_nothing, on_nothing, on_nothing, where };

static void leg_make(struct fixture *f)
{
    struct reactor *reactor = &f->runtime.reactor;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    f->peer = ends[0];
    leg_open(&f->leg, ends[1],
             &(struct leg_options) { .io = &reactor->io,
                                     .metrics = &reactor->metrics.side[SIDE_DOWNSTREAM],
                                     .on_ready = on_nothing });
}

static int set_up(void **state)
{
    struct fixture *f = &fixture;
    struct message_rule *rule;
    struct fault fault;

    *f = (struct fixture) { .chunk_ids = { .seed = 1 } };
    runtime_open(&f->runtime);
    f->runtime.route.drain_timeout_ms = DRAIN_MS;
    runtime_set_endpoints(&f->runtime, (const uint16_t[]) { 1 }, NULL, 1);
    read_budget_init(&f->budget, &budget_without_agents, f->runtime.route.retain_bytes,
                     &f->runtime.reactor.metrics.messages.retained_bytes);
    dispatcher_init(&f->dispatcher, &(struct dispatcher_options) { .transport = &f->runtime.transport,
                                                                   .budget = &f->budget,
                                                                   .chunk_ids = &f->chunk_ids,
                                                                   .on_pressure = on_nothing });
    body_filter_init(&f->bodies, &f->runtime.route.body, &f->runtime.reactor.metrics.bodies);
    rule = message_policy_add(&f->policy, "any");
    assert_non_null(rule);
    assert_true(peer_policy_add(&rule->who, PEER_RULE_ANY, NULL, &fault));
    assert_true(message_rule_set_tags(rule, "a,b", &fault));
    assert_int_equal(message_permit_open(&f->permit, &f->policy, &f->meters, NULL, FRAMING_NOW_MS), END_NONE);
    receiver_shared_init(&f->shared, &events, &f->dispatcher, &f->bodies);
    receiver_init(&f->receiver, &f->shared, f, &f->permit);
    buffer_init(&f->outgoing, &f->runtime.reactor.pool);
    leg_make(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    receiver_end(&f->receiver);
    receiver_shared_deinit(&f->shared);
    dispatcher_end(&f->dispatcher);
    dispatcher_deinit(&f->dispatcher);
    body_filter_deinit(&f->bodies);
    message_permit_close(&f->permit);
    message_meters_deinit(&f->meters);
    message_policy_deinit(&f->policy);
    buffer_clear(&f->outgoing);
    leg_close(&f->leg, LEG_CLOSE);
    close(f->peer);
    runtime_close(&f->runtime);
    return 0;
}

/* ---- what happens ---- */

static void say(struct fixture *f, const char *bytes, size_t length)
{
    assert_int_equal(write(f->peer, bytes, length), length);
}

#define SAY(f, literal) say(f, literal, sizeof(literal) - 1)

/* Reads at most `limit` bytes, as a connection does. Returns the number of bytes. */
static size_t take(struct fixture *f, size_t limit)
{
    struct buffer *bytes = framer_bytes(&f->receiver.framer);
    size_t before = bytes->length;

    f->leg.drained = false; /* as after an event of the watcher */
    (void)leg_read(&f->leg, bytes, before + limit);
    size_t got = bytes->length - before;
    assert_int_equal(framer_advance(&f->receiver.framer, f->runtime.reactor.now_ms), END_NONE);
    retirement_note_read(&f->retirement, &f->receiver, &f->leg, got);
    return got;
}

static void begin(struct fixture *f)
{
    retirement_begin(&f->retirement, END_DISTRUSTED, &f->receiver, &f->leg);
}

static void expect_stopped(struct fixture *f, bool expected)
{
    assert_int_equal(framer_has_stopped(&f->receiver.framer), expected);
}

static bool is_over(const struct fixture *f)
{
    return retirement_is_over(&f->retirement, &f->receiver, &f->leg, &f->outgoing);
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

    SAY(f, PLAIN("a") PLAIN("b"));
    begin(f);
    expect_stopped(f, false);
    assert_int_equal(take(f, sizeof PLAIN("a") - 1), sizeof PLAIN("a") - 1);
    expect_stopped(f, false);
    take(f, SPACE);
    expect_stopped(f, true);
    assert_int_equal(f->receiver.senders.agent.filed, 2);
    assert_int_equal(framer_held_bytes(&f->receiver.framer), 0);
}

static void bytes_that_come_later_end_with_the_current_message(void **state)
{
    struct fixture *f = *state;

    SAY(f, "\x93\xa1");
    begin(f);
    take(f, SPACE);
    expect_stopped(f, false); /* the message is incomplete */
    SAY(f, "a\x01\x80" PLAIN("b") PLAIN("b"));
    take(f, SPACE);
    expect_stopped(f, true);
    assert_int_equal(f->receiver.senders.agent.filed, 1);
    assert_int_equal(framer_held_bytes(&f->receiver.framer), 2 * (sizeof PLAIN("b") - 1));
}

/* An agent that always has the next message in the socket. */
static void an_agent_without_pause_is_stopped(void **state)
{
    struct fixture *f = *state;
    unsigned reads = 0;

    SAY(f, PLAIN("a") PLAIN("a"));
    begin(f);
    while (!framer_has_stopped(&f->receiver.framer)) {
        SAY(f, PLAIN("a"));
        take(f, sizeof PLAIN("a") - 1);
        assert_in_range(++reads, 1, 2);
    }
    assert_int_equal(f->receiver.senders.agent.filed, 2);
}

static void an_agent_that_has_ended_is_stopped(void **state)
{
    struct fixture *f = *state;

    shutdown(f->peer, SHUT_WR);
    take(f, SPACE);
    take(f, SPACE);
    assert_true(f->leg.read_over);
    begin(f);
    expect_stopped(f, true);
}

/* ---- when it is over ---- */

static void unsettled_messages_and_answers_are_waited_for(void **state)
{
    struct fixture *f = *state;

    SAY(f, ASKED("a", "1"));
    take(f, SPACE);
    begin(f);
    expect_stopped(f, true);
    assert_false(is_over(f)); /* unsettled */
    upstreams_make_ready(LIST_FIRST(&f->dispatcher.pool.list));
    upstreams_settle(LIST_FIRST(&f->dispatcher.pool.list));
    assert_false(is_over(f)); /* not answered */
    assert_true(senders_write(&f->receiver.senders, &f->outgoing, SPACE, f->runtime.reactor.now_ms));
    assert_int_not_equal(f->outgoing.length, 0);
    assert_false(is_over(f)); /* not written */
    buffer_clear(&f->outgoing);
    assert_true(is_over(f));
}

static void it_is_late_after_the_drain_timeout(void **state)
{
    struct fixture *f = *state;

    runtime_pass(&f->runtime, DRAIN_MS);
    assert_false(retirement_is_late(&f->retirement, f->runtime.reactor.now_ms));
    begin(f);
    runtime_pass(&f->runtime, DRAIN_MS - 1);
    assert_false(retirement_is_late(&f->retirement, f->runtime.reactor.now_ms));
    runtime_pass(&f->runtime, 1);
    assert_true(retirement_is_late(&f->retirement, f->runtime.reactor.now_ms));
}

static void a_second_reason_changes_nothing(void **state)
{
    struct fixture *f = *state;

    begin(f);
    uint64_t end_at_ms = f->retirement.end_at_ms;
    runtime_pass(&f->runtime, 10);
    retirement_begin(&f->retirement, END_RETIRED, &f->receiver, &f->leg);
    assert_int_equal(f->retirement.reason, END_DISTRUSTED);
    assert_int_equal(f->retirement.end_at_ms, end_at_ms);
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
        TEST(it_is_late_after_the_drain_timeout),
        TEST(a_second_reason_changes_nothing),
    };

    return cmocka_run_group_tests_name("retirement", tests, NULL, NULL);
}
