/* proxy/delivery/sender.c: an agent's unsettled messages, their order, and who blocks whom. */
#include "delivery/sender.h"

#include "support/messages.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { NOW_MS = 1000, MESSAGES = 5, NUMBER = 7 };

struct fixture {
    struct buffer_pool pool;
    struct sender sender;
    struct message *messages[MESSAGES]; /* single ones that the agent wants acks of, but for the batch [2] and
                                           [3], which has no ack */
    const struct message *settled;
    struct sender_refusal refusal;
    enum end_reason reason;
    unsigned undelivered, wakes, settled_count;
};

static struct fixture fixture;

static void on_settled(void *owner, const struct message *message)
{
    ((struct fixture *)owner)->settled = message;
    ((struct fixture *)owner)->settled_count++;
}

static void on_refused(void *owner, const struct sender_refusal *refusal)
{
    ((struct fixture *)owner)->refusal = *refusal;
}

static void on_undelivered(void *owner, enum end_reason reason)
{
    ((struct fixture *)owner)->undelivered++;
    ((struct fixture *)owner)->reason = reason;
}

static void on_wake(void *owner)
{
    ((struct fixture *)owner)->wakes++;
}

static const struct sender_events events = {
    .on_settled = on_settled,
    .on_refused = on_refused,
    .on_undelivered = on_undelivered,
    .on_wake = on_wake,
};

static int set_up(void **state)
{
    struct fixture *f = &fixture;

    *f = (struct fixture) { 0 };
    f->messages[0] = messages_make(&f->pool, "a", MESSAGE_AGENT_ACK, 1);
    f->messages[1] = messages_make(&f->pool, "b", MESSAGE_AGENT_ACK, 1);
    f->messages[2] = messages_make(&f->pool, "c", MESSAGE_AGENT_ACK, 3);
    f->messages[3] = messages_make(&f->pool, "d", MESSAGE_NO_ACK, 1);
    f->messages[4] = messages_make(&f->pool, "e", MESSAGE_AGENT_ACK, 1);
    sender_init(&f->sender, &events, f, NUMBER);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < MESSAGES; i++)
        message_free(f->messages[i]);
    buffer_pool_deinit(&f->pool);
    return 0;
}

/* Files the first `count` messages. */
static void file(struct fixture *f, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        sender_file(&f->sender, f->messages[i], NOW_MS + i);
}

static void isolate(struct fixture *f, unsigned at)
{
    f->messages[at]->attempts = 1;
    sender_note_isolated(&f->sender, f->messages[at]);
}

static void filed_messages_have_rising_ordinals(void **state)
{
    struct fixture *f = *state;

    file(f, 5);
    assert_int_equal(f->messages[0]->ordinal, 0);
    assert_int_equal(f->messages[1]->ordinal, 1);
    assert_int_equal(f->messages[2]->ordinal, 2); /* a batch takes as many as it has messages */
    assert_int_equal(f->messages[3]->ordinal, 5);
    assert_int_equal(f->messages[4]->ordinal, 6);
    assert_int_equal(f->sender.filed, 7);
    assert_int_equal(f->messages[4]->arrived_ms, NOW_MS + 4);
    assert_ptr_equal(f->messages[4]->sender, &f->sender);
    assert_ptr_equal(TAILQ_FIRST(&f->sender.unsettled), f->messages[0]);
    assert_ptr_equal(TAILQ_LAST(&f->sender.unsettled, message_list), f->messages[4]);
    sender_release(&f->sender);
}

static void a_settled_message_leaves_and_its_owner_is_told(void **state)
{
    struct fixture *f = *state;

    file(f, 2);
    sender_settle(&f->sender, f->messages[0]);
    assert_ptr_equal(f->settled, f->messages[0]);
    assert_null(f->messages[0]->sender);
    assert_ptr_equal(TAILQ_FIRST(&f->sender.unsettled), f->messages[1]);
    sender_remove(&f->sender, f->messages[1]);
    assert_ptr_equal(f->settled, f->messages[0]); /* a removed message has not settled */
    assert_true(TAILQ_EMPTY(&f->sender.unsettled));
}

/* Files an empty message of an agent that asks for its ack, or does not. */
static void file_empty(struct fixture *f, enum message_ack ack)
{
    struct message *message = messages_make(&f->pool, "x", ack, 1);

    message->entry.size = 0;
    sender_file_empty(&f->sender, message, NOW_MS);
}

static void empty_messages_settle_when_no_earlier_message_is_unsettled(void **state)
{
    struct fixture *f = *state;

    file_empty(f, MESSAGE_AGENT_ACK);
    assert_int_equal(f->settled_count, 1);
    file(f, 2);
    file_empty(f, MESSAGE_AGENT_ACK);
    file_empty(f, MESSAGE_AGENT_ACK);
    assert_int_equal(f->settled_count, 1);
    file_empty(f, MESSAGE_NO_ACK); /* nobody waits for its turn */
    assert_int_equal(f->settled_count, 2);
    sender_settle(&f->sender, f->messages[1]);
    assert_int_equal(f->settled_count, 3);
    sender_settle(&f->sender, f->messages[0]);
    assert_int_equal(f->settled_count, 6);
    assert_true(TAILQ_EMPTY(&f->sender.unsettled));
    file(f, 1);
    file_empty(f, MESSAGE_AGENT_ACK);
    sender_refuse(&f->sender, f->messages[0], 1, END_CLOSED);
    assert_int_equal(f->settled_count, 7);
}

static void a_released_sender_frees_its_empty_messages(void **state)
{
    struct fixture *f = *state;

    file(f, 1);
    for (unsigned i = 0; i < SENDER_EMPTIES_MAX; i++) {
        assert_false(sender_is_full(&f->sender));
        file_empty(f, MESSAGE_AGENT_ACK);
    }
    assert_true(sender_is_full(&f->sender));
    sender_release(&f->sender); /* a sanitizer sees a leak */
    assert_false(sender_is_full(&f->sender));
    assert_int_equal(f->settled_count, 0);
}

static void the_first_invalid_event_of_a_sender_is_noted(void **state)
{
    struct fixture *f = *state;

    assert_true(sender_note_invalid(&f->sender));
    assert_false(sender_note_invalid(&f->sender));
}

static void messages_of_a_released_sender_have_no_sender(void **state)
{
    struct fixture *f = *state;

    file(f, 5);
    isolate(f, 1);
    sender_release(&f->sender);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_null(f->messages[i]->sender);
    assert_true(TAILQ_EMPTY(&f->sender.unsettled));
    assert_false(sender_has_isolated(&f->sender));
    assert_null(f->sender.early_part);
    assert_null(f->settled);
}

static void an_isolated_message_blocks_later_ones_only(void **state)
{
    struct fixture *f = *state;

    file(f, 5);
    assert_false(sender_has_isolated(&f->sender));
    assert_false(sender_must_wait(&f->sender, f->messages[4]));
    isolate(f, 1);
    assert_true(sender_has_isolated(&f->sender));
    assert_false(sender_must_wait(&f->sender, f->messages[0]));
    assert_false(sender_must_wait(&f->sender, f->messages[1]));
    assert_true(sender_must_wait(&f->sender, f->messages[2]));
    sender_release(&f->sender);
}

static void the_oldest_isolated_message_blocks(void **state)
{
    struct fixture *f = *state;

    file(f, 5);
    isolate(f, 3);
    isolate(f, 1);
    isolate(f, 4);
    assert_ptr_equal(f->sender.isolated, f->messages[1]);
    sender_settle(&f->sender, f->messages[1]);
    assert_ptr_equal(f->sender.isolated, f->messages[3]);
    assert_false(sender_must_wait(&f->sender, f->messages[2]));
    assert_true(sender_must_wait(&f->sender, f->messages[4]));
    sender_remove(&f->sender, f->messages[4]);
    assert_ptr_equal(f->sender.isolated, f->messages[3]);
    sender_remove(&f->sender, f->messages[3]);
    assert_false(sender_has_isolated(&f->sender));
    sender_release(&f->sender);
}

static void a_message_that_is_isolated_already_blocks_once_filed(void **state)
{
    struct fixture *f = *state;

    f->messages[0]->attempts = 1;
    file(f, 2);
    assert_true(sender_must_wait(&f->sender, f->messages[1]));
    sender_release(&f->sender);
}

/* Replaces the batch [2] by two parts; returns them in `parts`. */
static void replace_batch(struct fixture *f, struct message *parts[2])
{
    struct message_list list = TAILQ_HEAD_INITIALIZER(list);

    parts[0] = messages_make(&f->pool, "p", MESSAGE_OUR_ACK, 2);
    parts[0]->is_early_part = true;
    parts[1] = messages_make(&f->pool, "q", MESSAGE_AGENT_ACK, 1);
    for (unsigned i = 0; i < 2; i++) {
        parts[i]->attempts = f->messages[2]->attempts;
        TAILQ_INSERT_TAIL(&list, parts[i], of_queue);
    }
    for (unsigned i = 0; i < 2; i++)
        sender_inherit(parts[i], f->messages[2]);
    sender_replace(&f->sender, f->messages[2], &list);
}

static void parts_take_the_place_of_their_batch(void **state)
{
    struct fixture *f = *state;
    struct message *parts[2];

    file(f, 4);
    replace_batch(f, parts);
    assert_null(f->messages[2]->sender);
    assert_ptr_equal(TAILQ_NEXT(f->messages[1], of_sender), parts[0]);
    assert_ptr_equal(TAILQ_NEXT(parts[0], of_sender), parts[1]);
    assert_ptr_equal(TAILQ_NEXT(parts[1], of_sender), f->messages[3]);
    assert_int_equal(parts[0]->ordinal, 2);
    assert_int_equal(parts[1]->ordinal, 4);
    assert_int_equal(parts[0]->arrived_ms, NOW_MS + 2);
    assert_ptr_equal(parts[1]->sender, &f->sender);
    assert_int_equal(parts[0]->ordinals, 2);
    assert_int_equal(parts[1]->ordinals, 1);
    assert_int_equal(parts[0]->end, 5); /* as of the batch */
    assert_int_equal(parts[1]->end, 5);
    assert_int_equal(f->messages[3]->ordinal, 5);
    assert_ptr_equal(f->sender.early_part, parts[0]);
    sender_release(&f->sender);
    message_free(parts[0]);
    message_free(parts[1]);
}

static void acks_wait_for_the_first_early_part_of_a_batch(void **state)
{
    struct fixture *f = *state;
    struct message *parts[2];

    file(f, 5);
    assert_int_equal(sender_first_early_part(&f->sender), UINT64_MAX); /* also with messages without ack */
    replace_batch(f, parts);
    assert_int_equal(sender_first_early_part(&f->sender), 2);
    sender_settle(&f->sender, parts[0]);
    assert_int_equal(sender_first_early_part(&f->sender), UINT64_MAX);
    sender_release(&f->sender);
    message_free(parts[0]);
    message_free(parts[1]);
}

/* What settles before the first early part, and in which order batches are split, changes nothing. */
static void the_first_early_part_is_known_without_a_search(void **state)
{
    struct fixture *f = *state;
    struct message *parts[2], *later[2];
    struct message_list list = TAILQ_HEAD_INITIALIZER(list);
    struct message *batch = messages_make(&f->pool, "b", MESSAGE_AGENT_ACK, 3);

    file(f, 5);
    sender_file(&f->sender, batch, NOW_MS);
    for (unsigned i = 0; i < 2; i++) { /* the later batch is split first */
        later[i] = messages_make(&f->pool, "l", MESSAGE_OUR_ACK, 1);
        later[i]->is_early_part = true;
        TAILQ_INSERT_TAIL(&list, later[i], of_queue);
    }
    sender_replace(&f->sender, batch, &list);
    assert_int_equal(sender_first_early_part(&f->sender), later[0]->ordinal);
    replace_batch(f, parts);
    struct message *first = TAILQ_FIRST(&f->sender.unsettled), *next = TAILQ_NEXT(first, of_sender);
    TAILQ_NEXT(first, of_sender) = (struct message *)1; /* a search ends the test */
    assert_int_equal(sender_first_early_part(&f->sender), parts[0]->ordinal);
    TAILQ_NEXT(first, of_sender) = next;
    sender_settle(&f->sender, f->messages[0]);
    sender_settle(&f->sender, later[0]);
    assert_int_equal(sender_first_early_part(&f->sender), parts[0]->ordinal);
    sender_settle(&f->sender, parts[0]);
    assert_int_equal(sender_first_early_part(&f->sender), later[1]->ordinal);
    sender_settle(&f->sender, later[1]);
    assert_int_equal(sender_first_early_part(&f->sender), UINT64_MAX);
    sender_release(&f->sender);
    for (unsigned i = 0; i < 2; i++) {
        message_free(parts[i]);
        message_free(later[i]);
    }
    message_free(batch);
}

/* A part that cannot be split again has the ordinals of the whole batch. */
static void the_last_part_has_the_ordinals_that_are_left(void **state)
{
    struct fixture *f = *state;
    struct message_list list = TAILQ_HEAD_INITIALIZER(list);
    struct message *only = messages_make(&f->pool, "p", MESSAGE_AGENT_ACK, 1);

    file(f, 3);
    TAILQ_INSERT_TAIL(&list, only, of_queue);
    sender_replace(&f->sender, f->messages[2], &list);
    assert_int_equal(only->ordinal, 2);
    assert_int_equal(only->ordinals, 3);
    sender_release(&f->sender);
    message_free(only);
}

static void parts_of_the_last_batch_stay_last(void **state)
{
    struct fixture *f = *state;
    struct message *parts[2];

    file(f, 3);
    replace_batch(f, parts);
    assert_ptr_equal(TAILQ_LAST(&f->sender.unsettled, message_list), parts[1]);
    sender_release(&f->sender);
    message_free(parts[0]);
    message_free(parts[1]);
}

static void parts_of_an_isolated_batch_block(void **state)
{
    struct fixture *f = *state;
    struct message *parts[2];

    file(f, 4);
    isolate(f, 2);
    replace_batch(f, parts);
    assert_ptr_equal(f->sender.isolated, parts[0]);
    assert_true(sender_must_wait(&f->sender, parts[1]));
    sender_settle(&f->sender, parts[0]);
    assert_ptr_equal(f->sender.isolated, parts[1]);
    assert_true(sender_must_wait(&f->sender, f->messages[3]));
    sender_settle(&f->sender, parts[1]);
    assert_false(sender_has_isolated(&f->sender));
    sender_release(&f->sender);
    message_free(parts[0]);
    message_free(parts[1]);
}

static void the_owner_is_told_of_failure_and_of_space(void **state)
{
    struct fixture *f = *state;

    sender_fail(&f->sender, END_RESET);
    assert_int_equal(f->undelivered, 1);
    assert_int_equal(f->reason, END_RESET);
    assert_int_equal(f->wakes, 0);
    sender_wake(&f->sender);
    assert_int_equal(f->wakes, 1);
    assert_int_equal(f->undelivered, 1);
}

static void a_refused_message_leaves_its_sender_before_the_owner_is_told(void **state)
{
    struct fixture *f = *state;
    struct message *batch = f->messages[2];

    sender_file(&f->sender, batch, 5);
    assert_int_equal(batch->entry.sender, NUMBER);
    sender_refuse(&f->sender, batch, 2, END_TAG_NOT_ALLOWED);
    assert_ptr_equal(f->refusal.message, batch);
    assert_int_equal(f->refusal.events, 2);
    assert_int_equal(f->refusal.reason, END_TAG_NOT_ALLOWED);
    assert_null(batch->sender);
    assert_true(TAILQ_EMPTY(&f->sender.unsettled));
    assert_int_equal(batch->entry.sender, NUMBER); /* it still names the sender on a link */
}

static void a_refused_message_of_a_calling_husk_that_is_not_kept_is_undelivered(void **state)
{
    struct fixture *f = *state;

    sender_set_remote(&f->sender);
    file(f, 3);
    sender_refuse(&f->sender, f->messages[0], 1, END_JSON); /* it is kept */
    assert_int_equal(f->refusal.reason, END_JSON);
    assert_int_equal(f->undelivered, 0);
    message_discard_bytes(f->messages[1]);
    sender_refuse(&f->sender, f->messages[1], 1, END_CLOSED);
    assert_int_equal(f->refusal.reason, END_JSON);
    assert_int_equal(f->undelivered, 1);
    assert_int_equal(f->reason, END_UNDELIVERED);
    message_discard_bytes(f->messages[2]);
    sender_refuse(&f->sender, f->messages[2], 1, END_NO_ACKS); /* no loss */
    assert_int_equal(f->refusal.reason, END_NO_ACKS);
    assert_int_equal(f->undelivered, 1);
}

static void a_message_that_is_passed_over_has_an_ordinal(void **state)
{
    struct fixture *f = *state;

    sender_file(&f->sender, f->messages[2], 5); /* three messages */
    assert_int_equal(sender_pass_over(&f->sender), 3);
    sender_file(&f->sender, f->messages[0], 5);
    assert_int_equal(f->messages[0]->ordinal, 4);
}

static void a_sender_remembers_its_connection_and_its_end(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(f->sender.upstream_id, 0);
    assert_false(f->sender.has_ended);
    sender_note_upstream(&f->sender, 7);
    sender_note_end(&f->sender);
    assert_int_equal(f->sender.upstream_id, 7);
    assert_true(f->sender.has_ended);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(filed_messages_have_rising_ordinals),
        TEST(a_settled_message_leaves_and_its_owner_is_told),
        TEST(the_first_invalid_event_of_a_sender_is_noted),
        TEST(a_released_sender_frees_its_empty_messages),
        TEST(empty_messages_settle_when_no_earlier_message_is_unsettled),
        TEST(messages_of_a_released_sender_have_no_sender),
        TEST(an_isolated_message_blocks_later_ones_only),
        TEST(the_oldest_isolated_message_blocks),
        TEST(a_message_that_is_isolated_already_blocks_once_filed),
        TEST(acks_wait_for_the_first_early_part_of_a_batch),
        TEST(the_first_early_part_is_known_without_a_search),
        TEST(the_last_part_has_the_ordinals_that_are_left),
        TEST(parts_take_the_place_of_their_batch),
        TEST(parts_of_the_last_batch_stay_last),
        TEST(parts_of_an_isolated_batch_block),
        TEST(the_owner_is_told_of_failure_and_of_space),
        TEST(a_refused_message_leaves_its_sender_before_the_owner_is_told),
        TEST(a_refused_message_of_a_calling_husk_that_is_not_kept_is_undelivered),
        TEST(a_message_that_is_passed_over_has_an_ordinal),
        TEST(a_sender_remembers_its_connection_and_its_end),
    };

    return cmocka_run_group_tests_name("sender", tests, NULL, NULL);
}
