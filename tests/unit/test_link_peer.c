/* proxy/delivery/link_peer.c: the senders of a calling husk, and the answers it gets. */
#include "delivery/link_peer.h"

#include "support/messages.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

enum { SENDERS_MAX = 3, NOW_MS = 1000, SPACE = 65536 };

struct fixture {
    struct buffer_pool pool;
    struct buffer out;
    struct link_peer *peer;
    uint64_t last_number;
    unsigned answers, wakes, forgotten;
    enum end_reason undelivered;
};

static struct fixture fixture;

static void on_answer(void *owner)
{
    ((struct fixture *)owner)->answers++;
}

static void on_wake(void *owner)
{
    ((struct fixture *)owner)->wakes++;
}

static void on_undelivered(void *owner, enum end_reason reason)
{
    ((struct fixture *)owner)->undelivered = reason;
}

static void on_forgotten(void *owner, struct sender *sender)
{
    assert_true(TAILQ_EMPTY(&sender->unsettled));
    ((struct fixture *)owner)->forgotten++;
}

static const struct link_peer_events events = { on_answer, on_wake, on_undelivered, on_forgotten };

static int set_up(void **state)
{
    struct fixture *f = &fixture;
    const struct link_peer_options options = { &events, f, &f->last_number, SENDERS_MAX };

    *f = (struct fixture) { 0 };
    buffer_init(&f->out, &f->pool);
    f->peer = link_peer_open(&options);
    assert_non_null(f->peer);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    struct sender *sender;

    while ((sender = link_peer_first(f->peer))) {
        while (!TAILQ_EMPTY(&sender->unsettled)) {
            struct message *message = TAILQ_FIRST(&sender->unsettled);
            sender_remove(sender, message);
            message_free(message);
        }
        link_peer_remove(sender);
    }
    link_peer_close(f->peer);
    buffer_clear(&f->out);
    buffer_pool_deinit(&f->pool);
    return 0;
}

/* ---- what the calling husk does ---- */

static enum end_reason name(struct fixture *f, uint64_t number)
{
    const struct link_request request = { .names_sender = true, .sender = number };

    return link_peer_request(f->peer, &request, NOW_MS);
}

static void say_gone(struct fixture *f, uint64_t number)
{
    const struct link_request request = { .names_gone = true, .gone = number };

    assert_int_equal(link_peer_request(f->peer, &request, NOW_MS), END_NONE);
}

static struct message *file(struct fixture *f, const char *id, enum message_ack ack, unsigned count)
{
    struct message *message = messages_make(&f->pool, id, ack, count);

    sender_file(link_peer_sender(f->peer), message, NOW_MS);
    link_peer_note_filed(f->peer, message->ordinals, NOW_MS);
    return message;
}

static void settle(struct message *message)
{
    sender_settle(message->sender, message);
    message_free(message);
}

static void refuse(struct message *message, uint64_t count)
{
    sender_refuse(message->sender, message, count, END_JSON);
    message_free(message);
}

/* ---- what it gets ---- */

#define ACK_OF(sender, id)                                                                                   \
    "\x82\xa3"                                                                                               \
    "ack"                                                                                                    \
    "\xa1" id "\xa6sender" sender
#define ACK(id) ACK_OF("\0", id)
#define REFUSED_ACK(id, count)                                                                               \
    "\x84\xa3"                                                                                               \
    "ack"                                                                                                    \
    "\xa1" id "\xa6sender\0\xa7refused" count "\xa6reason\xa4json"
#define WINDOW(number, window) "\x82\xa6sender" number "\xa6window" window

static void expect(struct fixture *f, const char *bytes, size_t length)
{
    assert_true(link_peer_gather(f->peer, &f->out, SPACE, NOW_MS));
    messages_expect_buffer(&f->out, bytes, length);
    buffer_clear(&f->out);
}

#define EXPECT(f, text) expect(f, text, sizeof(text) - 1)

/* ---- tests ---- */

static void messages_belong_to_the_sender_that_was_named(void **state)
{
    struct fixture *f = *state;

    struct sender *unnamed = link_peer_sender(f->peer); /* sender 0 */
    assert_int_equal(name(f, 9), END_NONE);
    struct sender *nine = link_peer_sender(f->peer);
    assert_ptr_not_equal(nine, unnamed);
    assert_true(nine->is_remote);
    assert_int_not_equal(nine->number, unnamed->number);
    assert_int_equal(name(f, 0), END_NONE);
    assert_ptr_equal(link_peer_sender(f->peer), unnamed);
    assert_int_equal(name(f, 9), END_NONE);
    assert_ptr_equal(link_peer_sender(f->peer), nine);
    assert_int_equal(f->peer->count, 2);
}

static void every_sender_is_found_when_there_are_many(void **state)
{
    struct fixture *f = *state;
    struct sender *senders[1000];

    f->peer->count_max = 1000;
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(name(f, i * 7), END_NONE);
        senders[i] = link_peer_sender(f->peer);
    }
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(name(f, i * 7), END_NONE);
        assert_ptr_equal(link_peer_sender(f->peer), senders[i]);
    }
}

static void a_settled_message_is_acknowledged(void **state)
{
    struct fixture *f = *state;

    struct message *message = file(f, "a", MESSAGE_AGENT_ACK, 1);
    assert_int_equal(f->peer->unsettled, 1);
    assert_false(link_peer_has_answers(f->peer));
    settle(message);
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->peer->unsettled, 0);
    assert_true(link_peer_has_answers(f->peer));
    assert_int_equal(f->peer->answer_bytes, 7); /* {"ack": "a"} */
    EXPECT(f, ACK("a"));
    assert_false(link_peer_has_answers(f->peer));
    assert_int_equal(f->peer->answer_bytes, 0);
}

/* Replaces a batch of 4 events by an early part of 3 and a last part with the chunk id "b". */
static void split(struct fixture *f, struct message *batch, struct message *parts[2])
{
    struct message_list list = TAILQ_HEAD_INITIALIZER(list);

    parts[0] = messages_make(&f->pool, "a", MESSAGE_OUR_ACK, 3);
    parts[0]->is_early_part = true;
    parts[1] = messages_make(&f->pool, "b", MESSAGE_AGENT_ACK, 1);
    for (unsigned i = 0; i < 2; i++)
        TAILQ_INSERT_TAIL(&list, parts[i], of_queue);
    sender_replace(batch->sender, batch, &list);
    message_free(batch);
}

static void an_ack_waits_only_for_early_parts_of_its_own_sender(void **state)
{
    struct fixture *f = *state;
    struct message *parts[2];

    assert_int_equal(name(f, 1), END_NONE);
    struct message *ours = file(f, "a", MESSAGE_OUR_ACK, 2);
    split(f, file(f, "b", MESSAGE_AGENT_ACK, 4), parts);
    assert_int_equal(name(f, 2), END_NONE);
    struct message *other = file(f, "c", MESSAGE_AGENT_ACK, 1);
    settle(parts[1]);
    settle(other);
    EXPECT(f, ACK_OF("\2", "c"));
    settle(parts[0]);
    EXPECT(f, ACK_OF("\1", "b")); /* and not for a message without a chunk id */
    settle(ours);
    EXPECT(f, "");
    assert_int_equal(f->peer->unsettled, 0);
}

static void a_refused_message_is_answered_alone(void **state)
{
    struct fixture *f = *state;

    struct message *bad = file(f, "a", MESSAGE_AGENT_ACK, 1), *good = file(f, "b", MESSAGE_AGENT_ACK, 1);
    refuse(bad, 1);
    settle(good);
    EXPECT(f, REFUSED_ACK("a", "\x01") ACK("b"));
    assert_int_equal(f->peer->unsettled, 0);
}

static void a_missing_ack_is_answered_even_if_the_message_is_not_kept(void **state)
{
    struct fixture *f = *state;
    struct message *message = file(f, "a", MESSAGE_AGENT_ACK, 1);

    message_discard_bytes(message);
    sender_refuse(message->sender, message, 1, END_NO_ACKS);
    message_free(message);
    assert_int_equal(f->peer->unsettled, 0);
    assert_true(link_peer_has_answers(f->peer));
}

static void refused_early_parts_come_with_the_ack_of_their_batch(void **state)
{
    struct fixture *f = *state;
    struct message *parts[2];

    struct message *before = file(f, "a", MESSAGE_AGENT_ACK, 1);
    split(f, file(f, "b", MESSAGE_AGENT_ACK, 4), parts);
    struct message *after = file(f, "c", MESSAGE_AGENT_ACK, 1);
    refuse(parts[0], 2);
    EXPECT(f, "");
    settle(before);
    settle(after);
    EXPECT(f, ACK("a") ACK("c"));
    settle(parts[1]);
    EXPECT(f, REFUSED_ACK("b", "\x02"));
}

static void refused_messages_without_an_id_are_not_answered(void **state)
{
    struct fixture *f = *state;

    struct message *ours = file(f, "a", MESSAGE_OUR_ACK, 4);
    link_peer_refuse(f->peer, NULL, 0, 1, END_JSON);
    struct message *asked = file(f, "b", MESSAGE_AGENT_ACK, 1);
    refuse(ours, 2);
    settle(asked);
    EXPECT(f, ACK("b")); /* an ack speaks for its own message */
}

static void a_message_that_the_framer_refuses_is_answered(void **state)
{
    struct fixture *f = *state;

    link_peer_refuse(f->peer, (const uint8_t *)"\xa1x", 2, 7, END_JSON);
    assert_int_equal(f->answers, 1);
    EXPECT(f, REFUSED_ACK("x", "\x07"));
}

static void the_window_closes_while_a_message_is_isolated(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(name(f, 5), END_NONE);
    struct message *message = file(f, "a", MESSAGE_AGENT_ACK, 1);
    struct sender *sender = message->sender;
    message->attempts = 1;
    sender_note_isolated(sender, message);
    sender_wake(sender);
    EXPECT(f, WINDOW("\x05", "\x00"));
    sender_wake(sender);
    EXPECT(f, ""); /* said once */
    settle(message);
    EXPECT(f, WINDOW("\x05", "\xc0") ACK_OF("\5", "a")); /* the window first */
    assert_int_equal(f->wakes, 2);
}

static void a_sender_that_is_gone_is_forgotten_when_its_messages_are_settled(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(name(f, 5), END_NONE);
    struct message *message = file(f, "a", MESSAGE_AGENT_ACK, 1);
    say_gone(f, 5);
    say_gone(f, 6); /* never named: harmless */
    assert_int_equal(f->peer->count, 1);
    settle(message);
    assert_int_equal(f->peer->count, 1);
    EXPECT(f, ACK_OF("\5", "a"));
    assert_int_equal(f->peer->count, 0);
    assert_int_equal(f->forgotten, 1);
    assert_int_equal(name(f, 5), END_NONE); /* an earlier message of it comes again */
    say_gone(f, 5);
    assert_int_equal(f->peer->count, 0);
}

static void a_sender_that_is_named_again_is_not_gone(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(name(f, 5), END_NONE);
    struct message *message = file(f, "a", MESSAGE_AGENT_ACK, 1);
    say_gone(f, 5);
    assert_int_equal(name(f, 5), END_NONE);
    settle(message);
    EXPECT(f, ACK_OF("\5", "a"));
    assert_int_equal(f->peer->count, 1);
}

static void the_sender_that_was_idle_for_longest_makes_space(void **state)
{
    struct fixture *f = *state;

    for (uint64_t number = 1; number <= SENDERS_MAX; number++) {
        assert_int_equal(name(f, number), END_NONE);
        if (number == 1)
            file(f, "a", MESSAGE_AGENT_ACK, 1);
    }
    assert_int_equal(name(f, 4), END_NONE); /* instead of 2: 1 has an unsettled message */
    assert_int_equal(f->peer->count, SENDERS_MAX);
    uint64_t last_number = f->last_number;
    assert_int_equal(name(f, 1), END_NONE);
    assert_int_equal(name(f, 3), END_NONE);
    assert_int_equal(f->last_number, last_number); /* both were still there */
    assert_int_equal(name(f, 2), END_NONE);
    assert_int_equal(f->last_number, last_number + 1);
}

static void too_many_busy_senders_share_one_place(void **state)
{
    struct fixture *f = *state;

    for (uint64_t number = 1; number <= SENDERS_MAX; number++) {
        assert_int_equal(name(f, number), END_NONE);
        file(f, "a", MESSAGE_AGENT_ACK, 1);
    }
    assert_int_equal(name(f, 4), END_NONE);
    struct message *message = file(f, "d", MESSAGE_AGENT_ACK, 1);
    assert_int_equal(name(f, 5), END_NONE);
    struct message *other = file(f, "e", MESSAGE_AGENT_ACK, 1);
    assert_ptr_equal(message->sender, other->sender);
    assert_int_equal(f->peer->count, SENDERS_MAX + 1);
    settle(message);
    settle(other);
    EXPECT(f, ACK("d") ACK("e")); /* of sender 0: of any sender */
}

static void waiting_is_said_while_there_is_no_answer(void **state)
{
    struct fixture *f = *state;
    const struct link_request request = { .waiting_every_ms = 500 }, shorter = { .waiting_every_ms = 1 };

    struct message *first = file(f, "a", MESSAGE_AGENT_ACK, 1);
    assert_int_equal(link_peer_waiting_deadline(f->peer, 0), 0); /* it was not asked for */
    assert_int_equal(link_peer_request(f->peer, &request, NOW_MS), END_NONE);
    assert_int_equal(link_peer_waiting_deadline(f->peer, 0), NOW_MS + 500);
    assert_true(link_peer_say_waiting(f->peer, &f->out, "busy", NOW_MS + 500));
    messages_expect_buffer(&f->out,
                           "\x81\xa7waiting\xa4"
                           "busy",
                           14);
    buffer_clear(&f->out);
    assert_int_equal(link_peer_waiting_deadline(f->peer, 0), NOW_MS + 1000);
    settle(first);
    assert_int_equal(link_peer_waiting_deadline(f->peer, 0), 0); /* nothing waits */
    assert_int_equal(link_peer_request(f->peer, &shorter, NOW_MS), END_NONE);
    file(f, "b", MESSAGE_AGENT_ACK, 1);
    assert_int_equal(link_peer_waiting_deadline(f->peer, 0), NOW_MS + LINK_WAITING_EVERY_MS_MIN);
}

static void waiting_is_said_while_the_connection_is_not_read(void **state)
{
    struct fixture *f = *state;
    const struct link_request request = { .waiting_every_ms = 500 };

    assert_int_equal(link_peer_request(f->peer, &request, NOW_MS), END_NONE);
    assert_int_equal(link_peer_waiting_deadline(f->peer, 0), 0);
    link_peer_note_reading(f->peer, LINK_NOT_READ, NOW_MS + 100); /* messages may be in the socket */
    assert_int_equal(link_peer_waiting_deadline(f->peer, 0), NOW_MS + 600);
    link_peer_note_reading(f->peer, LINK_NOT_READ, NOW_MS + 200);
    assert_int_equal(link_peer_waiting_deadline(f->peer, 0), NOW_MS + 600);
    link_peer_note_reading(f->peer, LINK_READ, NOW_MS + 300);
    assert_int_equal(link_peer_waiting_deadline(f->peer, 0), 0);
}

#define GOAWAY "\x81\xa6goaway\xa7retired"

static void goaway_is_said_once_and_before_the_next_answer(void **state)
{
    struct fixture *f = *state;
    const struct link_request request = { .waiting_every_ms = 500 };

    assert_int_equal(link_peer_request(f->peer, &request, NOW_MS - 100), END_NONE);
    struct message *message = file(f, "a", MESSAGE_AGENT_ACK, 1);
    settle(message);
    file(f, "b", MESSAGE_AGENT_ACK, 1);
    f->answers = 0;
    link_peer_say_goaway(f->peer, END_RETIRED);
    link_peer_say_goaway(f->peer, END_SHUTDOWN);
    assert_int_equal(f->answers, 1);
    assert_true(link_peer_has_answers(f->peer));
    EXPECT(f, GOAWAY ACK("a"));
    assert_false(link_peer_has_answers(f->peer));
    assert_int_equal(link_peer_waiting_deadline(f->peer, 0), NOW_MS + 500); /* any frame is a sign of life */
    link_peer_say_goaway(f->peer, END_RETIRED);
    assert_false(link_peer_has_answers(f->peer));
    EXPECT(f, "");
}

static void goaway_waits_for_space_as_an_answer_does(void **state)
{
    struct fixture *f = *state;
    enum { LIMIT = LINK_ACK_BYTES_MAX + LINK_SHORT_BYTES_MAX };

    link_peer_say_goaway(f->peer, END_RETIRED);
    assert_true(buffer_append(&f->out, "x", 1));
    assert_true(link_peer_gather(f->peer, &f->out, LIMIT, NOW_MS));
    messages_expect_buffer(&f->out, "x", 1);
    buffer_clear(&f->out);
    EXPECT(f, GOAWAY);
}

static void answers_that_do_not_fit_come_later(void **state)
{
    struct fixture *f = *state;
    enum { LIMIT = LINK_ACK_BYTES_MAX + LINK_SHORT_BYTES_MAX };

    assert_int_equal(name(f, 1), END_NONE);
    struct message *messages[3];
    for (unsigned i = 0; i < 3; i++)
        messages[i] = file(f, "a", MESSAGE_AGENT_ACK, 1);
    for (unsigned i = 0; i < 3; i++)
        settle(messages[i]);
    assert_true(buffer_append(&f->out, "x", 1));
    assert_true(link_peer_gather(f->peer, &f->out, LIMIT, NOW_MS));
    messages_expect_buffer(&f->out, "x", 1);
    assert_true(link_peer_has_answers(f->peer));
    buffer_clear(&f->out);
    EXPECT(f, ACK_OF("\1", "a") ACK_OF("\1", "a") ACK_OF("\1", "a"));
}

static void a_lost_message_that_is_not_kept_ends_the_connection(void **state)
{
    struct fixture *f = *state;
    struct message *message = file(f, "a", MESSAGE_AGENT_ACK, 1);

    message_discard_bytes(message);
    refuse(message, 1);
    assert_int_equal(f->undelivered, END_UNDELIVERED);
    EXPECT(f, "");
}

static void a_large_message_that_is_lost_is_told_to_the_owner(void **state)
{
    struct fixture *f = *state;

    sender_fail(link_peer_sender(f->peer), END_RESET);
    assert_int_equal(f->undelivered, END_RESET);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* Then a sender leaves the list of those that have answers without a search. */
static void senders_with_answers_are_removed_in_the_order_of_their_answers(void **state)
{
    struct fixture *f = *state;
    struct message *messages[3];

    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(name(f, i + 1), END_NONE);
        messages[i] = file(f, "a", MESSAGE_AGENT_ACK, 1);
    }
    struct sender *unanswered = messages[1]->sender, *last = messages[2]->sender,
                  *first = messages[0]->sender;
    settle(messages[2]);
    settle(messages[0]);
    assert_ptr_equal(link_peer_first(f->peer), last);
    link_peer_remove(last);
    assert_ptr_equal(link_peer_first(f->peer), first);
    link_peer_remove(first);
    assert_ptr_equal(link_peer_first(f->peer), unanswered);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(messages_belong_to_the_sender_that_was_named),
        TEST(every_sender_is_found_when_there_are_many),
        TEST(a_settled_message_is_acknowledged),
        TEST(an_ack_waits_only_for_early_parts_of_its_own_sender),
        TEST(a_refused_message_is_answered_alone),
        TEST(a_missing_ack_is_answered_even_if_the_message_is_not_kept),
        TEST(refused_early_parts_come_with_the_ack_of_their_batch),
        TEST(refused_messages_without_an_id_are_not_answered),
        TEST(a_message_that_the_framer_refuses_is_answered),
        TEST(the_window_closes_while_a_message_is_isolated),
        TEST(a_sender_that_is_gone_is_forgotten_when_its_messages_are_settled),
        TEST(a_sender_that_is_named_again_is_not_gone),
        TEST(the_sender_that_was_idle_for_longest_makes_space),
        TEST(too_many_busy_senders_share_one_place),
        TEST(waiting_is_said_while_there_is_no_answer),
        TEST(waiting_is_said_while_the_connection_is_not_read),
        TEST(goaway_is_said_once_and_before_the_next_answer),
        TEST(goaway_waits_for_space_as_an_answer_does),
        TEST(answers_that_do_not_fit_come_later),
        TEST(a_lost_message_that_is_not_kept_ends_the_connection),
        TEST(a_large_message_that_is_lost_is_told_to_the_owner),
        TEST(senders_with_answers_are_removed_in_the_order_of_their_answers),
    };

    return cmocka_run_group_tests_name("link_peer", tests, NULL, NULL);
}
