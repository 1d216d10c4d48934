/* proxy/delivery/held_queue.c: the order of held messages, and which queues are blocked. */
#include "delivery/sender.h"

#include "support/messages.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MESSAGES = 6, SENDERS = 3 };

struct fixture {
    struct buffer_pool pool;
    struct held_queues queues;
    struct sender senders[SENDERS];
    struct message *messages[MESSAGES]; /* all of the first sender */
    struct message *others[SENDERS];    /* one of each sender */
};

static struct fixture fixture;

static struct message *file(struct fixture *f, unsigned sender, const char *name)
{
    struct message *message = messages_make(&f->pool, name, MESSAGE_NO_ACK, 1);

    sender_file(&f->senders[sender], message, 0);
    return message;
}

static int set_up(void **state)
{
    static const char *const names[MESSAGES] = { "a", "bb", "ccc", "dddd", "eeeee", "ffffff" };

    fixture = (struct fixture) { 0 };
    held_queues_init(&fixture.queues);
    for (unsigned i = 0; i < SENDERS; i++)
        sender_init(&fixture.senders[i], NULL, NULL, i + 1);
    for (unsigned i = 0; i < MESSAGES; i++)
        fixture.messages[i] = file(&fixture, 0, names[i]);
    for (unsigned i = 0; i < SENDERS; i++)
        fixture.others[i] = file(&fixture, i, "z");
    *state = &fixture;
    return 0;
}

static void message_forget(struct message *message)
{
    if (held_queue_has(message->sender->held, message))
        held_queue_remove(&message->sender->held, message);
    sender_remove(message->sender, message);
    message_free(message);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < MESSAGES; i++)
        message_forget(f->messages[i]);
    for (unsigned i = 0; i < SENDERS; i++)
        message_forget(f->others[i]);
    assert_true(TAILQ_EMPTY(&f->queues.blocked) && TAILQ_EMPTY(&f->queues.ready));
    assert_int_equal(f->queues.blocked_bytes, 0);
    buffer_pool_deinit(&f->pool);
    return 0;
}

static void insert(struct fixture *f, struct message *message)
{
    assert_true(held_queue_insert(&message->sender->held, &f->queues, message));
}

/* The queue of the first sender holds the messages at `indices`, in this order. */
static void expect_held(const struct fixture *f, const unsigned *indices, unsigned count)
{
    const struct held_queue *queue = f->senders[0].held;
    const struct message *message = held_queue_first(queue);
    uint64_t bytes = 0;

    for (unsigned i = 0; i < count; i++, message = TAILQ_NEXT(message, of_queue)) {
        assert_ptr_equal(message, f->messages[indices[i]]);
        assert_true(held_queue_has(queue, message) && message_is_waiting(message));
        bytes += message->entry.size;
    }
    assert_null(message);
    assert_int_equal(queue ? queue->bytes : 0, bytes);
}

static void messages_are_held_in_the_order_of_their_sender(void **state)
{
    static const unsigned orders[][4] = { { 1, 2, 4, 5 }, { 5, 4, 2, 1 }, { 4, 5, 1, 2 }, { 2, 5, 1, 4 } };
    struct fixture *f = *state;

    for (unsigned order = 0; order < sizeof orders / sizeof *orders; order++) {
        for (unsigned i = 0; i < 4; i++)
            insert(f, f->messages[orders[order][i]]);
        expect_held(f, (const unsigned[]) { 1, 2, 4, 5 }, 4);
        for (unsigned i = 0; i < 4; i++)
            held_queue_remove(&f->senders[0].held, f->messages[orders[order][i]]);
        expect_held(f, NULL, 0);
        assert_null(f->senders[0].held);
    }
}

static void a_queue_is_blocked_until_it_is_woken(void **state)
{
    struct fixture *f = *state;

    insert(f, f->messages[0]);
    struct held_queue *queue = f->senders[0].held;
    assert_ptr_equal(TAILQ_FIRST(&f->queues.blocked), queue);
    insert(f, f->messages[1]);
    assert_int_equal(f->queues.blocked_bytes, queue->bytes);
    held_queue_wake(queue);
    held_queue_wake(queue);
    assert_ptr_equal(TAILQ_FIRST(&f->queues.ready), queue);
    assert_int_equal(f->queues.blocked_bytes, 0);
    insert(f, f->messages[2]);
    held_queue_remove(&f->senders[0].held, f->messages[0]);
    assert_int_equal(queue->state, HELD_READY);
    assert_int_equal(f->queues.blocked_bytes, 0);
    held_queue_block(queue);
    held_queue_remove(&f->senders[0].held, f->messages[1]);
    assert_int_equal(f->queues.blocked_bytes, f->messages[2]->entry.size);
    expect_held(f, (const unsigned[]) { 2 }, 1);
}

static void an_empty_queue_is_not_woken(void **state)
{
    struct fixture *f = *state;

    held_queue_wake(f->senders[0].held);
    assert_true(TAILQ_EMPTY(&f->queues.ready));
    assert_null(held_queue_first(f->senders[0].held));
    assert_false(held_queue_has(f->senders[0].held, f->messages[0]));
}

/* After a message of one sender it is the turn of the next sender, whatever else arrives. */
static void ready_queues_take_turns(void **state)
{
    struct fixture *f = *state;

    insert(f, f->messages[0]);
    insert(f, f->messages[1]);
    for (unsigned i = 1; i < SENDERS; i++)
        insert(f, f->others[i]);
    for (unsigned i = 0; i < SENDERS; i++)
        held_queue_wake(f->senders[i].held);
    insert(f, f->messages[2]);
    assert_ptr_equal(TAILQ_FIRST(&f->queues.ready), f->senders[0].held);
    held_queue_remove(&f->senders[0].held, f->messages[0]);
    assert_ptr_equal(TAILQ_FIRST(&f->queues.ready), f->senders[1].held);
    held_queue_remove(&f->senders[1].held, f->others[1]);
    assert_ptr_equal(TAILQ_FIRST(&f->queues.ready), f->senders[2].held);
    held_queue_remove(&f->senders[2].held, f->others[2]);
    assert_ptr_equal(TAILQ_FIRST(&f->queues.ready), f->senders[0].held);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(messages_are_held_in_the_order_of_their_sender, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_queue_is_blocked_until_it_is_woken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_empty_queue_is_not_woken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ready_queues_take_turns, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("held_queue", tests, NULL, NULL);
}
