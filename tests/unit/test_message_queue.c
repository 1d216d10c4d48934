/* proxy/delivery/message_queue.c: the order of waiting messages, and their sums. */
#include "delivery/message_queue.h"

#include "support/messages.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MESSAGES = 4 };

struct fixture {
    struct buffer_pool pool;
    struct message_queue queue;
    struct message *messages[MESSAGES]; /* of 1, 2, 3 and 4 Forward messages */
};

static struct fixture fixture;

static int set_up(void **state)
{
    static const char *const names[MESSAGES] = { "a", "b", "c", "d" };

    fixture = (struct fixture) { 0 };
    for (unsigned i = 0; i < MESSAGES; i++)
        fixture.messages[i] = messages_make(&fixture.pool, names[i], MESSAGE_NO_ACK, i + 1);
    message_queue_init(&fixture.queue);
    *state = &fixture;
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

/* The queue holds the messages at `indices`, in this order, and counts them. */
static void expect_queue(const struct fixture *f, const unsigned *indices, unsigned count)
{
    const struct message *message = TAILQ_FIRST(&f->queue.list);
    uint64_t bytes = 0, messages = 0;

    for (unsigned i = 0; i < count; i++, message = TAILQ_NEXT(message, of_queue)) {
        assert_ptr_equal(message, f->messages[indices[i]]);
        assert_true(message->is_waiting);
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
    assert_false(f->messages[1]->is_waiting);
    expect_queue(f, (const unsigned[]) { 0, 2, 3 }, 3);
    message_queue_remove(&f->queue, f->messages[3]);
    message_queue_remove(&f->queue, f->messages[0]);
    message_queue_append(&f->queue, f->messages[1]);
    expect_queue(f, (const unsigned[]) { 2, 1 }, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(messages_wait_in_the_order_they_came, set_up, tear_down),
        cmocka_unit_test_setup_teardown(messages_that_return_go_to_the_front_in_their_order, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_empty_list_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_removed_message_waits_no_longer, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("message_queue", tests, NULL, NULL);
}
