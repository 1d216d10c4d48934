/* proxy/delivery/senders.c: what an agent and a calling husk are told, also when a link begins later. */
#include "delivery/senders.h"

#include "support/messages.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

enum { ACK_BYTES = 7, NOW_MS = 1000, EVERY_MS = 500, SPACE = 65536, SENDERS_MAX = 2, NUMBER = 7 };

struct fixture {
    struct buffer_pool pool;
    struct buffer out;
    struct senders senders;
    uint64_t last_number;
    unsigned wakes, refused, undelivered, released;
    struct sender_refusal refusal;
    enum end_reason reason;
    uint64_t forgotten; /* number of the last sender that was forgotten */
    const char *why;
};

static struct fixture fixture;

/* ---- callbacks ---- */

static void on_wake(void *owner)
{
    ((struct fixture *)owner)->wakes++;
}

static void on_refused(void *owner, const struct sender_refusal *refusal)
{
    ((struct fixture *)owner)->refused++;
    ((struct fixture *)owner)->refusal = *refusal;
}

static void on_undelivered(void *owner, enum end_reason reason)
{
    ((struct fixture *)owner)->undelivered++;
    ((struct fixture *)owner)->reason = reason;
}

static void on_forgotten(void *owner, struct sender *sender)
{
    ((struct fixture *)owner)->forgotten = sender->number;
}

static const char *why_waiting(void *owner)
{
    return ((struct fixture *)owner)->why;
}

static const struct senders_events events = { on_wake, on_refused, on_undelivered, on_forgotten,
                                              why_waiting };

/* ---- life ---- */

static int set_up(void **state)
{
    struct fixture *f = &fixture;

    *f = (struct fixture) { .last_number = NUMBER, .why = "busy" };
    buffer_init(&f->out, &f->pool);
    senders_init(&f->senders, &events, f, NUMBER);
    *state = f;
    return 0;
}

static void release(void *context, struct sender *sender)
{
    struct fixture *f = context;

    f->released++;
    while (!TAILQ_EMPTY(&sender->unsettled)) {
        struct message *message = TAILQ_FIRST(&sender->unsettled);
        sender_remove(sender, message);
        message_free(message);
    }
    sender_release(sender);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    senders_end(&f->senders, release, f);
    assert_null(f->senders.peer);
    buffer_clear(&f->out);
    buffer_pool_deinit(&f->pool);
    return 0;
}

/* ---- what happens ---- */

static void begin_link(struct fixture *f)
{
    assert_true(senders_begin_link(&f->senders, &f->last_number, SENDERS_MAX));
}

static enum end_reason name(struct fixture *f, uint64_t number)
{
    const struct link_request request = { .names_sender = true, .sender = number };

    return link_peer_request(f->senders.peer, &request, NOW_MS);
}

static struct message *file(struct fixture *f, const char *id, enum message_ack ack, unsigned count)
{
    struct message *message = messages_make(&f->pool, id, ack, count);
    struct sender *sender = senders_next(&f->senders);

    assert_non_null(sender);
    sender_file(sender, message, NOW_MS);
    senders_note_filed(&f->senders, count, NOW_MS);
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

/* ---- what the peer is told ---- */

#define ACK(id)                                                                                              \
    "\x81\xa3"                                                                                               \
    "ack\xa1" id
#define OFFER(id)                                                                                            \
    "\x82\xa3"                                                                                               \
    "ack\xa1" id "\xa4link\x01"
#define ACK_OF(sender, id)                                                                                   \
    "\x82\xa3"                                                                                               \
    "ack\xa1" id "\xa6sender" sender
#define REFUSED_ACK(id, count)                                                                               \
    "\x83\xa3"                                                                                               \
    "ack\xa1" id "\xa7refused" count "\xa6reason\xa4json"
#define BUSY                                                                                                 \
    "\x81\xa7waiting\xa4"                                                                                    \
    "busy"

static void expect(struct fixture *f, uint64_t now_ms, const char *bytes, size_t length)
{
    assert_true(senders_write(&f->senders, &f->out, SPACE, now_ms));
    messages_expect_buffer(&f->out, bytes, length);
    buffer_clear(&f->out);
}

#define EXPECT_AT(f, now_ms, text) expect(f, now_ms, text, sizeof(text) - 1)
#define EXPECT(f, text)            EXPECT_AT(f, NOW_MS, text)

/* ---- an agent ---- */

static void an_agent_gets_the_acks_that_it_requested(void **state)
{
    struct fixture *f = *state;

    struct message *asked = file(f, "a", MESSAGE_AGENT_ACK, 1), *ours = file(f, "b", MESSAGE_OUR_ACK, 2),
                   *later = file(f, "c", MESSAGE_AGENT_ACK, 1);
    assert_ptr_equal(asked->sender, &f->senders.agent);
    assert_int_equal(f->senders.agent.number, NUMBER);
    assert_true(senders_have_unsettled(&f->senders));
    assert_false(senders_have_answers(&f->senders));
    settle(later);
    settle(asked);
    assert_int_equal(f->wakes, 2);
    assert_true(senders_have_answers(&f->senders));
    assert_int_equal(senders_answer_bytes(&f->senders), 2 * ACK_BYTES);
    EXPECT(f, ACK("c") ACK("a")); /* as they settle: an ack speaks for its own message */
    assert_false(senders_have_answers(&f->senders));
    settle(ours);
    assert_int_equal(f->wakes, 3);
    EXPECT(f, "");
    assert_false(senders_have_answers(&f->senders));
    assert_false(senders_have_unsettled(&f->senders));
    assert_int_equal(senders_deadline(&f->senders), 0);
}

static void acks_that_do_not_fit_come_later(void **state)
{
    struct fixture *f = *state;

    settle(file(f, "a", MESSAGE_AGENT_ACK, 1));
    settle(file(f, "b", MESSAGE_AGENT_ACK, 1));
    assert_true(senders_write(&f->senders, &f->out, sizeof ACK("a") - 1, NOW_MS));
    messages_expect_buffer(&f->out, ACK("a"), sizeof ACK("a") - 1);
    assert_true(senders_have_answers(&f->senders));
    buffer_clear(&f->out);
    EXPECT(f, ACK("b"));
}

static void the_loss_of_a_message_of_an_agent_is_told_to_the_owner(void **state)
{
    struct fixture *f = *state;

    struct message *message = file(f, "a", MESSAGE_AGENT_ACK, 3);
    refuse(message, 2);
    assert_int_equal(f->refused, 1);
    assert_ptr_equal(f->refusal.message, message);
    assert_int_equal(f->refusal.events, 2);
    assert_int_equal(f->refusal.reason, END_JSON);
    EXPECT(f, "");
    sender_fail(senders_next(&f->senders), END_RESET);
    assert_int_equal(f->undelivered, 1);
    assert_int_equal(f->reason, END_RESET);
    sender_wake(senders_next(&f->senders));
    assert_int_equal(f->wakes, 1);
}

static void the_end_of_an_agent_is_the_end_of_its_sender(void **state)
{
    struct fixture *f = *state;

    assert_false(f->senders.agent.has_ended);
    senders_note_end(&f->senders);
    assert_true(f->senders.agent.has_ended);
}

/* ---- an offer ---- */

static void acks_offer_the_link_until_it_begins(void **state)
{
    struct fixture *f = *state;
    struct message *messages[4];
    static const char *const ids[] = { "a", "b", "c", "d" };

    for (unsigned i = 0; i < 4; i++)
        messages[i] = file(f, ids[i], MESSAGE_AGENT_ACK, 1);
    settle(messages[0]);
    senders_offer_link(&f->senders);
    settle(messages[1]);
    EXPECT(f, ACK("a") OFFER("b"));
    begin_link(f);
    settle(messages[2]);
    EXPECT(f, ACK("c"));
    senders_offer_link(&f->senders);
    settle(messages[3]);
    EXPECT(f, ACK("d"));
}

/* ---- a link ---- */

static void a_link_has_a_sender_for_each_name(void **state)
{
    struct fixture *f = *state;

    begin_link(f);
    assert_true(f->senders.agent.is_remote);
    assert_int_equal(name(f, 1), END_NONE);
    struct message *first = file(f, "a", MESSAGE_AGENT_ACK, 1);
    assert_int_equal(first->sender->number, NUMBER + 1);
    assert_int_equal(f->last_number, NUMBER + 1);
    assert_int_equal(name(f, 2), END_NONE);
    struct message *second = file(f, "a", MESSAGE_AGENT_ACK, 1);
    assert_true(senders_have_unsettled(&f->senders));
    settle(second);
    assert_true(f->wakes > 0);
    assert_true(senders_have_answers(&f->senders));
    assert_int_equal(senders_answer_bytes(&f->senders), ACK_BYTES);
    EXPECT(f, ACK_OF("\2", "a"));
    settle(first);
    EXPECT(f, ACK_OF("\1", "a"));
    assert_false(senders_have_unsettled(&f->senders));
    sender_fail(senders_next(&f->senders), END_RESET);
    assert_int_equal(f->undelivered, 1);
    assert_int_equal(f->reason, END_RESET);
    senders_note_end(&f->senders); /* the calling husk still reads what it is told */
    assert_false(f->senders.agent.has_ended);
}

static void acks_of_an_agent_that_does_not_read_are_given_up(void **state)
{
    struct fixture *f = *state;
    static const char *const ids[] = { "a", "b", "c", "d" };

    for (unsigned i = 0; i < 2; i++)
        settle(file(f, ids[i], MESSAGE_AGENT_ACK, 1));
    assert_int_equal(senders_limit_acks(&f->senders, ACK_BYTES), 0); /* it may be slow */
    senders_give_up_acks(&f->senders);
    assert_int_equal(senders_limit_acks(&f->senders, ACK_BYTES), 1);
    assert_false(senders_have_unsettled(&f->senders));
    settle(file(f, ids[2], MESSAGE_AGENT_ACK, 1));
    EXPECT(f, ACK("a") ACK("c"));
    settle(file(f, ids[3], MESSAGE_AGENT_ACK, 1));
    begin_link(f); /* a husk reads its answers */
    assert_int_equal(senders_limit_acks(&f->senders, 0), 0);
    senders_give_up_acks(&f->senders);
    assert_int_equal(senders_limit_acks(&f->senders, 0), 0);
    EXPECT(f, ACK("d"));
}

static void messages_before_the_link_are_answered_without_a_sender(void **state)
{
    struct fixture *f = *state;

    struct message *unasked = file(f, "a", MESSAGE_OUR_ACK, 2), *asked = file(f, "b", MESSAGE_AGENT_ACK, 1),
                   *refused = file(f, "c", MESSAGE_AGENT_ACK, 1);
    begin_link(f);
    struct message *named = file(f, "d", MESSAGE_AGENT_ACK, 1);
    assert_ptr_not_equal(named->sender, &f->senders.agent);
    settle(asked);
    settle(named);
    assert_int_equal(senders_answer_bytes(&f->senders), 2 * ACK_BYTES);
    EXPECT(f, ACK("b") ACK_OF("\0", "d"));
    refuse(unasked, 1); /* nobody asked about it */
    EXPECT(f, "");
    assert_true(senders_have_unsettled(&f->senders));
    unsigned wakes = f->wakes;
    refuse(refused, 1);
    assert_int_equal(f->wakes, wakes + 1);
    EXPECT(f, REFUSED_ACK("c", "\1"));
    assert_int_equal(f->refused, 0);
    assert_false(senders_have_unsettled(&f->senders));
}

static void the_calling_husk_is_told_that_it_waits(void **state)
{
    struct fixture *f = *state;
    const struct link_request request = { .waiting_every_ms = EVERY_MS };

    begin_link(f);
    assert_int_equal(link_peer_request(f->senders.peer, &request, NOW_MS), END_NONE);
    assert_int_equal(senders_deadline(&f->senders), 0); /* nothing waits */
    struct message *first = file(f, "a", MESSAGE_AGENT_ACK, 1), *second = file(f, "b", MESSAGE_AGENT_ACK, 1);
    assert_int_equal(senders_deadline(&f->senders), NOW_MS + EVERY_MS);
    EXPECT_AT(f, NOW_MS + EVERY_MS - 1, "");
    EXPECT_AT(f, NOW_MS + EVERY_MS, BUSY);
    assert_int_equal(senders_deadline(&f->senders), NOW_MS + 2 * EVERY_MS);
    EXPECT_AT(f, NOW_MS + EVERY_MS, "");
    f->why = "reset";
    EXPECT_AT(f, NOW_MS + 3 * EVERY_MS, "\x81\xa7waiting\xa5reset");
    settle(first);
    EXPECT_AT(f, NOW_MS + 5 * EVERY_MS, ACK_OF("\0", "a")); /* any answer is enough */
    assert_int_equal(senders_deadline(&f->senders), NOW_MS + 6 * EVERY_MS);
    settle(second);
    assert_int_equal(senders_deadline(&f->senders), 0);
    senders_note_reading(&f->senders, LINK_NOT_READ, NOW_MS + 7 * EVERY_MS);
    assert_int_equal(senders_deadline(&f->senders), NOW_MS + 8 * EVERY_MS);
    senders_note_reading(&f->senders, LINK_READ, NOW_MS + 7 * EVERY_MS);
    assert_int_equal(senders_deadline(&f->senders), 0);
}

static void an_answer_to_an_earlier_message_is_enough_too(void **state)
{
    struct fixture *f = *state;
    const struct link_request request = { .waiting_every_ms = EVERY_MS };

    struct message *before = file(f, "a", MESSAGE_AGENT_ACK, 1);
    begin_link(f);
    assert_int_equal(link_peer_request(f->senders.peer, &request, NOW_MS), END_NONE);
    file(f, "b", MESSAGE_AGENT_ACK, 1);
    settle(before);
    EXPECT_AT(f, NOW_MS + EVERY_MS, ACK("a"));
}

static void a_loss_before_the_link_of_what_is_not_kept_is_no_refusal(void **state)
{
    struct fixture *f = *state;

    struct message *message = file(f, "a", MESSAGE_AGENT_ACK, 1);
    begin_link(f);
    message_discard_bytes(message);
    refuse(message, 1);
    assert_int_equal(f->undelivered, 1); /* the calling husk sends the message again */
    assert_int_equal(f->reason, END_UNDELIVERED);
    EXPECT(f, "");
}

/* The message is not lost: an aggregator that never acknowledges has taken it. */
static void a_missing_ack_before_the_link_is_answered_even_if_nothing_is_kept(void **state)
{
    struct fixture *f = *state;

    struct message *message = file(f, "a", MESSAGE_AGENT_ACK, 1);
    begin_link(f);
    message_discard_bytes(message);
    sender_refuse(message->sender, message, 1, END_NO_ACKS);
    message_free(message);
    assert_int_equal(f->undelivered, 0);
    assert_true(senders_have_answers(&f->senders));
}

static void a_sender_that_is_gone_is_forgotten(void **state)
{
    struct fixture *f = *state;
    const struct link_request gone = { .names_gone = true, .gone = 1 };

    begin_link(f);
    assert_int_equal(name(f, 1), END_NONE);
    assert_int_equal(link_peer_request(f->senders.peer, &gone, NOW_MS), END_NONE);
    assert_int_equal(f->forgotten, NUMBER + 1);
}

/* ---- no memory ---- */

static void a_lost_answer_ends_the_connection(void **state)
{
    struct fixture *f = *state;

    begin_link(f);
    f->senders.peer->is_out_of_memory = true;
    assert_false(senders_write(&f->senders, &f->out, SPACE, NOW_MS));
}

/* ---- end ---- */

static void every_sender_is_released(void **state)
{
    struct fixture *f = *state;

    file(f, "a", MESSAGE_AGENT_ACK, 1);
    settle(file(f, "b", MESSAGE_AGENT_ACK, 1)); /* and an ack that is not written */
    begin_link(f);
    for (uint64_t number = 1; number <= SENDERS_MAX; number++) {
        assert_int_equal(name(f, number), END_NONE);
        file(f, "a", MESSAGE_AGENT_ACK, 1);
        settle(file(f, "b", MESSAGE_AGENT_ACK, 1));
    }
    senders_end(&f->senders, release, f);
    assert_int_equal(f->released, 1 + SENDERS_MAX);
    assert_null(f->senders.peer);
    assert_true(agent_acks_is_empty(&f->senders.acks));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_agent_gets_the_acks_that_it_requested),
        TEST(acks_that_do_not_fit_come_later),
        TEST(the_loss_of_a_message_of_an_agent_is_told_to_the_owner),
        TEST(the_end_of_an_agent_is_the_end_of_its_sender),
        TEST(acks_offer_the_link_until_it_begins),
        TEST(a_link_has_a_sender_for_each_name),
        TEST(acks_of_an_agent_that_does_not_read_are_given_up),
        TEST(messages_before_the_link_are_answered_without_a_sender),
        TEST(the_calling_husk_is_told_that_it_waits),
        TEST(an_answer_to_an_earlier_message_is_enough_too),
        TEST(a_loss_before_the_link_of_what_is_not_kept_is_no_refusal),
        TEST(a_missing_ack_before_the_link_is_answered_even_if_nothing_is_kept),
        TEST(a_sender_that_is_gone_is_forgotten),
        TEST(a_lost_answer_ends_the_connection),
        TEST(every_sender_is_released),
    };

    return cmocka_run_group_tests_name("senders", tests, NULL, NULL);
}
