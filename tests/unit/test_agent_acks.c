/* proxy/delivery/agent_acks.c: which acks go to an agent, in which order, and never in part. */
#include "delivery/agent_acks.h"

#include "support/messages.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

#define ACK(id)                                                                                              \
    "\x81\xa3"                                                                                               \
    "ack"                                                                                                    \
    "\xa1" id
enum { ACK_BYTES = sizeof ACK("a") - 1 };

struct fixture {
    struct buffer_pool pool;
    struct agent_acks acks;
    struct buffer out;
};

static struct fixture fixture;

static int set_up(void **state)
{
    fixture = (struct fixture) { 0 };
    agent_acks_init(&fixture.acks, LINK_NO_SENDER);
    buffer_init(&fixture.out, &fixture.pool);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    agent_acks_clear(&f->acks);
    buffer_clear(&f->out);
    buffer_pool_deinit(&f->pool);
    return 0;
}

/* Adds the ack of the message `id`, whose ordinals end at `end`. */
static void add_ending(struct fixture *f, const char *id, uint64_t ordinal, uint64_t end)
{
    uint8_t value[2] = { 0xa1, (uint8_t)*id };
    const struct agent_answer answer = {
        .ordinal = ordinal, .end = end, .id = value, .id_length = sizeof value
    };

    assert_true(agent_acks_add(&f->acks, &answer));
    value[1] = '?'; /* the ack has a copy of the id */
}

static void add(struct fixture *f, const char *id, uint64_t ordinal)
{
    add_ending(f, id, ordinal, ordinal + 1);
}

static void expect_out(const struct fixture *f, const char *bytes)
{
    messages_expect_buffer(&f->out, bytes, strlen(bytes));
}

static void acks_go_in_the_order_their_messages_settled(void **state)
{
    struct fixture *f = *state;

    assert_true(agent_acks_is_empty(&f->acks));
    add(f, "b", 7);
    add(f, "a", 3);
    assert_false(agent_acks_is_empty(&f->acks));
    assert_int_equal(f->acks.bytes, 2 * ACK_BYTES);
    assert_true(agent_acks_gather(&f->acks, UINT64_MAX, &f->out, SIZE_MAX));
    expect_out(f, ACK("b") ACK("a"));
    assert_true(agent_acks_is_empty(&f->acks));
    assert_int_equal(f->acks.bytes, 0);
}

static void an_ack_of_a_later_message_waits(void **state)
{
    struct fixture *f = *state;

    add(f, "a", 4);
    add(f, "b", 5);
    add(f, "c", 3);
    assert_true(agent_acks_gather(&f->acks, 5, &f->out, SIZE_MAX));
    expect_out(f, ACK("a") ACK("c"));
    assert_int_equal(f->acks.bytes, ACK_BYTES);
    assert_true(agent_acks_gather(&f->acks, 6, &f->out, SIZE_MAX));
    expect_out(f, ACK("a") ACK("c") ACK("b"));
}

static void the_last_acks_are_given_up(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(agent_acks_limit(&f->acks, 0), 0);
    for (unsigned i = 0; i < 5; i++)
        add(f, (const char[]) { (char)('a' + i), '\0' }, i);
    assert_int_equal(agent_acks_limit(&f->acks, 5 * ACK_BYTES), 0);
    assert_int_equal(agent_acks_limit(&f->acks, 3 * ACK_BYTES - 1), 3);
    assert_int_equal(f->acks.bytes, 2 * ACK_BYTES);
    add(f, "f", 5); /* acks after those that were given up go on */
    assert_true(agent_acks_gather(&f->acks, UINT64_MAX, &f->out, SIZE_MAX));
    expect_out(f, ACK("a") ACK("b") ACK("f"));
    assert_true(agent_acks_is_empty(&f->acks));
}

static void no_ack_is_cut_in_two(void **state)
{
    struct fixture *f = *state;

    add(f, "a", 0);
    add(f, "b", 1);
    assert_true(buffer_append(&f->out, "x", 1));
    assert_true(agent_acks_gather(&f->acks, 2, &f->out, ACK_BYTES));
    expect_out(f, "x");
    assert_true(agent_acks_gather(&f->acks, 2, &f->out, 2 * ACK_BYTES));
    expect_out(f, "x" ACK("a"));
    assert_true(agent_acks_gather(&f->acks, 2, &f->out, 1 + 2 * ACK_BYTES));
    expect_out(f, "x" ACK("a") ACK("b"));
}

static void cleared_acks_are_not_sent(void **state)
{
    struct fixture *f = *state;

    add(f, "a", 0);
    add(f, "b", 1);
    agent_acks_clear(&f->acks);
    assert_true(agent_acks_is_empty(&f->acks));
    assert_int_equal(f->acks.bytes, 0);
    assert_true(agent_acks_gather(&f->acks, UINT64_MAX, &f->out, SIZE_MAX));
    expect_out(f, "");
}

#define REFUSED_ACK(id, count)                                                                               \
    "\x83\xa3"                                                                                               \
    "ack"                                                                                                    \
    "\xa1" id "\xa7refused" count "\xa6reason\xa4json"

enum { BATCH_END = 100 }; /* of the batch whose early parts are refused */

/* Adds the answer to refused events; `id` NULL: of an early part of the batch. */
static void refuse(struct fixture *f, const char *id, uint64_t ordinal, uint64_t count)
{
    uint8_t value[2] = { 0xa1, (uint8_t)(id ? *id : 0) };
    const struct agent_answer answer = {
        .ordinal = ordinal,
        .end = id ? ordinal + 1 : BATCH_END,
        .id = value,
        .id_length = id ? sizeof value : 0,
        .refused = count,
        .reason = END_JSON,
    };

    assert_true(agent_acks_add(&f->acks, &answer));
}

static void a_refused_message_is_answered_with_the_reason(void **state)
{
    struct fixture *f = *state;

    refuse(f, "a", 0, 1);
    assert_true(agent_acks_gather(&f->acks, UINT64_MAX, &f->out, SIZE_MAX));
    expect_out(f, REFUSED_ACK("a", "\x01"));
}

static void refused_early_parts_are_reported_with_the_ack_of_their_batch(void **state)
{
    struct fixture *f = *state;

    add(f, "a", 0);
    refuse(f, NULL, 1, 1);
    refuse(f, NULL, 2, 3);
    assert_int_equal(f->acks.bytes, ACK_BYTES);
    assert_true(agent_acks_gather(&f->acks, UINT64_MAX, &f->out, SIZE_MAX));
    expect_out(f, ACK("a"));
    assert_true(agent_acks_is_empty(&f->acks)); /* nothing can be written before that ack */
    add(f, "x", 5);                             /* of another message */
    add_ending(f, "b", 6, BATCH_END);
    add(f, "c", 100);
    assert_true(agent_acks_gather(&f->acks, UINT64_MAX, &f->out, SIZE_MAX));
    expect_out(f, ACK("a") ACK("x") REFUSED_ACK("b", "\x04") ACK("c"));
}

static void an_ack_that_waited_reports_what_was_refused_before_it(void **state)
{
    struct fixture *f = *state;

    add_ending(f, "b", 5, BATCH_END);
    refuse(f, "c", 6, 1);
    assert_true(
        agent_acks_gather(&f->acks, 4, &f->out, SIZE_MAX)); /* the message with ordinal 4 is unsettled */
    expect_out(f, "");
    refuse(f, NULL, 4, 1);
    assert_true(agent_acks_gather(&f->acks, UINT64_MAX, &f->out, SIZE_MAX));
    expect_out(f, REFUSED_ACK("b", "\x01") REFUSED_ACK("c", "\x01"));
    assert_true(agent_acks_is_empty(&f->acks));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(acks_go_in_the_order_their_messages_settled, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_ack_of_a_later_message_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_last_acks_are_given_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_ack_is_cut_in_two, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_refused_message_is_answered_with_the_reason, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refused_early_parts_are_reported_with_the_ack_of_their_batch, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_ack_that_waited_reports_what_was_refused_before_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(cleared_acks_are_not_sent, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("agent_acks", tests, NULL, NULL);
}
