/* proxy/delivery/in_flight.c: which ack settles which message of a connection. */
#include "delivery/in_flight.h"

#include "delivery/sender.h"
#include "forward/link.h"
#include "support/messages.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

enum { NOW_US = 5000000, TIMEOUT_MS = 1000 };

struct fixture {
    struct buffer_pool pool;
    struct message_metrics metrics;
    struct in_flight in_flight;
    struct buffer incoming;
    struct in_flight_answer answer;
};

static struct fixture fixture;

static int set_up(void **state)
{
    struct fixture *f = &fixture;

    *f = (struct fixture) { 0 };
    in_flight_init(&f->in_flight, &f->metrics, TIMEOUT_MS, &(struct hash_key) { 0 });
    buffer_init(&f->incoming, &f->pool);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    struct message *message;

    while ((message = in_flight_take_oldest(&f->in_flight)))
        message_free(message);
    assert_int_equal(metrics_read(&f->metrics.unacked), 0);
    buffer_clear(&f->incoming);
    buffer_pool_deinit(&f->pool);
    return 0;
}

static struct message *file(struct fixture *f, const char *name, enum message_ack ack)
{
    struct message *message = messages_make(&f->pool, name, ack, 1);

    in_flight_queue(&f->in_flight, message->entry.size);
    in_flight_file(&f->in_flight, message, NOW_US);
    return message;
}

/* The aggregator sends `bytes`; `settled` is the message that they settle. */
static enum end_reason receive(struct fixture *f, const char *bytes, struct message **settled)
{
    enum end_reason reason;

    assert_true(buffer_append(&f->incoming, bytes, strlen(bytes)));
    reason = in_flight_take_answer(&f->in_flight, &f->incoming, NOW_US, &f->answer);
    *settled = f->answer.message;
    return reason;
}

/* A husk sends a frame of `length` bytes. */
static enum end_reason receive_frame(struct fixture *f, const uint8_t *frame, size_t length)
{
    assert_true(buffer_append(&f->incoming, frame, length));
    return in_flight_take_answer(&f->in_flight, &f->incoming, NOW_US, &f->answer);
}

static void an_ack_settles_its_message(void **state)
{
    struct fixture *f = *state;
    struct message *first = file(f, "a", MESSAGE_AGENT_ACK), *second = file(f, "b", MESSAGE_AGENT_ACK);
    struct message *settled;

    assert_int_equal(metrics_read(&f->metrics.unacked), 2);
    assert_int_equal(receive(f,
                             "\x81\xa3"
                             "ack\xa1",
                             &settled),
                     END_NONE);
    assert_null(settled); /* the ack is incomplete */
    assert_int_equal(receive(f, "b", &settled), END_NONE);
    assert_ptr_equal(settled, second);
    assert_int_equal(f->incoming.length, 0);
    assert_int_equal(metrics_read(&f->metrics.unacked), 1);
    message_free(second);
    assert_ptr_equal(in_flight_take_oldest(&f->in_flight), first);
    message_free(first);
}

static void other_bytes_are_refused(void **state)
{
    struct fixture *f = *state;
    struct message *settled;

    file(f, "a", MESSAGE_AGENT_ACK);
    assert_int_equal(receive(f,
                             "\x81\xa3"
                             "ack\xa1x",
                             &settled),
                     END_UNKNOWN_ACK);
    assert_null(settled);
    assert_int_equal(receive(f, "\xc1", &settled), END_BAD_ACK);
    assert_null(settled);
}

static void an_ack_may_be_json(void **state)
{
    struct fixture *f = *state;
    static const char text[] = " {\"ack\":\"a\"}\r\n{\"other\": 1, \"ack\": \"\\u0062\"}\n";
    struct message *first = file(f, "a", MESSAGE_AGENT_ACK), *second = file(f, "b", MESSAGE_AGENT_ACK);
    struct message *settled[2] = { 0 };
    unsigned count = 0;

    for (size_t i = 0; i < sizeof text - 1; i++) { /* byte by byte */
        assert_true(buffer_append(&f->incoming, text + i, 1));
        assert_int_equal(in_flight_take_answer(&f->in_flight, &f->incoming, NOW_US, &f->answer), END_NONE);
        if (f->answer.message)
            settled[count++] = f->answer.message;
    }
    assert_int_equal(count, 2);
    assert_ptr_equal(settled[0], first);
    assert_ptr_equal(settled[1], second);
    assert_int_equal(f->incoming.length, 0);
    message_free(first);
    message_free(second);
}

static void an_ack_that_straddles_segments_is_read(void **state)
{
    struct fixture *f = *state;
    struct buffer front, back;
    struct message *message = file(f, "a", MESSAGE_AGENT_ACK);

    buffer_init(&front, &f->pool);
    buffer_init(&back, &f->pool);
    assert_true(buffer_append(&front,
                              "\x81\xa3"
                              "ac",
                              4));
    assert_true(buffer_append(&back,
                              "k\xa1"
                              "a",
                              3));
    assert_true(buffer_share(&f->incoming, &front) && buffer_share(&f->incoming, &back));
    assert_int_equal(in_flight_take_answer(&f->in_flight, &f->incoming, NOW_US, &f->answer), END_NONE);
    assert_ptr_equal(f->answer.message, message);
    message_free(message);
    buffer_clear(&front);
    buffer_clear(&back);
}

static void an_id_of_the_other_type_with_the_same_bytes_is_the_id(void **state)
{
    struct fixture *f = *state;
    struct message *binary = file(f, "x", MESSAGE_AGENT_ACK), *text = file(f, "x", MESSAGE_AGENT_ACK);
    struct message *settled;

    assert_int_equal(receive(f,
                             "\x81\xa3"
                             "ack\xc4\x01x",
                             &settled),
                     END_NONE);
    assert_ptr_equal(settled, binary); /* none has exactly this id: the oldest with these bytes */
    message_free(binary);
    binary = text;
    text = file(f, "x", MESSAGE_AGENT_ACK);
    binary->entry.id = (const uint8_t *)"\xc4\x01x";
    binary->entry.id_length = 3;
    assert_int_equal(receive(f,
                             "\x81\xa3"
                             "ack\xa1x",
                             &settled),
                     END_NONE);
    assert_ptr_equal(settled, text); /* exactly this id */
    message_free(text);
    assert_int_equal(receive(f,
                             "\x81\xa3"
                             "ack\xa1x",
                             &settled),
                     END_NONE);
    assert_ptr_equal(settled, binary);
    message_free(binary);
}

static void a_map_without_an_ack_refuses_the_oldest_message_that_expects_one(void **state)
{
    static const char *const refusals[] = { "\x80", "{}",
                                            "\x81\xa5"
                                            "error\xa1x",
                                            "{\"error\": \"x\"}" };
    struct fixture *f = *state;
    struct message *settled, *awaited;

    file(f, "a", MESSAGE_NO_ACK);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(receive(f, refusals[i], &settled), END_UNKNOWN_ACK); /* it refuses nothing */
        buffer_clear(&f->incoming);
    }
    awaited = file(f, "b", MESSAGE_OUR_ACK);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(receive(f, refusals[i], &settled), END_ACK_REFUSED);
        assert_true(f->answer.is_of_aggregator);
        assert_null(settled);
        assert_int_equal(f->incoming.length, 0);
        assert_ptr_equal(in_flight_failed(&f->in_flight, END_ACK_REFUSED), awaited);
    }
}

/* ---- a peer that never acknowledges ---- */

/* The test's ids are shorter than 32 bytes: the acks that are due never jump over the limit. */
static void acks_that_are_due_fit_in_one_tls_record(void **state)
{
    struct fixture *f = *state;
    unsigned count = 0;
    struct message *settled;

    file(f, "unasked", MESSAGE_NO_ACK);
    assert_int_equal(f->in_flight.ledger.ack_bytes, 0);
    for (; in_flight_acks_fit(&f->in_flight); count++)
        file(f, "a", MESSAGE_AGENT_ACK);
    uint64_t due = f->in_flight.ledger.ack_bytes, one = due / count;
    assert_true(due <= 16384 && due + ACK_BYTES_MAX > 16384);
    assert_int_equal(one, strlen("\x81\xa3"
                                 "ack\xa1"
                                 "a"));
    receive(f,
            "\x81\xa3"
            "ack\xa1"
            "a",
            &settled);
    assert_int_equal(f->in_flight.ledger.ack_bytes, due - one);
    assert_true(in_flight_acks_fit(&f->in_flight));
    message_free(settled);
}

static void acks_on_a_link_need_not_fit(void **state)
{
    struct fixture *f = *state;

    in_flight_begin_link(&f->in_flight);
    for (unsigned count = 0; count < 4096; count++)
        file(f, "a", MESSAGE_AGENT_ACK);
    assert_true(in_flight_acks_fit(&f->in_flight));
}

static void without_acks_messages_settle_when_they_are_taken(void **state)
{
    struct fixture *f = *state;
    struct message *asks = file(f, "a", MESSAGE_AGENT_ACK), *second = file(f, "b", MESSAGE_OUR_ACK);

    assert_true(in_flight_expects_ack(&f->in_flight));
    in_flight_set_acks(&f->in_flight, IN_FLIGHT_NO_ACKS);
    assert_false(in_flight_expects_ack(&f->in_flight));
    assert_int_equal(in_flight_deadline(&f->in_flight), 0);
    assert_null(in_flight_take_taken(&f->in_flight, asks->entry.end - 1));
    assert_ptr_equal(in_flight_take_taken(&f->in_flight, second->entry.end - 1), asks);
    assert_null(in_flight_take_taken(&f->in_flight, second->entry.end - 1));
    in_flight_set_acks(&f->in_flight, IN_FLIGHT_ACKS);
    assert_null(in_flight_take_taken(&f->in_flight, second->entry.end));
    message_free(asks);
}

static void without_acks_other_answers_are_discarded(void **state)
{
    struct fixture *f = *state;
    struct message *settled;

    in_flight_set_acks(&f->in_flight, IN_FLIGHT_NO_ACKS);
    file(f, "a", MESSAGE_AGENT_ACK);
    assert_int_equal(receive(f, "OK\nOK\n", &settled), END_NONE);
    assert_int_equal(f->incoming.length, 0);
    assert_true(f->answer.is_complete && !f->answer.is_of_aggregator);
    assert_int_equal(receive(f,
                             "\x81\xa3"
                             "ack\xa1y",
                             &settled),
                     END_NONE);                                        /* of no message */
    assert_true(f->answer.is_complete && !f->answer.is_of_aggregator); /* so the next answer is taken too */
    assert_int_equal(f->incoming.length, 0);
}

/* The first acks that come are of messages that have settled already. */
static void an_ack_that_was_forgone_is_recognised(void **state)
{
    struct fixture *f = *state;
    struct message *message = file(f, "a", MESSAGE_AGENT_ACK), *settled;

    in_flight_set_acks(&f->in_flight, IN_FLIGHT_NO_ACKS);
    assert_ptr_equal(in_flight_take_taken(&f->in_flight, message->entry.end), message);
    message_free(message);
    assert_int_equal(receive(f,
                             "\x81\xa3"
                             "ack\xa1"
                             "a",
                             &settled),
                     END_NONE);
    assert_true(f->answer.is_of_aggregator && f->answer.is_complete);
    assert_null(settled);
    in_flight_set_acks(&f->in_flight, IN_FLIGHT_ACKS);
    assert_int_equal(receive(f, "{\"ack\":\"a\"}", &settled), END_NONE); /* not an unknown ack */
    assert_int_equal(receive(f,
                             "\x81\xa3"
                             "ack\xa1"
                             "b",
                             &settled),
                     END_UNKNOWN_ACK);
}

static void without_acks_a_refusal_shows_that_the_aggregator_answers(void **state)
{
    struct fixture *f = *state;
    struct message *settled;

    in_flight_set_acks(&f->in_flight, IN_FLIGHT_NO_ACKS);
    file(f, "a", MESSAGE_AGENT_ACK);
    assert_int_equal(receive(f, "\x80", &settled), END_NONE);
    assert_true(f->answer.is_of_aggregator);
}

static void a_message_without_an_ack_settles_when_its_last_byte_is_taken(void **state)
{
    struct fixture *f = *state;
    struct message *asks = file(f, "a", MESSAGE_AGENT_ACK), *message = file(f, "b", MESSAGE_NO_ACK);
    uint64_t end = asks->entry.size + message->entry.size;

    assert_int_equal(in_flight_offset(&f->in_flight, 1), end - 1);
    assert_int_equal(in_flight_offset(&f->in_flight, end + 1), 0);
    assert_null(in_flight_take_taken(&f->in_flight, end - 1));
    assert_ptr_equal(in_flight_take_taken(&f->in_flight, end), message);
    message_free(message);
    assert_null(in_flight_take_taken(&f->in_flight, end));
}

static void a_connection_fails_at_its_oldest_message(void **state)
{
    struct fixture *f = *state;

    assert_null(in_flight_failed(&f->in_flight, END_RESET));
    struct message *oldest = file(f, "a", MESSAGE_NO_ACK), *awaited = file(f, "b", MESSAGE_OUR_ACK);
    assert_ptr_equal(in_flight_failed(&f->in_flight, END_RESET), oldest);
    assert_ptr_equal(in_flight_failed(&f->in_flight, END_ACK_TIMEOUT), awaited);
}

/* ---- on a link ---- */

static void a_link_answers_per_message(void **state)
{
    struct fixture *f = *state;
    uint8_t frame[LINK_ACK_BYTES_MAX];
    struct message *batch = messages_make(&f->pool, "a", MESSAGE_OUR_ACK, 3);

    in_flight_begin_link(&f->in_flight);
    in_flight_file(&f->in_flight, batch, NOW_US);
    struct message *message = file(f, "b", MESSAGE_AGENT_ACK);
    struct link_ack ack = { message->entry.id, message->entry.id_length,
                            LINK_NO_SENDER,    9,
                            "tag_not_allowed", 0 };
    size_t length = link_write_ack(frame, &ack);
    assert_int_equal(receive_frame(f, frame, length - 1), END_NONE);
    assert_false(f->answer.is_complete);
    assert_int_equal(receive_frame(f, frame + length - 1, 1), END_NONE);
    assert_true(f->answer.is_complete);
    assert_ptr_equal(f->answer.message, message);
    assert_int_equal(f->answer.refused, 9); /* more than there are: all of them */
    assert_int_equal(f->answer.reason, END_TAG_NOT_ALLOWED);
    message_free(message);
    ack = (struct link_ack) { batch->entry.id,      batch->entry.id_length,
                              LINK_NO_SENDER,       2,
                              "of a later version", 0 };
    length = link_write_ack(frame, &ack);
    assert_int_equal(receive_frame(f, frame, length), END_NONE);
    assert_int_equal(f->answer.refused, 2);
    assert_int_equal(f->answer.reason, END_REFUSED);
    message_free(batch);
}

static void an_ack_names_the_sender_of_its_message(void **state)
{
    struct fixture *f = *state;
    uint8_t frame[LINK_ACK_BYTES_MAX];
    struct message *first = messages_make(&f->pool, "a", MESSAGE_AGENT_ACK, 1);
    struct message *second = messages_make(&f->pool, "a", MESSAGE_AGENT_ACK, 1);

    first->entry.sender = 1;
    second->entry.sender = 2; /* two agents use the same chunk id */
    in_flight_begin_link(&f->in_flight);
    in_flight_file(&f->in_flight, first, NOW_US);
    in_flight_file(&f->in_flight, second, NOW_US);
    const struct link_ack ack = { second->entry.id, second->entry.id_length, 2, 0, NULL, 0 };
    size_t length = link_write_ack(frame, &ack);
    assert_int_equal(receive_frame(f, frame, length), END_NONE);
    assert_ptr_equal(f->answer.message, second);
    message_free(second);
    assert_int_equal(receive_frame(f, frame, length), END_UNKNOWN_ACK);
}

static void an_ack_in_plain_forward_can_offer_the_link(void **state)
{
    struct fixture *f = *state;
    uint8_t frame[LINK_ACK_BYTES_MAX];
    struct message *message = file(f, "a", MESSAGE_AGENT_ACK);
    struct link_ack ack = { message->entry.id, message->entry.id_length, LINK_NO_SENDER, 0, NULL, 1 };

    assert_int_equal(receive_frame(f, frame, link_write_ack(frame, &ack)), END_NONE);
    assert_ptr_equal(f->answer.message, message);
    assert_true(f->answer.offers_link);
    message_free(message);
    message = file(f, "a", MESSAGE_AGENT_ACK);
    ack = (struct link_ack) { message->entry.id, message->entry.id_length, 5, 0, NULL, 0 }; /* another key */
    assert_int_equal(receive_frame(f, frame, link_write_ack(frame, &ack)), END_NONE);
    assert_false(f->answer.offers_link);
    message_free(message);
}

static void a_husk_that_says_that_messages_wait_is_not_silent(void **state)
{
    struct fixture *f = *state;
    uint8_t frame[LINK_SHORT_BYTES_MAX];

    in_flight_begin_link(&f->in_flight);
    file(f, "a", MESSAGE_OUR_ACK);
    uint64_t before = in_flight_deadline(&f->in_flight);
    assert_true(buffer_append(&f->incoming, frame, link_write_waiting(frame, "connect_refused")));
    assert_int_equal(
        in_flight_take_answer(&f->in_flight, &f->incoming, NOW_US + UINT64_C(1000000), &f->answer), END_NONE);
    assert_true(f->answer.is_waiting);
    assert_int_equal(f->answer.waiting, END_CONNECT_REFUSED);
    assert_int_equal(in_flight_deadline(&f->in_flight), before + 1000);
}

static void goaway_settles_nothing(void **state)
{
    struct fixture *f = *state;
    uint8_t frame[LINK_SHORT_BYTES_MAX];

    in_flight_begin_link(&f->in_flight);
    file(f, "a", MESSAGE_OUR_ACK);
    assert_int_equal(receive_frame(f, frame, link_write_goaway(frame, "retired")), END_NONE);
    assert_true(f->answer.is_goaway && !f->answer.is_waiting && !f->answer.message);
    assert_int_equal(f->answer.goaway, END_RETIRED);
    assert_int_equal(receive_frame(f, frame, link_write_goaway(frame, "for some new cause")), END_NONE);
    assert_true(f->answer.is_goaway);
    assert_int_equal(f->answer.goaway, END_NONE);
    assert_int_equal(receive_frame(f, frame, link_write_waiting(frame, "busy")), END_NONE);
    assert_false(f->answer.is_goaway);
    assert_true(in_flight_expects_ack(&f->in_flight));
}

static void a_window_names_a_sender_with_messages(void **state)
{
    struct fixture *f = *state;
    struct message *message = file(f, "a", MESSAGE_OUR_ACK);
    uint8_t frame[LINK_SHORT_BYTES_MAX];
    struct sender sender;

    sender_init(&sender, NULL, NULL, 5);
    sender_file(&sender, message, 0);
    in_flight_begin_link(&f->in_flight);
    assert_int_equal(receive_frame(f, frame, link_write_window(frame, 5, 0)), END_NONE);
    assert_ptr_equal(f->answer.sender, &sender);
    assert_true(f->answer.is_closed);
    assert_int_equal(receive_frame(f, frame, link_write_window(frame, 5, UINT64_MAX)), END_NONE);
    assert_ptr_equal(f->answer.sender, &sender);
    assert_false(f->answer.is_closed);
    assert_int_equal(receive_frame(f, frame, link_write_window(frame, 6, 0)), END_NONE);
    assert_null(f->answer.sender); /* nothing of it is on this connection */
    sender_release(&sender);
}

static void what_the_link_forbids_is_refused(void **state)
{
    struct fixture *f = *state;

    in_flight_begin_link(&f->in_flight);
    assert_int_equal(receive_frame(f, (const uint8_t *)"\x90", 1), END_LINK_ERROR);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_ack_settles_its_message),
        TEST(other_bytes_are_refused),
        TEST(an_ack_may_be_json),
        TEST(an_ack_that_straddles_segments_is_read),
        TEST(an_id_of_the_other_type_with_the_same_bytes_is_the_id),
        TEST(a_map_without_an_ack_refuses_the_oldest_message_that_expects_one),
        TEST(acks_that_are_due_fit_in_one_tls_record),
        TEST(acks_on_a_link_need_not_fit),
        TEST(without_acks_messages_settle_when_they_are_taken),
        TEST(without_acks_other_answers_are_discarded),
        TEST(an_ack_that_was_forgone_is_recognised),
        TEST(without_acks_a_refusal_shows_that_the_aggregator_answers),
        TEST(a_message_without_an_ack_settles_when_its_last_byte_is_taken),
        TEST(a_connection_fails_at_its_oldest_message),
        TEST(a_link_answers_per_message),
        TEST(an_ack_names_the_sender_of_its_message),
        TEST(an_ack_in_plain_forward_can_offer_the_link),
        TEST(a_husk_that_says_that_messages_wait_is_not_silent),
        TEST(goaway_settles_nothing),
        TEST(a_window_names_a_sender_with_messages),
        TEST(what_the_link_forbids_is_refused),
    };

    return cmocka_run_group_tests_name("in_flight", tests, NULL, NULL);
}
