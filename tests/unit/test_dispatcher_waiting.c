/* proxy/delivery/dispatcher.c: messages that wait for their own sender, or for a connection of their own.
 * What an event costs does not depend on their number: messages whose turn has not come are not even looked
 * at. */
#include "delivery/dispatcher.h"

#include "support/budget.h"
#include "support/messages.h"
#include "support/runtime.h"
#include "support/upstreams.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <sys/mman.h>
#include <unistd.h>

enum { AGENTS = 12, MESSAGES = 12 };

struct fixture {
    struct runtime runtime;
    struct read_budget budget;
    struct chunk_ids chunk_ids;
    struct dispatcher dispatcher;
    struct sender agents[AGENTS];
    struct message *messages[MESSAGES];
    size_t page_bytes;
    void *unreadable; /* a page */
};

static struct fixture fixture;

/* ---- life ---- */

static void on_settled(void *owner, const struct message *message)
{
    (void)owner;
    (void)message;
}

static void on_refused(void *owner, const struct sender_refusal *refusal)
{
    (void)owner;
    (void)refusal;
}

static void on_undelivered(void *owner, enum end_reason reason)
{
    (void)owner;
    (void)reason;
}

static void ignore(void *owner)
{
    (void)owner;
}

static const struct sender_events sender_events = { on_settled, on_refused, on_undelivered, ignore };

static int set_up(void **state)
{
    struct fixture *f = &fixture;

    *f = (struct fixture) { .chunk_ids = { .seed = 1 }, .page_bytes = (size_t)sysconf(_SC_PAGESIZE) };
    f->unreadable = mmap(NULL, f->page_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(f->unreadable, MAP_FAILED);
    runtime_open(&f->runtime);
    f->runtime.route.max_attempts = 20;
    f->runtime.route.eject_time_ms = f->runtime.route.eject_time_max_ms = 0;
    runtime_set_endpoints(&f->runtime, (const uint16_t[]) { 1, 2 }, NULL, 2);
    read_budget_init(&f->budget, &budget_without_agents, f->runtime.route.retain_bytes,
                     &f->runtime.transport.metrics.messages.retained_bytes);
    dispatcher_init(&f->dispatcher, &(struct dispatcher_options) { .transport = &f->runtime.transport,
                                                                   .budget = &f->budget,
                                                                   .chunk_ids = &f->chunk_ids,
                                                                   .on_pressure = ignore,
                                                                   .owner = f });
    for (unsigned i = 0; i < AGENTS; i++)
        sender_init(&f->agents[i], &sender_events, f, i + 1);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < AGENTS; i++) {
        dispatcher_forget(&f->dispatcher, &f->agents[i]);
        sender_release(&f->agents[i]);
    }
    dispatcher_end(&f->dispatcher);
    dispatcher_deinit(&f->dispatcher);
    assert_int_equal(f->dispatcher.unsettled.count, 0);
    assert_int_equal(f->budget.retained_bytes, 0);
    assert_true(message_queue_is_empty(&f->dispatcher.waiting));
    runtime_close(&f->runtime);
    munmap(f->unreadable, f->page_bytes);
    return 0;
}

static struct message *submit(struct fixture *f, unsigned agent)
{
    struct message *message = messages_make(&f->runtime.reactor.pool, "m", MESSAGE_OUR_ACK, 1);

    dispatcher_submit(&f->dispatcher, &f->agents[agent], message);
    return message;
}

/* The connection dialled last becomes ready. */
static struct upstream *make_ready(struct fixture *f)
{
    return upstreams_make_last_ready(&f->dispatcher.pool);
}

static void dispatch(struct fixture *f)
{
    dispatcher_endpoints_changed(&f->dispatcher);
}

/* Time passes, so that another dial is allowed. */
static void back_off(struct fixture *f)
{
    runtime_pass(&f->runtime, 10000);
    dispatch(f);
}

static struct message *sent(const struct upstream *upstream)
{
    struct ledger_entry *first = upstream->stream.in_flight.ledger.first;

    return first ? message_of(first) : NULL;
}

/* The messages settle in this order, one after the other, on `upstream`, which carries no other messages. */
static void expect_settled(struct upstream *upstream, struct message *const *messages, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        assert_ptr_equal(sent(upstream), messages[i]);
        upstreams_settle(upstream);
    }
    assert_null(sent(upstream));
}

/* Takes the sender of the messages away, so that a test that looks at one of them ends. */
static void hide(struct fixture *f, struct message **messages, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        messages[i]->sender = f->unreadable;
}

static void show(struct sender *sender, struct message **messages, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        messages[i]->sender = sender;
}

/* ---- held messages ---- */

/* An agent's message is isolated and on the connection that is returned; no other connection is ready. */
static struct upstream *isolate(struct fixture *f)
{
    submit(f, 0);
    upstream_end(make_ready(f), END_RESET);
    struct upstream *exclusive = make_ready(f);
    assert_int_equal(exclusive->use, UPSTREAM_ISOLATED);
    return exclusive;
}

static void an_event_looks_at_no_held_message(void **state)
{
    struct fixture *f = *state;
    struct upstream *exclusive = isolate(f);

    for (unsigned i = 0; i < MESSAGES; i++)
        f->messages[i] = submit(f, 0);
    hide(f, f->messages, MESSAGES);
    submit(f, 0);
    struct message *other = submit(f, 1);
    struct upstream *shared = make_ready(f);
    assert_ptr_equal(sent(shared), other);
    upstreams_settle(shared);
    other = submit(f, 2);
    assert_ptr_equal(sent(shared), other);
    upstream_end(shared, END_RETIRED);
    dispatch(f);
    show(&f->agents[0], f->messages, MESSAGES);
    upstreams_settle(exclusive);
    assert_int_equal(exclusive->stream.in_flight.ledger.count, MESSAGES + 2);
}

static void an_event_looks_at_no_message_behind_a_closed_window(void **state)
{
    struct fixture *f = *state;

    submit(f, 0);
    struct upstream *upstream = make_ready(f);
    sender_note_window(&f->agents[0], upstream->id, SENDER_CLOSED);
    for (unsigned i = 0; i < MESSAGES; i++)
        f->messages[i] = submit(f, 0);
    hide(f, f->messages, MESSAGES);
    submit(f, 0);
    submit(f, 1);
    assert_int_equal(upstream->stream.in_flight.ledger.count, 2);
    upstreams_settle(upstream);
    show(&f->agents[0], f->messages, MESSAGES);
    sender_note_window(&f->agents[0], upstream->id, SENDER_OPEN);
    dispatch(f);
    assert_int_equal(upstream->stream.in_flight.ledger.count, 1 + MESSAGES + 1);
}

/* Where there is no space after a message has become free to go, only the next one is looked at. */
static void an_event_looks_at_one_message_that_was_held(void **state)
{
    struct fixture *f = *state;
    struct upstream *exclusive = isolate(f);

    for (unsigned i = 0; i < MESSAGES; i++)
        f->messages[i] = submit(f, 0);
    f->runtime.route.buffer_bytes = 1;
    buffer_clear(&exclusive->stream.outgoing); /* the socket has taken it: space for one message */
    hide(f, f->messages + 2, MESSAGES - 2);
    upstreams_settle(exclusive);
    assert_ptr_equal(sent(exclusive), f->messages[0]);
    dispatch(f);
    submit(f, 1);
    show(&f->agents[0], f->messages + 2, MESSAGES - 2);
    f->runtime.route.buffer_bytes = 1 << 16;
    dispatch(f);
}

/* Messages that were on the connection that ended, that waited for space, and that arrive later. */
static void held_messages_keep_their_order(void **state)
{
    struct fixture *f = *state;

    submit(f, 0);
    for (unsigned i = 0; i < 3; i++)
        f->messages[i] = submit(f, 0);
    struct upstream *first = make_ready(f);
    runtime_pass(&f->runtime, 1);
    f->runtime.route.buffer_bytes = 1;
    for (unsigned i = 3; i < 6; i++)
        f->messages[i] = submit(f, 0);
    f->runtime.route.buffer_bytes = 1 << 16;
    upstream_end(first, END_RESET);
    struct upstream *exclusive = make_ready(f);
    for (unsigned i = 6; i < MESSAGES; i++)
        f->messages[i] = submit(f, 0);
    assert_int_equal(f->dispatcher.waiting.count, MESSAGES);
    upstreams_settle(exclusive);
    expect_settled(exclusive, f->messages, MESSAGES);
}

/* A second message is isolated while messages behind the first one are held. */
static void messages_behind_two_isolated_ones_keep_their_order(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.buffer_bytes = 1; /* space for one message */
    f->messages[0] = submit(f, 0);
    f->messages[1] = submit(f, 0);
    struct upstream *first = make_ready(f), *second = make_ready(f);
    for (unsigned i = 2; i < MESSAGES; i++)
        f->messages[i] = submit(f, 0);
    assert_ptr_equal(sent(second), f->messages[1]);
    upstream_end(second, END_RESET); /* the later one first */
    upstream_end(first, END_RESET);
    f->runtime.route.buffer_bytes = 1 << 16;
    back_off(f);
    struct upstream *exclusive = make_ready(f);
    expect_settled(exclusive, f->messages, MESSAGES);
}

static void held_messages_are_no_reason_not_to_read_other_agents(void **state)
{
    struct fixture *f = *state;
    struct upstream *exclusive = isolate(f);
    struct read_share share;

    read_share_init(&share, NULL);
    for (unsigned i = 0; i < MESSAGES; i++)
        f->messages[i] = submit(f, 0);
    f->runtime.route.buffer_bytes = f->messages[0]->entry.size;
    dispatch(f);
    assert_true(read_budget_admits(&f->budget, &share));
    upstreams_settle(exclusive); /* now they wait for space */
    assert_false(read_budget_admits(&f->budget, &share));
}

static void a_held_message_grows_too_old(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.max_age_ms = 5000;
    isolate(f);
    submit(f, 0);
    assert_int_equal(metrics_read(&f->runtime.transport.metrics.messages.waiting), 1);
    runtime_pass(&f->runtime, 5000);
    f->dispatcher.timer.on_fire(f->dispatcher.timer.owner);
    assert_int_equal(metrics_read(&f->runtime.transport.metrics.messages.waiting), 0);
    assert_int_equal(metrics_read(&f->runtime.transport.metrics.messages.dropped[END_TOO_OLD]), 1);
}

static void held_messages_outlive_their_agent(void **state)
{
    struct fixture *f = *state;
    struct upstream *exclusive = isolate(f);

    for (unsigned i = 0; i < MESSAGES; i++)
        f->messages[i] = submit(f, 0);
    dispatcher_forget(&f->dispatcher, &f->agents[0]);
    sender_release(&f->agents[0]);
    upstreams_settle(exclusive);
    expect_settled(exclusive, f->messages, MESSAGES);
}

/* ---- isolated messages ---- */

/* A message of each agent is isolated. They wait for their first retry at once, or after a back-off. */
static void isolate_each(struct fixture *f, enum isolated_turn turn)
{
    for (unsigned i = 0; i < MESSAGES; i++) {
        f->messages[i] = messages_make(&f->runtime.reactor.pool, "m", MESSAGE_OUR_ACK, 1);
        f->messages[i]->attempts = turn == ISOLATED_DELAYED ? 2 : 1;
        dispatcher_submit(&f->dispatcher, &f->agents[i], f->messages[i]);
    }
}

static void hide_all_but_first(struct fixture *f)
{
    hide(f, f->messages + 1, MESSAGES - 1);
}

static void show_each(struct fixture *f)
{
    for (unsigned i = 0; i < MESSAGES; i++)
        f->messages[i]->sender = &f->agents[i];
}

static void an_event_looks_at_the_first_isolated_message(void **state)
{
    struct fixture *f = *state;

    isolate_each(f, ISOLATED_AT_ONCE);
    hide_all_but_first(f);
    dispatch(f);
    f->runtime.route.max_exclusive_connections = 0; /* all are in use */
    struct upstream *upstream = make_ready(f);
    dispatch(f);
    f->runtime.route.max_exclusive_connections = 1;
    show_each(f);
    dispatch(f);
    expect_settled(upstream, f->messages, MESSAGES);
}

static void an_event_looks_at_the_first_message_that_waits_for_a_back_off(void **state)
{
    struct fixture *f = *state;

    isolate_each(f, ISOLATED_DELAYED);
    struct upstream *upstream = make_ready(f);
    assert_ptr_equal(upstream->reservation.message, f->messages[0]);
    hide(f, f->messages + 2, MESSAGES - 2);
    dispatch(f);
    dispatch(f);
    show_each(f);
    for (unsigned i = 0; i < MESSAGES; i++) {
        upstreams_stay_quiet(upstream);
        assert_ptr_equal(sent(upstream), f->messages[i]);
        upstreams_settle(upstream);
        dispatch(f);
    }
}

/* Messages that need no back-off do not wait behind those that do, and the other way round. */
static void each_turn_has_a_queue_of_its_own(void **state)
{
    struct fixture *f = *state;

    isolate_each(f, ISOLATED_DELAYED);
    struct upstream *reserved = make_ready(f);
    assert_ptr_equal(reserved->reservation.message, f->messages[0]);
    struct message *at_once = messages_make(&f->runtime.reactor.pool, "m", MESSAGE_OUR_ACK, 1);
    at_once->attempts = 1;
    dispatcher_submit(&f->dispatcher, &f->agents[0], at_once); /* behind the first */
    assert_true(held_queue_has(f->agents[0].held, at_once));
    upstreams_stay_quiet(reserved);
    assert_ptr_equal(sent(reserved), f->messages[0]);
    upstreams_settle(reserved);
    assert_ptr_equal(reserved->reservation.message, f->messages[1]);
    assert_ptr_equal(sent(make_ready(f)), at_once);
}

/* A reservation that is due counts although messages before its message have lost theirs. */
static void a_reservation_is_used_wherever_its_message_waits(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.max_exclusive_connections = 3;
    isolate_each(f, ISOLATED_DELAYED);
    struct upstream *upstreams[3];
    for (unsigned i = 0; i < 3; i++) {
        upstreams[i] = make_ready(f);
        assert_ptr_equal(upstreams[i]->reservation.message, f->messages[i]);
    }
    f->runtime.route.max_exclusive_connections = 1;
    upstream_end(upstreams[0], END_CLOSED);
    upstream_end(upstreams[1], END_CLOSED);
    assert_null(f->messages[0]->reservation);
    assert_null(f->messages[1]->reservation);
    upstreams_stay_quiet(upstreams[2]);
    assert_ptr_equal(sent(upstreams[2]), f->messages[2]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_event_looks_at_no_held_message),
        TEST(an_event_looks_at_no_message_behind_a_closed_window),
        TEST(an_event_looks_at_one_message_that_was_held),
        TEST(held_messages_keep_their_order),
        TEST(messages_behind_two_isolated_ones_keep_their_order),
        TEST(held_messages_are_no_reason_not_to_read_other_agents),
        TEST(a_held_message_grows_too_old),
        TEST(held_messages_outlive_their_agent),
        TEST(an_event_looks_at_the_first_isolated_message),
        TEST(an_event_looks_at_the_first_message_that_waits_for_a_back_off),
        TEST(each_turn_has_a_queue_of_its_own),
        TEST(a_reservation_is_used_wherever_its_message_waits),
    };

    return cmocka_run_group_tests_name("dispatcher_waiting", tests, NULL, NULL);
}
