/* proxy/delivery/cut_through.c: a large message on its way while it is read. */
#include "delivery/cut_through.h"

#include "support/budget.h"
#include "support/messages.h"
#include "support/runtime.h"
#include "support/upstreams.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* The bytes that an agent sends, and how many of them end where. */
#define HEAD "\x93\xa1t\x01"
#define BODY                                                                                                 \
    "\x81\xa1m\xa8"                                                                                          \
    "01234567"
#define OWN_HEAD "\x94\xa1t"
#define OWN_BODY "\x01" BODY
#define OWN_OPTION                                                                                           \
    "\x81\xa5"                                                                                               \
    "chunk\xa2id"

enum { BUFFER_BYTES = 4096 };

static const struct scanner_limits limits = { 1024, 1 << 20, SCANNER_DEPTH_MAX };

struct fixture {
    struct runtime runtime;
    struct read_budget budget;
    struct chunk_ids chunk_ids;
    struct dispatcher dispatcher;
    struct sender sender;
    struct message_permit permit;
    struct buffer incoming;
    struct scanner scanner;
    unsigned settled, undelivered, wakes;
};

static struct fixture fixture;

static void on_settled(void *owner, const struct message *message)
{
    (void)message;
    ((struct fixture *)owner)->settled++;
}

static void on_refused(void *owner, const struct sender_refusal *refusal)
{
    (void)refusal;
    ((struct fixture *)owner)->undelivered++;
}

static void on_undelivered(void *owner, enum end_reason reason)
{
    (void)reason;
    ((struct fixture *)owner)->undelivered++;
}

static void on_wake(void *owner)
{
    ((struct fixture *)owner)->wakes++;
}

static const struct sender_events sender_events = { on_settled, on_refused, on_undelivered, on_wake };

static void on_pressure(void *owner)
{
    (void)owner;
}

static int set_up(void **state)
{
    struct fixture *f = &fixture;

    *f = (struct fixture) { .chunk_ids = { .seed = 1 } };
    runtime_open(&f->runtime);
    f->runtime.route.buffer_bytes = BUFFER_BYTES;
    runtime_set_endpoints(&f->runtime, (const uint16_t[]) { 1, 2 }, NULL, 2);
    read_budget_init(&f->budget, &budget_without_agents, f->runtime.route.retain_bytes,
                     &f->runtime.transport.metrics.messages.retained_bytes);
    dispatcher_init(&f->dispatcher, &(struct dispatcher_options) { .transport = &f->runtime.transport,
                                                                   .budget = &f->budget,
                                                                   .chunk_ids = &f->chunk_ids,
                                                                   .on_pressure = on_pressure });
    sender_init(&f->sender, &sender_events, f, 1);
    buffer_init(&f->incoming, &f->runtime.reactor.pool);
    scanner_init(&f->scanner, &limits);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    buffer_clear(&f->incoming);
    sender_release(&f->sender);
    dispatcher_end(&f->dispatcher);
    dispatcher_deinit(&f->dispatcher);
    assert_int_equal(f->budget.retained_bytes, 0);
    assert_int_equal(f->dispatcher.unsettled.count, 0);
    assert_true(TAILQ_EMPTY(&f->dispatcher.requests.list));
    runtime_close(&f->runtime);
    return 0;
}

/* The agent sends bytes, and the scanner reads them, up to the end of the message at most. */
static void receive(struct fixture *f, const char *bytes, size_t length)
{
    enum scanner_status status = SCANNER_MORE;

    assert_true(buffer_append(&f->incoming, bytes, length));
    for (size_t at = 0; at < length;) {
        at += scanner_feed(&f->scanner, (const uint8_t *)bytes + at, length - at, &status);
        assert_int_not_equal(status, SCANNER_REFUSED);
    }
}

#define RECEIVE(f, literal) receive(f, literal, sizeof(literal) - 1)

static struct cut_through *open(struct fixture *f)
{
    struct cut_through *cut_through = cut_through_open(&f->dispatcher, &f->sender, &f->permit, &f->scanner);

    assert_non_null(cut_through);
    return cut_through;
}

static struct upstream *make_ready(struct fixture *f)
{
    return upstreams_make_last_ready(&f->dispatcher.pool);
}

static void flow(struct fixture *f, struct cut_through *cut_through)
{
    assert_int_equal(cut_through_flow(cut_through, &f->incoming, &f->scanner), END_NONE);
}

static void finish(struct fixture *f, struct cut_through *cut_through)
{
    assert_int_equal(cut_through_finish(cut_through, &f->incoming, &f->scanner), END_NONE);
    assert_int_equal(f->incoming.length, 0);
}

/* ---- tests ---- */

static void bytes_flow_once_a_connection_is_granted(void **state)
{
    struct fixture *f = *state;

    RECEIVE(f, OWN_HEAD "\x01\x81\xa1m\xa8"
                        "0123");
    struct cut_through *cut_through = open(f);
    assert_false(cut_through_can_flow(cut_through));
    flow(f, cut_through);
    size_t waiting = f->incoming.length;
    assert_int_equal(waiting, sizeof OWN_HEAD + 8);
    struct upstream *upstream = make_ready(f);
    assert_int_equal(f->wakes, 1);
    assert_int_equal(upstream->use, UPSTREAM_CUT_THROUGH);
    assert_true(cut_through_can_flow(cut_through));
    flow(f, cut_through);
    assert_int_equal(f->incoming.length, 0);
    messages_expect_buffer(&upstream->stream.outgoing,
                           OWN_HEAD "\x01\x81\xa1m\xa8"
                                    "0123",
                           waiting);
    RECEIVE(f, "4567" OWN_OPTION);
    finish(f, cut_through);
    messages_expect_buffer(&upstream->stream.outgoing, OWN_HEAD OWN_BODY OWN_OPTION,
                           sizeof(OWN_HEAD OWN_BODY OWN_OPTION) - 1);
    const struct message *message = message_of(upstream->stream.in_flight.ledger.first);
    assert_int_equal(message->ack, MESSAGE_AGENT_ACK);
    assert_memory_equal(message->entry.id, "\xa2id", 3);
    assert_int_equal(message->entry.size, sizeof(OWN_HEAD OWN_BODY OWN_OPTION) - 1);
    assert_ptr_equal(message->sender, &f->sender);
    upstreams_settle(upstream);
    assert_int_equal(f->settled, 1);
}

static void the_option_is_held_back_until_it_is_whole(void **state)
{
    struct fixture *f = *state;

    RECEIVE(f, OWN_HEAD OWN_BODY "\x81\xa5"
                                 "chu");
    struct cut_through *cut_through = open(f);
    struct upstream *upstream = make_ready(f);
    flow(f, cut_through);
    messages_expect_buffer(&f->incoming,
                           "\x81\xa5"
                           "chu",
                           5);
    messages_expect_buffer(&upstream->stream.outgoing, OWN_HEAD OWN_BODY, sizeof(OWN_HEAD OWN_BODY) - 1);
    RECEIVE(f, "nk\xa2id");
    finish(f, cut_through);
    messages_expect_buffer(&upstream->stream.outgoing, OWN_HEAD OWN_BODY OWN_OPTION,
                           sizeof(OWN_HEAD OWN_BODY OWN_OPTION) - 1);
}

static void husk_asks_for_an_ack_of_a_protected_message(void **state)
{
    struct fixture *f = *state;
    char prefix[] = "p.";
    uint8_t bytes[128];

    f->permit.prefix = prefix;
    f->permit.prefix_length = 2;
    RECEIVE(f, HEAD);
    struct cut_through *cut_through = open(f);
    struct upstream *upstream = make_ready(f);
    flow(f, cut_through);
    messages_expect_buffer(&upstream->stream.outgoing, "\x94\xa3p.t\x01", 6); /* an option is promised */
    RECEIVE(f, BODY);
    finish(f, cut_through);
    const struct message *message = message_of(upstream->stream.in_flight.ledger.first);
    assert_int_equal(message->ack, MESSAGE_OUR_ACK);
    assert_true(message->is_protected);
    assert_int_equal(message->entry.id_length, CHUNK_ID_VALUE_BYTES);
    size_t length = buffer_peek(&upstream->stream.outgoing, 0, bytes, sizeof bytes);
    assert_int_equal(length, message->entry.size);
    assert_memory_equal(bytes + length - CHUNK_ID_VALUE_BYTES, message->entry.id, CHUNK_ID_VALUE_BYTES);
    messages_expect_bytes(message, bytes, length); /* kept, as it was sent */
    upstreams_settle(upstream);
}

static void passthrough_neither_asks_nor_keeps(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.delivery = ROUTE_PASSTHROUGH;
    RECEIVE(f, HEAD);
    struct cut_through *cut_through = open(f);
    struct upstream *upstream = make_ready(f);
    flow(f, cut_through);
    RECEIVE(f, BODY);
    finish(f, cut_through);
    const struct message *message = message_of(upstream->stream.in_flight.ledger.first);
    messages_expect_buffer(&upstream->stream.outgoing, HEAD BODY, sizeof(HEAD BODY) - 1);
    assert_int_equal(message->ack, MESSAGE_NO_ACK);
    assert_int_equal(message->entry.id_length, 0);
    assert_false(message->is_kept);
}

static void a_message_that_cannot_be_retained_is_not_protected(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.retain_bytes = 3;
    RECEIVE(f, HEAD);
    struct cut_through *cut_through = open(f);
    assert_false(cut_through->message->is_protected);
    cut_through_abort(cut_through);
}

static void a_message_is_no_longer_kept_once_the_budget_is_spent(void **state)
{
    struct fixture *f = *state;
    uint64_t others = 0;

    RECEIVE(f, HEAD);
    struct cut_through *cut_through = open(f);
    struct upstream *upstream = make_ready(f);
    flow(f, cut_through);
    assert_true(cut_through->message->is_kept);
    assert_int_equal(f->budget.retained_bytes, sizeof *cut_through->message + sizeof HEAD - 1);
    read_budget_retain(&f->budget, &others, f->budget.limit_bytes);
    RECEIVE(f, BODY);
    flow(f, cut_through);
    assert_false(cut_through->message->is_kept || cut_through->message->is_protected);
    assert_int_equal(f->budget.retained_bytes, others);
    finish(f, cut_through);
    assert_int_equal(message_of(upstream->stream.in_flight.ledger.first)->ack,
                     MESSAGE_OUR_ACK); /* it was promised */
    read_budget_retain(&f->budget, &others, 0);
}

static void a_full_connection_blocks(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.buffer_bytes = sizeof HEAD - 1;
    RECEIVE(f, HEAD);
    struct cut_through *cut_through = open(f);
    struct upstream *upstream = make_ready(f);
    flow(f, cut_through);
    assert_false(cut_through_can_flow(cut_through));
    RECEIVE(f, "\x81");
    flow(f, cut_through);
    assert_int_equal(f->incoming.length, 1);
    buffer_clear(&upstream->stream.outgoing); /* the socket has taken it */
    unsigned wakes = f->wakes;
    upstream->shared->events->on_progress(upstream->shared->observer, upstream);
    assert_int_equal(f->wakes, wakes + 1);
    flow(f, cut_through);
    assert_int_equal(f->incoming.length, 0);
    cut_through_abort(cut_through);
}

static void a_kept_message_begins_again_on_another_connection(void **state)
{
    struct fixture *f = *state;

    RECEIVE(f, OWN_HEAD "\x01");
    struct cut_through *cut_through = open(f);
    struct upstream *upstream = make_ready(f);
    flow(f, cut_through);
    upstream_end(upstream, END_RESET);
    assert_false(cut_through_can_flow(cut_through));
    assert_int_equal(metrics_read(&f->runtime.transport.metrics.messages.retried), 1);
    assert_int_equal(f->undelivered, 0);
    upstream = make_ready(f);
    messages_expect_buffer(&upstream->stream.outgoing, OWN_HEAD "\x01", sizeof OWN_HEAD);
    RECEIVE(f, BODY OWN_OPTION);
    finish(f, cut_through);
    messages_expect_buffer(&upstream->stream.outgoing, OWN_HEAD OWN_BODY OWN_OPTION,
                           sizeof(OWN_HEAD OWN_BODY OWN_OPTION) - 1);
    assert_true(message_is_isolated(message_of(upstream->stream.in_flight.ledger.first)));
    upstreams_settle(upstream);
}

static void a_message_that_is_not_kept_is_lost_with_its_connection(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.delivery = ROUTE_PASSTHROUGH;
    RECEIVE(f, HEAD);
    struct cut_through *cut_through = open(f);
    upstream_end(make_ready(f), END_RESET); /* nothing of it was sent: it can begin again */
    assert_int_equal(f->undelivered, 0);
    struct upstream *upstream = make_ready(f);
    flow(f, cut_through);
    upstream_end(upstream, END_RESET);
    assert_int_equal(f->undelivered, 1);
    assert_int_equal(metrics_read(&f->runtime.transport.metrics.messages.dropped[END_RESET]), 1);
    cut_through_abort(cut_through);
}

static void a_message_read_whole_before_its_grant_joins_the_queue(void **state)
{
    struct fixture *f = *state;

    RECEIVE(f, OWN_HEAD "\x01");
    struct cut_through *cut_through = open(f);
    RECEIVE(f, BODY OWN_OPTION);
    finish(f, cut_through);
    assert_true(TAILQ_EMPTY(&f->dispatcher.requests.list));
    assert_int_equal(f->dispatcher.waiting.count, 1);
    struct upstream *upstream = make_ready(f);
    messages_expect_buffer(&upstream->stream.outgoing, OWN_HEAD OWN_BODY OWN_OPTION,
                           sizeof(OWN_HEAD OWN_BODY OWN_OPTION) - 1);
    upstreams_settle(upstream);
    assert_int_equal(f->settled, 1);
}

static void a_message_without_protection_is_kept_until_it_is_sent(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.delivery = ROUTE_PASSTHROUGH;
    RECEIVE(f, HEAD);
    struct cut_through *cut_through = open(f);
    RECEIVE(f, BODY);
    finish(f, cut_through);
    struct upstream *upstream = make_ready(f);
    messages_expect_buffer(&upstream->stream.outgoing, HEAD BODY, sizeof(HEAD BODY) - 1);
    assert_false(message_of(upstream->stream.in_flight.ledger.first)->is_kept);
}

static void an_agent_that_leaves_cuts_the_connection(void **state)
{
    struct fixture *f = *state;

    RECEIVE(f, HEAD);
    struct cut_through *cut_through = open(f);
    struct upstream *upstream = make_ready(f);
    flow(f, cut_through);
    cut_through_abort(cut_through);
    assert_int_equal(upstream->state, UPSTREAM_ENDED);
    assert_true(LIST_EMPTY(&f->dispatcher.pool.list));
    assert_int_equal(f->undelivered, 0);
}

static void an_agent_that_leaves_withdraws_its_request(void **state)
{
    struct fixture *f = *state;

    RECEIVE(f, HEAD);
    cut_through_abort(open(f));
    assert_true(TAILQ_EMPTY(&f->dispatcher.requests.list));
    assert_int_equal(make_ready(f)->use, UPSTREAM_SHARED);
}

static void an_option_that_is_too_long_is_refused(void **state)
{
    struct fixture *f = *state;

    RECEIVE(f, OWN_HEAD OWN_BODY "\x81\xa1k\xc6\x00\x02\x00\x00");
    struct cut_through *cut_through = open(f);
    make_ready(f);
    assert_int_equal(cut_through_flow(cut_through, &f->incoming, &f->scanner), END_BAD_OPTION);
    cut_through_abort(cut_through);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_flow_once_a_connection_is_granted),
        TEST(the_option_is_held_back_until_it_is_whole),
        TEST(husk_asks_for_an_ack_of_a_protected_message),
        TEST(passthrough_neither_asks_nor_keeps),
        TEST(a_message_that_cannot_be_retained_is_not_protected),
        TEST(a_message_is_no_longer_kept_once_the_budget_is_spent),
        TEST(a_full_connection_blocks),
        TEST(a_kept_message_begins_again_on_another_connection),
        TEST(a_message_that_is_not_kept_is_lost_with_its_connection),
        TEST(a_message_read_whole_before_its_grant_joins_the_queue),
        TEST(a_message_without_protection_is_kept_until_it_is_sent),
        TEST(an_agent_that_leaves_cuts_the_connection),
        TEST(an_agent_that_leaves_withdraws_its_request),
        TEST(an_option_that_is_too_long_is_refused),
    };

    return cmocka_run_group_tests_name("cut_through", tests, NULL, NULL);
}
