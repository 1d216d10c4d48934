/* proxy/delivery/message_queue.c: the order of waiting messages, what they wait for, and their sums. */
#include "delivery/message_queue.h"

#include "support/messages.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MESSAGES = 4 };

struct fixture {
    struct buffer_pool pool;
    struct message_queue queue;
    struct sender sender;
    struct message *messages[MESSAGES]; /* of 1, 2, 3 and 4 Forward messages */
};

static struct fixture fixture;

static void on_wake(void *owner)
{
    (void)owner;
}

static const struct sender_events sender_events = { .on_wake = on_wake };

static int set_up(void **state)
{
    static const char *const names[MESSAGES] = { "a", "b", "c", "d" };

    fixture = (struct fixture) { 0 };
    for (unsigned i = 0; i < MESSAGES; i++)
        fixture.messages[i] = messages_make(&fixture.pool, names[i], MESSAGE_NO_ACK, i + 1);
    message_queue_init(&fixture.queue);
    sender_init(&fixture.sender, &sender_events, NULL, 1);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    message_queue_unhold(&f->queue, &f->sender);
    sender_release(&f->sender);
    for (unsigned i = 0; i < MESSAGES; i++)
        message_free(f->messages[i]);
    buffer_pool_deinit(&f->pool);
    return 0;
}

/* The queue holds the messages at `indices`, in this order, and counts them. */
static void expect_queue(const struct fixture *f, const unsigned *indices, unsigned count)
{
    const struct message *message = TAILQ_FIRST(&f->queue.shared);
    uint64_t bytes = 0, messages = 0;

    for (unsigned i = 0; i < count; i++, message = TAILQ_NEXT(message, of_queue)) {
        assert_ptr_equal(message, f->messages[indices[i]]);
        assert_true(message_is_waiting(message));
        bytes += message->entry.size;
        messages += message->count;
    }
    assert_null(message);
    assert_int_equal(f->queue.bytes, bytes);
    assert_int_equal(f->queue.count, messages);
}

static void messages_wait_in_the_order_they_came(void **state)
{
    struct fixture *f = *state;

    expect_queue(f, NULL, 0);
    for (unsigned i = 0; i < 3; i++)
        message_queue_append(&f->queue, f->messages[i]);
    expect_queue(f, (const unsigned[]) { 0, 1, 2 }, 3);
}

static void messages_that_return_go_to_the_front_in_their_order(void **state)
{
    struct fixture *f = *state;
    struct message_list again = TAILQ_HEAD_INITIALIZER(again);

    message_queue_append(&f->queue, f->messages[3]);
    for (unsigned i = 0; i < 3; i++)
        TAILQ_INSERT_TAIL(&again, f->messages[i], of_queue);
    message_queue_prepend(&f->queue, &again);
    assert_true(TAILQ_EMPTY(&again));
    expect_queue(f, (const unsigned[]) { 0, 1, 2, 3 }, 4);
}

static void an_empty_list_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct message_list none = TAILQ_HEAD_INITIALIZER(none);

    message_queue_prepend(&f->queue, &none);
    expect_queue(f, NULL, 0);
    message_queue_append(&f->queue, f->messages[0]);
    message_queue_prepend(&f->queue, &none);
    expect_queue(f, (const unsigned[]) { 0 }, 1);
}

static void a_removed_message_waits_no_longer(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < MESSAGES; i++)
        message_queue_append(&f->queue, f->messages[i]);
    message_queue_remove(&f->queue, f->messages[1]);
    assert_false(message_is_waiting(f->messages[1]));
    expect_queue(f, (const unsigned[]) { 0, 2, 3 }, 3);
    message_queue_remove(&f->queue, f->messages[3]);
    message_queue_remove(&f->queue, f->messages[0]);
    message_queue_append(&f->queue, f->messages[1]);
    expect_queue(f, (const unsigned[]) { 2, 1 }, 2);
}

/* ---- messages of one sender ---- */

/* All messages are of one sender and arrive one after the other; those at the `count` indices wait. */
static void append(struct fixture *f, const unsigned *indices, unsigned count)
{
    for (unsigned i = 0; i < MESSAGES; i++)
        sender_file(&f->sender, f->messages[i], i + 1);
    for (unsigned i = 0; i < count; i++)
        message_queue_append(&f->queue, f->messages[indices[i]]);
}

static void isolate(struct fixture *f, unsigned at)
{
    f->messages[at]->attempts = 1;
    sender_note_isolated(&f->sender, f->messages[at]);
}

static void settle(struct fixture *f, unsigned at)
{
    if (message_is_waiting(f->messages[at]))
        message_queue_remove(&f->queue, f->messages[at]);
    sender_remove(&f->sender, f->messages[at]);
}

/* The next messages are those at the indices, which are removed. */
static void expect_next(struct fixture *f, const unsigned *indices, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        assert_ptr_equal(message_queue_next(&f->queue), f->messages[indices[i]]);
        settle(f, indices[i]);
    }
    assert_null(message_queue_next(&f->queue));
}

static void messages_are_held_while_an_earlier_one_is_isolated(void **state)
{
    struct fixture *f = *state;

    append(f, (const unsigned[]) { 0, 2, 3 }, 3);
    isolate(f, 1);
    assert_int_equal(message_queue_shared_bytes(&f->queue), f->queue.bytes);
    expect_next(f, (const unsigned[]) { 0 }, 1);
    assert_int_equal(message_queue_shared_bytes(&f->queue), 0);
    assert_int_equal(f->queue.count, 3 + 4);
    settle(f, 1);
    assert_int_equal(message_queue_shared_bytes(&f->queue), f->queue.bytes);
    expect_next(f, (const unsigned[]) { 2, 3 }, 2);
    assert_true(message_queue_is_empty(&f->queue));
}

static void messages_are_held_while_their_sender_is_closed(void **state)
{
    struct fixture *f = *state;

    append(f, (const unsigned[]) { 0, 1, 2 }, 3);
    sender_note_window(&f->sender, 7, SENDER_CLOSED);
    expect_next(f, NULL, 0);
    sender_note_window(&f->sender, 8, SENDER_OPEN); /* only the connection that closed it can open it */
    expect_next(f, NULL, 0);
    sender_note_window(&f->sender, 7, SENDER_OPEN);
    expect_next(f, (const unsigned[]) { 0, 1, 2 }, 3);
}

static void messages_of_others_pass_held_ones(void **state)
{
    struct fixture *f = *state;
    struct message *other = messages_make(&f->pool, "o", MESSAGE_NO_ACK, 1);

    append(f, (const unsigned[]) { 1, 2 }, 2);
    isolate(f, 0);
    other->arrived_ms = 100;
    message_queue_append(&f->queue, other);
    assert_ptr_equal(message_queue_next(&f->queue), other);
    settle(f, 0);
    assert_ptr_equal(message_queue_next(&f->queue), f->messages[1]); /* it arrived before the other */
    settle(f, 1);
    f->messages[2]->arrived_ms = 101;
    assert_ptr_equal(message_queue_next(&f->queue), other);
    message_queue_remove(&f->queue, other);
    message_free(other);
    expect_next(f, (const unsigned[]) { 2 }, 1);
}

static void a_message_that_returns_goes_before_later_ones_of_its_sender(void **state)
{
    struct fixture *f = *state;
    struct message_list again = TAILQ_HEAD_INITIALIZER(again);

    append(f, (const unsigned[]) { 2 }, 1);
    isolate(f, 0);
    expect_next(f, NULL, 0);
    TAILQ_INSERT_TAIL(&again, f->messages[1], of_queue);
    message_queue_prepend(&f->queue, &again);
    expect_next(f, NULL, 0);
    message_queue_append(&f->queue, f->messages[3]);
    settle(f, 0);
    expect_next(f, (const unsigned[]) { 1, 2, 3 }, 3);
}

static void a_message_does_not_overtake_held_ones_of_its_sender(void **state)
{
    struct fixture *f = *state;

    append(f, (const unsigned[]) { 1, 2 }, 2);
    isolate(f, 0);
    expect_next(f, NULL, 0);
    settle(f, 0); /* now they may be sent, but there is no connection */
    f->messages[1]->arrived_ms = f->messages[2]->arrived_ms = f->messages[3]->arrived_ms = 9;
    message_queue_append(&f->queue, f->messages[3]);
    expect_next(f, (const unsigned[]) { 1, 2, 3 }, 3);
}

static void isolated_messages_wait_apart(void **state)
{
    struct fixture *f = *state;

    append(f, (const unsigned[]) { 0, 1 }, 2);
    isolate(f, 0);
    assert_ptr_equal(message_queue_next(&f->queue), f->messages[0]);
    message_queue_isolate(&f->queue, f->messages[0], ISOLATED_DELAYED);
    assert_ptr_equal(TAILQ_FIRST(&f->queue.isolated[ISOLATED_DELAYED]), f->messages[0]);
    assert_int_equal(f->queue.isolated_bytes, f->messages[0]->entry.size);
    assert_null(message_queue_next(&f->queue));
    assert_int_equal(message_queue_shared_bytes(&f->queue), 0);
    assert_ptr_equal(message_queue_any(&f->queue), f->messages[0]);
    settle(f, 0);
    assert_int_equal(f->queue.isolated_bytes, 0);
    expect_next(f, (const unsigned[]) { 1 }, 1);
    assert_null(message_queue_any(&f->queue));
}

static void held_messages_go_on_when_their_sender_ends(void **state)
{
    struct fixture *f = *state;

    append(f, (const unsigned[]) { 1, 2, 3 }, 3);
    isolate(f, 0);
    expect_next(f, NULL, 0);
    message_queue_unhold(&f->queue, &f->sender);
    sender_release(&f->sender);
    expect_queue(f, (const unsigned[]) { 1, 2, 3 }, 3);
    assert_ptr_equal(message_queue_next(&f->queue), f->messages[1]);
}

static bool arrived_before(const struct message *message, uint64_t deadline_ms)
{
    return message->arrived_ms < deadline_ms;
}

static void messages_are_selected_wherever_they_wait(void **state)
{
    static const uint64_t all_ms = 100, some_ms = 4; /* the last message arrives at 4 */
    struct fixture *f = *state;
    struct message_list selected = TAILQ_HEAD_INITIALIZER(selected);
    unsigned count = 0;

    append(f, (const unsigned[]) { 0, 1, 2, 3 }, 4);
    isolate(f, 1);
    assert_ptr_equal(message_queue_next(&f->queue), f->messages[0]);
    message_queue_remove(&f->queue, f->messages[0]);
    assert_ptr_equal(message_queue_next(&f->queue), f->messages[1]);
    message_queue_isolate(&f->queue, f->messages[1], ISOLATED_AT_ONCE);
    assert_null(message_queue_next(&f->queue));
    message_queue_append(&f->queue, f->messages[0]);
    for (unsigned i = 0; i < 2; i++) {
        const struct message_selection selection = { arrived_before, i ? all_ms : some_ms };
        message_queue_select(&f->queue, &selection, &selected);
        for (; !TAILQ_EMPTY(&selected); count++)
            TAILQ_REMOVE(&selected, TAILQ_FIRST(&selected), of_queue);
        assert_int_equal(count, i ? 4 : 3);
    }
    assert_true(message_queue_is_empty(&f->queue));
    assert_int_equal(f->queue.isolated_bytes + f->queue.held.blocked_bytes + f->queue.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(messages_wait_in_the_order_they_came, set_up, tear_down),
        cmocka_unit_test_setup_teardown(messages_that_return_go_to_the_front_in_their_order, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_empty_list_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_removed_message_waits_no_longer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(messages_are_held_while_an_earlier_one_is_isolated, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(messages_are_held_while_their_sender_is_closed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(messages_of_others_pass_held_ones, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_message_that_returns_goes_before_later_ones_of_its_sender, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_message_does_not_overtake_held_ones_of_its_sender, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(isolated_messages_wait_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(held_messages_go_on_when_their_sender_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(messages_are_selected_wherever_they_wait, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("message_queue", tests, NULL, NULL);
}
