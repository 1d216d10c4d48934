/* proxy/delivery/receiver.c: which sender a message is from, and what the peer of the connection is told. */
#include "delivery/receiver.h"

#include "support/budget.h"
#include "support/framing.h"
#include "support/messages.h"
#include "support/runtime.h"
#include "support/upstreams.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

enum { SPACE = 65536, LARGE_BYTES = 3000, CUT_THROUGH_BYTES = 1000 };

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
    struct buffer out;
    bool has_ended; /* the receiver */
    unsigned wakes, complete, undelivered, refused;
    enum end_reason reason; /* of the last refusal */
    unsigned invalid;       /* lines about invalid events */
};

static struct fixture fixture;

/* ---- callbacks ---- */

static void on_wake(void *owner)
{
    ((struct fixture *)owner)->wakes++;
}

static void on_complete(void *owner)
{
    ((struct fixture *)owner)->complete++;
}

/* As a connection does. */
static void on_undelivered(void *owner)
{
    struct fixture *f = owner;

    f->undelivered++;
    receiver_end(&f->receiver);
    f->has_ended = true;
}

/* Called for each line of the log. */
static struct connection_end where(const void *owner, enum end_reason reason)
{
    (void)owner;
    fixture.refused += reason != END_NONE;
    fixture.invalid += reason == END_NONE;
    fixture.reason = reason;
    return (struct connection_end) { .reason = reason };
}

static const struct receiver_events events = { on_wake, on_complete, on_undelivered, where };

static void on_pressure(void *owner)
{
    (void)owner;
}

/* ---- life ---- */

static int set_up(void **state)
{
    struct fixture *f = &fixture;
    struct message_rule *rule;
    struct fault fault;

    *f = (struct fixture) { .chunk_ids = { .seed = 1 } };
    runtime_open(&f->runtime);
    f->runtime.route.max_senders = 2;
    f->runtime.route.cut_through_bytes = CUT_THROUGH_BYTES;
    f->runtime.route.batch_bytes = 1000;
    runtime_set_endpoints(&f->runtime, (const uint16_t[]) { 1, 2 }, NULL, 2);
    read_budget_init(&f->budget, &budget_without_agents, f->runtime.route.retain_bytes,
                     &f->runtime.transport.metrics.messages.retained_bytes);
    dispatcher_init(&f->dispatcher, &(struct dispatcher_options) { .transport = &f->runtime.transport,
                                                                   .budget = &f->budget,
                                                                   .chunk_ids = &f->chunk_ids,
                                                                   .on_pressure = on_pressure });
    body_filter_init(&f->bodies, &f->runtime.route, &f->runtime.transport.metrics.bodies);
    rule = message_policy_add(&f->policy, "any");
    assert_non_null(rule);
    assert_true(peer_policy_add(&rule->who, PEER_RULE_ANY, NULL, &fault));
    assert_true(message_rule_set_tags(rule, "a,b", &fault));
    assert_int_equal(message_permit_open(&f->permit, &f->policy, &f->meters, NULL, FRAMING_NOW_MS), END_NONE);
    receiver_shared_init(&f->shared, &events, &f->dispatcher, &f->bodies);
    receiver_init(&f->receiver, &f->shared, f, &f->permit);
    receiver_allow_link(&f->receiver);
    buffer_init(&f->out, &f->runtime.reactor.pool);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    if (!f->has_ended)
        receiver_end(&f->receiver);
    receiver_shared_deinit(&f->shared);
    dispatcher_end(&f->dispatcher);
    dispatcher_deinit(&f->dispatcher);
    assert_int_equal(f->budget.retained_bytes, 0);
    assert_int_equal(f->dispatcher.unsettled.count, 0);
    body_filter_deinit(&f->bodies);
    message_permit_close(&f->permit);
    message_meters_deinit(&f->meters);
    message_policy_deinit(&f->policy);
    buffer_clear(&f->out);
    runtime_close(&f->runtime);
    return 0;
}

/* ---- what happens ---- */

static enum end_reason receive(struct fixture *f, const void *bytes, size_t length)
{
    assert_true(buffer_append(framer_bytes(&f->receiver.framer), bytes, length));
    return framer_advance(&f->receiver.framer, f->runtime.reactor.now_ms);
}

#define RECEIVE(f, literal) assert_int_equal(receive(f, literal, sizeof(literal) - 1), END_NONE)

static struct upstream *make_ready(struct fixture *f)
{
    struct upstream *upstream = LIST_FIRST(&f->dispatcher.pool.list);

    assert_non_null(upstream);
    upstreams_make_ready(upstream);
    return upstream;
}

/* The husk upstream refuses the oldest message. */
static void refuse(struct upstream *upstream)
{
    struct message *message = upstream_take_unsettled(upstream);

    assert_non_null(message);
    upstream->shared->events->on_refused(upstream->shared->observer, upstream, message, 1, END_TAG_TOO_LONG);
}

static void begin_link(struct fixture *f)
{
    assert_true(receiver_begin_link(&f->receiver));
}

/* The first part of ["a", bin of LARGE_BYTES, option]. */
static void receive_large(struct fixture *f, const char *head)
{
    static const char zeros[LARGE_BYTES];
    const uint8_t body[] = { 0xc5, LARGE_BYTES >> 8, LARGE_BYTES & 0xff };

    assert_int_equal(receive(f, head, strlen(head)), END_NONE);
    assert_int_equal(receive(f, body, sizeof body), END_NONE);
    assert_int_equal(receive(f, zeros, LARGE_BYTES - 1), END_NONE);
    assert_non_null(f->receiver.cut_through);
}

static uint64_t dropped(const struct fixture *f, enum end_reason reason)
{
    return metrics_read(&f->runtime.transport.metrics.messages.dropped[reason]);
}

static uint64_t received(const struct fixture *f)
{
    return metrics_read(&f->runtime.transport.metrics.messages.received);
}

/* The log has this text. */
static void expect_log(struct fixture *f, const char *text)
{
    char log[RUNTIME_LOG_BYTES];

    runtime_read_log(&f->runtime, log);
    if (!strstr(log, text))
        fail_msg("no \"%s\" in: %s", text, log);
}

/* ---- what the peer is told ---- */

#define ACK(id)                                                                                              \
    "\x81\xa3"                                                                                               \
    "ack" id
#define ACK_OF(sender, id)                                                                                   \
    "\x82\xa3"                                                                                               \
    "ack\xa1" id "\xa6sender" sender
#define REFUSED_ACK(sender, id, reason)                                                                      \
    "\x84\xa3"                                                                                               \
    "ack\xa1" id "\xa6sender" sender "\xa7refused\x01\xa6reason" reason

static void expect(struct fixture *f, const char *bytes, size_t length)
{
    assert_true(senders_write(&f->receiver.senders, &f->out, SPACE, f->runtime.reactor.now_ms));
    messages_expect_buffer(&f->out, bytes, length);
    buffer_clear(&f->out);
}

#define EXPECT(f, text) expect(f, text, sizeof(text) - 1)

/* ---- whose message it is ---- */

static void an_agent_is_one_sender(void **state)
{
    struct fixture *f = *state;
    struct receiver other;

    assert_true(receiver_is_drained(&f->receiver));
    RECEIVE(f, PLAIN("a") PLAIN("a"));
    RECEIVE(f, ASKED("b", "1"));
    assert_int_equal(f->complete, 2);
    assert_int_equal(f->receiver.senders.agent.filed, 3);
    assert_false(f->receiver.senders.agent.is_remote);
    assert_false(receiver_is_drained(&f->receiver));
    struct upstream *upstream = make_ready(f);
    upstreams_settle(upstream);
    upstreams_settle(upstream);
    assert_false(receiver_is_drained(&f->receiver)); /* the ack is not written */
    EXPECT(f, ACK("\xa1"
                  "1"));
    assert_true(receiver_is_drained(&f->receiver));
    RECEIVE(f, "\x93");
    assert_false(receiver_is_drained(&f->receiver));
    receiver_init(&other, &f->shared, f, &f->permit);
    assert_int_not_equal(other.senders.agent.number, f->receiver.senders.agent.number);
    receiver_end(&other);
}

static void on_a_link_the_sender_that_was_named_gets_the_message(void **state)
{
    struct fixture *f = *state;

    begin_link(f);
    RECEIVE(f, FRAME("\x05") ASKED("a", "1") FRAME("\x06") ASKED("b", "2"));
    assert_int_equal(f->receiver.senders.agent.filed, 0);
    assert_int_equal(f->receiver.senders.peer->unsettled, 2);
    struct upstream *upstream = make_ready(f);
    upstreams_settle(upstream);
    EXPECT(f, ACK_OF("\x05", "1"));
    upstreams_settle(upstream);
    EXPECT(f, ACK_OF("\x06", "2"));
    assert_true(receiver_is_drained(&f->receiver));
}

/* ---- a link without TLS ---- */

#define HUSK_ID                                                                                              \
    "\xb8"                                                                                                   \
    "0123456789012345678901~1"
#define ASKED_BY_HUSK                                                                                        \
    "\x94\xa1"                                                                                               \
    "a\x01\x80\x81\xa5"                                                                                      \
    "chunk" HUSK_ID
#define LINK_OFFER "\xa4link\x01"

static void the_chunk_id_of_a_husk_is_answered_with_an_offer(void **state)
{
    struct fixture *f = *state;

    RECEIVE(f, ASKED_BY_HUSK);
    struct upstream *upstream = make_ready(f);
    upstreams_settle(upstream);
    EXPECT(f, "\x82\xa3"
              "ack" HUSK_ID LINK_OFFER);
    RECEIVE(f, ASKED("a", "1") ASKED("a", "2"));
    upstreams_settle(upstream);
    EXPECT(f, "\x82\xa3"
              "ack\xa1"
              "1" LINK_OFFER);
    assert_null(f->receiver.senders.peer);
    RECEIVE(f, FRAME("\x05")); /* the link begins */
    assert_non_null(f->receiver.senders.peer);
    assert_true(f->receiver.senders.agent.is_remote);
    upstreams_settle(upstream);
    EXPECT(f, ACK("\xa1"
                  "2"));
    RECEIVE(f, FRAME("\x06") ASKED_BY_HUSK);
    upstreams_settle(upstream);
    EXPECT(f, "\x82\xa3"
              "ack" HUSK_ID "\xa6sender\x06");
    RECEIVE(f, FRAME("\x05") ASKED("x", "3") FRAME("\x06") ASKED("b", "4"));
    upstreams_settle(upstream);
    EXPECT(f, REFUSED_ACK("\x05", "3", "\xaftag_not_allowed") ACK_OF("\x06", "4"));
}

static void nobody_else_is_offered_the_link(void **state)
{
    static const char *const ids[] = {
        "\xb8"
        "0123456789012345678901~2",
        "\xb8"
        "0123456789012345678901-1",
        "\xb7"
        "012345678901234567890~1",
        "\xc4\x18"
        "0123456789012345678901~1",
    };
    struct fixture *f = *state;
    char bytes[64] = ACK("");

    RECEIVE(f, PLAIN("a")); /* its chunk id is made by this husk */
    struct upstream *upstream = make_ready(f);
    upstreams_settle(upstream);
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        RECEIVE(f, "\x94\xa1"
                   "a\x01\x80\x81\xa5"
                   "chunk");
        assert_int_equal(receive(f, ids[i], strlen(ids[i])), END_NONE);
        upstreams_settle(upstream);
        strcpy(bytes + sizeof ACK("") - 1, ids[i]);
        expect(f, bytes, strlen(bytes));
    }
}

static void without_tls_a_husk_may_begin_the_link_with_its_first_byte(void **state)
{
    struct fixture *f = *state;

    RECEIVE(f, FRAME("\x05") ASKED("a", "1"));
    upstreams_settle(make_ready(f));
    EXPECT(f, ACK_OF("\x05", "1"));
}

static void with_tls_the_link_is_not_offered(void **state)
{
    struct fixture *f = *state;

    framer_set_source(&f->receiver.framer, FRAMER_FROM_AGENT); /* as before receiver_allow_link */
    RECEIVE(f, ASKED_BY_HUSK);
    upstreams_settle(make_ready(f));
    EXPECT(f, ACK(HUSK_ID));
    RECEIVE(f, FRAME("\x05")); /* a value of an agent */
    assert_null(f->receiver.senders.peer);
    assert_int_equal(f->invalid, 1);
    expect_log(f, "reason=value");
}

/* ---- invalid events ---- */

#define INVALID(id)                                                                                          \
    "\x94\xa1"                                                                                               \
    "a\x01\xc0" OPTION(id)

static uint64_t invalid_events(const struct fixture *f, enum event_fault fault)
{
    return metrics_read(&f->runtime.transport.metrics.bodies.invalid_events[fault]);
}

static void acks_of_skipped_messages_keep_their_order(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.body.skip_invalid = true;
    RECEIVE(f, INVALID("0") ASKED("a", "1") INVALID("2") ASKED("a", "3") INVALID("4") "\x93\xa1"
                                                                                      "a\x01\xc0");
    EXPECT(f, ACK("\xa1"
                  "0"));
    assert_int_equal(invalid_events(f, EVENT_FAULT_RECORD), 4);
    assert_int_equal(f->invalid, 1); /* reported once */
    expect_log(f, "reason=record what=\"the record is no map\" tag=a");
    struct upstream *upstream = make_ready(f);
    upstreams_settle(upstream);
    EXPECT(f, ACK("\xa1"
                  "1") ACK("\xa1"
                           "2"));
    upstreams_settle(upstream);
    EXPECT(f, ACK("\xa1"
                  "3") ACK("\xa1"
                           "4"));
    assert_int_equal(received(f), 6);
    assert_int_equal(metrics_read(&f->runtime.transport.metrics.messages.settled), 6);
}

static void on_a_link_each_sender_is_reported_once_and_answered(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.body.skip_invalid = true;
    begin_link(f);
    RECEIVE(f, FRAME("\x05") INVALID("1") INVALID("2") FRAME("\x06") INVALID("3"));
    assert_int_equal(f->invalid, 2);
    EXPECT(f, ACK_OF("\x05", "1") ACK_OF("\x05", "2") ACK_OF("\x06", "3"));
    assert_int_equal(f->receiver.senders.peer->unsettled, 0);
}

static void an_agent_is_not_read_while_many_skipped_messages_wait_for_their_turn(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.body.skip_invalid = true;
    RECEIVE(f, ASKED("a", "1"));
    for (unsigned i = 0; i < SENDER_EMPTIES_MAX; i++) {
        assert_false(receiver_must_wait(&f->receiver));
        RECEIVE(f, INVALID("2"));
    }
    assert_true(receiver_must_wait(&f->receiver));
    upstreams_settle(make_ready(f));
    assert_false(receiver_must_wait(&f->receiver));
}

/* ---- lost messages of an agent ---- */

static void an_agent_that_wants_an_ack_is_told_of_a_loss(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.on_refused = ROUTE_REFUSED_CONTINUE;
    RECEIVE(f, ASKED("a", "1"));
    refuse(make_ready(f));
    assert_int_equal(f->undelivered, 1);
}

static void an_agent_without_acks_is_told_of_a_loss_if_it_is_reset(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.on_refused = ROUTE_REFUSED_RESET;
    RECEIVE(f, PLAIN("a"));
    refuse(make_ready(f));
    assert_int_equal(f->undelivered, 1);
}

static void an_agent_without_acks_goes_on_after_a_loss(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.on_refused = ROUTE_REFUSED_CONTINUE;
    RECEIVE(f, PLAIN("a"));
    RECEIVE(f, ASKED("a", "1"));
    struct upstream *upstream = make_ready(f);
    unsigned wakes = f->wakes;
    refuse(upstream);
    assert_int_equal(f->undelivered, 0);
    assert_int_equal(f->wakes, wakes + 1);
    upstreams_settle(upstream);
    EXPECT(f, ACK("\xa1"
                  "1"));
    RECEIVE(f, PLAIN("a"));
    assert_int_equal(f->receiver.senders.agent.filed, 3);
}

static void an_agent_is_told_of_a_loss_of_what_is_not_kept(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.on_refused = ROUTE_REFUSED_CONTINUE;
    f->runtime.route.retain_bytes = 1;
    RECEIVE(f, PLAIN("a"));
    refuse(make_ready(f));
    assert_int_equal(f->undelivered, 1);
}

/* The aggregator never acknowledges. The agent waits for its ack, as without husk. */
static void an_agent_whose_ack_cannot_come_is_not_reset(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.on_refused = ROUTE_REFUSED_RESET;
    RECEIVE(f, ASKED("a", "1"));
    RECEIVE(f, PLAIN("a"));
    struct upstream *upstream = make_ready(f);
    for (unsigned i = 0; i < 2; i++)
        upstream->shared->events->on_settled(upstream->shared->observer, upstream,
                                             upstream_take_unsettled(upstream), UPSTREAM_TAKEN);
    assert_int_equal(f->undelivered, 0);
    EXPECT(f, "");
    assert_true(receiver_is_drained(&f->receiver));
    assert_int_equal(metrics_read(&f->runtime.transport.metrics.messages.settled), 2);
    assert_int_equal(metrics_read(&f->runtime.transport.metrics.messages.unacknowledged), 2);
    assert_int_equal(metrics_read(&f->runtime.transport.metrics.messages.dropped[END_NO_ACKS]), 0);
}

/* A husk forgets a message with an id of its own when it gets the ack. */
static void a_husk_gets_acks_for_its_own_ids_although_the_aggregator_sends_none(void **state)
{
    struct fixture *f = *state;

    RECEIVE(f, ASKED_BY_HUSK);
    struct upstream *upstream = make_ready(f);
    upstream->shared->events->on_settled(upstream->shared->observer, upstream,
                                         upstream_take_unsettled(upstream), UPSTREAM_TAKEN);
    assert_int_equal(f->undelivered, 0);
    assert_true(senders_have_answers(&f->receiver.senders));
}

/* ---- refused messages on a link ---- */

static void a_refused_message_is_counted_and_answered(void **state)
{
    struct fixture *f = *state;

    begin_link(f);
    RECEIVE(f, FRAME("\x05") ASKED("x", "1") ASKED("a", "2") PLAIN("x"));
    assert_int_equal(f->refused, 2);
    assert_int_equal(f->reason, END_TAG_NOT_ALLOWED);
    assert_int_equal(received(f), 3);
    assert_int_equal(dropped(f, END_TAG_NOT_ALLOWED), 2);
    EXPECT(f, REFUSED_ACK("\x05", "1", "\xaftag_not_allowed"));
    struct upstream *upstream = make_ready(f);
    upstreams_settle(upstream);
    EXPECT(f, ACK_OF("\x05", "2"));
    RECEIVE(f, ASKED("b", "3"));
    upstreams_settle(upstream);
    EXPECT(f, ACK_OF("\x05", "3")); /* a refused message without an id is not reported */
    assert_int_equal(f->undelivered, 0);
}

/* ---- large messages ---- */

static void a_large_message_is_cut_through_for_its_sender(void **state)
{
    struct fixture *f = *state;

    begin_link(f);
    RECEIVE(f, FRAME("\x05"));
    receive_large(f, "\x93\xa1"
                     "a");
    struct upstream *upstream = make_ready(f);
    RECEIVE(f, "");
    assert_int_equal(framer_bytes(&f->receiver.framer)->length, 0);
    assert_false(receiver_is_drained(&f->receiver));
    RECEIVE(f, "\0" OPTION("1") FRAME("\x06"));
    assert_null(f->receiver.cut_through);
    assert_int_equal(f->complete, 1);
    assert_int_equal(f->receiver.senders.peer->unsettled, 1);
    upstreams_settle(upstream);
    EXPECT(f, ACK_OF("\x05", "1"));
}

static void a_large_message_that_is_given_up_costs_itself_on_a_link(void **state)
{
    struct fixture *f = *state;

    begin_link(f);
    RECEIVE(f, FRAME("\x05"));
    receive_large(f, "\x93\xa1"
                     "a");
    struct upstream *upstream = make_ready(f);
    RECEIVE(f, "\0");
    unsigned wakes = f->wakes;
    sender_fail(f->receiver.cut_through->sender, END_RESET);
    assert_null(f->receiver.cut_through);
    assert_int_equal(upstream->state, UPSTREAM_ENDED);
    assert_int_equal(f->undelivered, 0);
    assert_int_equal(f->wakes, wakes + 1);
    assert_int_equal(dropped(f, END_RESET), 0); /* until it is whole */
    RECEIVE(f, OPTION("1") ASKED("a", "2"));
    assert_int_equal(dropped(f, END_RESET), 1);
    assert_int_equal(received(f), 2);
    EXPECT(f, REFUSED_ACK("\x05", "1", "\xa5reset"));
    upstreams_settle(make_ready(f));
    EXPECT(f, ACK_OF("\x05", "2"));
}

static void a_large_message_that_is_lost_and_not_kept_ends_a_link(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.delivery = ROUTE_PASSTHROUGH;
    begin_link(f);
    receive_large(f, "\x93\xa1"
                     "a");
    struct upstream *upstream = make_ready(f);
    RECEIVE(f, "");
    upstream_end(upstream, END_RESET);
    assert_int_equal(f->undelivered, 1);
    assert_int_equal(f->refused, 0);
}

static void a_large_message_that_is_lost_is_told_to_an_agent(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.delivery = ROUTE_PASSTHROUGH;
    receive_large(f, "\x92\xa1"
                     "a");
    struct upstream *upstream = make_ready(f);
    RECEIVE(f, "");
    upstream_end(upstream, END_RESET);
    assert_int_equal(f->undelivered, 1);
    assert_int_equal(dropped(f, END_RESET), 1);
}

static void a_large_message_that_becomes_too_long_is_cut_off(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.scanner.message_bytes = LARGE_BYTES + 1000;
    begin_link(f);
    receive_large(f, "\x94\xa1"
                     "a\x01\x82\xa1k");
    struct upstream *upstream = make_ready(f);
    RECEIVE(f, "\0\xa1l\xc5\x03\xe8");
    assert_null(f->receiver.cut_through);
    assert_int_equal(upstream->state, UPSTREAM_ENDED);
    assert_int_equal(f->refused, 0); /* its id is not known */
    static const char zeros[1000];
    assert_int_equal(receive(f, zeros, sizeof zeros), END_NONE);
    RECEIVE(f, OPTION("1"));
    assert_int_equal(f->refused, 1);
    EXPECT(f, REFUSED_ACK("\0", "1", "\xb0message_too_long"));
}

/* ---- waiting ---- */

static void an_agent_waits_behind_its_isolated_message(void **state)
{
    struct fixture *f = *state;

    RECEIVE(f, ASKED("a", "1"));
    upstream_end(make_ready(f), END_RESET);
    assert_true(sender_has_isolated(&f->receiver.senders.agent));
    assert_false(receiver_must_wait(&f->receiver)); /* no connection is ready */
    make_ready(f);
    assert_true(receiver_must_wait(&f->receiver));
}

static void a_large_message_does_not_wait(void **state)
{
    struct fixture *f = *state;

    RECEIVE(f, ASKED("a", "1"));
    upstream_end(make_ready(f), END_RESET);
    receive_large(f, "\x92\xa1"
                     "a");
    make_ready(f);
    assert_false(receiver_must_wait(&f->receiver)); /* the isolated message may need its connection */
}

static void on_a_link_nobody_waits_for_another(void **state)
{
    struct fixture *f = *state;

    RECEIVE(f, ASKED_BY_HUSK);
    upstream_end(make_ready(f), END_RESET);
    make_ready(f);
    assert_true(receiver_must_wait(&f->receiver));
    RECEIVE(f, "\x81\xb0waiting_every_ms\xcd\x01\xf4" ASKED("a", "1"));
    assert_false(receiver_must_wait(&f->receiver));
    assert_int_equal(senders_deadline(&f->receiver.senders), f->runtime.reactor.now_ms + 500);
    runtime_pass(&f->runtime, 500);
    EXPECT(f, "\x81\xa7waiting\xa4"
              "busy");
}

/* ---- end ---- */

static void an_agent_that_ends_takes_along_what_it_sends_again(void **state)
{
    struct fixture *f = *state;

    RECEIVE(f, PLAIN("a"));
    RECEIVE(f, ASKED("a", "1"));
    assert_int_equal(f->dispatcher.unsettled.count, 2);
    receiver_end(&f->receiver);
    f->has_ended = true;
    assert_int_equal(f->dispatcher.unsettled.count, 1);
    upstreams_settle(make_ready(f));
}

static void a_large_message_ends_with_its_agent(void **state)
{
    struct fixture *f = *state;

    receive_large(f, "\x92\xa1"
                     "a");
    struct upstream *upstream = make_ready(f);
    RECEIVE(f, "");
    receiver_end(&f->receiver);
    f->has_ended = true;
    assert_int_equal(upstream->state, UPSTREAM_ENDED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_agent_is_one_sender),
        TEST(on_a_link_the_sender_that_was_named_gets_the_message),
        TEST(the_chunk_id_of_a_husk_is_answered_with_an_offer),
        TEST(nobody_else_is_offered_the_link),
        TEST(without_tls_a_husk_may_begin_the_link_with_its_first_byte),
        TEST(with_tls_the_link_is_not_offered),
        TEST(acks_of_skipped_messages_keep_their_order),
        TEST(on_a_link_each_sender_is_reported_once_and_answered),
        TEST(an_agent_is_not_read_while_many_skipped_messages_wait_for_their_turn),
        TEST(an_agent_that_wants_an_ack_is_told_of_a_loss),
        TEST(an_agent_without_acks_is_told_of_a_loss_if_it_is_reset),
        TEST(an_agent_without_acks_goes_on_after_a_loss),
        TEST(an_agent_is_told_of_a_loss_of_what_is_not_kept),
        TEST(an_agent_whose_ack_cannot_come_is_not_reset),
        TEST(a_husk_gets_acks_for_its_own_ids_although_the_aggregator_sends_none),
        TEST(a_refused_message_is_counted_and_answered),
        TEST(a_large_message_is_cut_through_for_its_sender),
        TEST(a_large_message_that_is_given_up_costs_itself_on_a_link),
        TEST(a_large_message_that_is_lost_and_not_kept_ends_a_link),
        TEST(a_large_message_that_is_lost_is_told_to_an_agent),
        TEST(a_large_message_that_becomes_too_long_is_cut_off),
        TEST(an_agent_waits_behind_its_isolated_message),
        TEST(a_large_message_does_not_wait),
        TEST(on_a_link_nobody_waits_for_another),
        TEST(an_agent_that_ends_takes_along_what_it_sends_again),
        TEST(a_large_message_ends_with_its_agent),
    };

    return cmocka_run_group_tests_name("receiver", tests, NULL, NULL);
}
