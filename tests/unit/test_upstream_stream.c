/* proxy/delivery/upstream_stream.c: what is put into an upstream connection. */
#include "delivery/upstream_stream.h"

#include "forward/link.h"
#include "support/messages.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { NOW_US = 5000000, TIMEOUT_MS = 3000 };

struct fixture {
    struct buffer_pool pool;
    struct message_metrics metrics;
    struct upstream_stream stream;
};

static struct fixture fixture;

static int set_up(void **state)
{
    struct fixture *f = &fixture;

    *f = (struct fixture) { 0 };
    upstream_stream_init(&f->stream, &f->pool, &f->metrics, TIMEOUT_MS, &(struct hash_key) { 0 });
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    struct message *message;

    while ((message = in_flight_take_oldest(&f->stream.in_flight)))
        message_free(message);
    upstream_stream_clear(&f->stream);
    buffer_pool_deinit(&f->pool);
    return 0;
}

static struct message *make(struct fixture *f, enum message_ack ack, uint64_t sender)
{
    struct message *message = messages_make(&f->pool, "a", ack, 1);

    message->entry.sender = sender;
    return message;
}

/* Reads the frame at the front of `outgoing` and removes it. */
static struct link_request frame_take(struct fixture *f)
{
    uint8_t bytes[LINK_FRAME_BYTES_MAX];
    size_t length = buffer_peek(&f->stream.outgoing, 0, bytes, sizeof bytes), taken;
    struct link_request frame;

    assert_int_equal(link_request_parse(bytes, length, &taken, &frame), LINK_FOUND);
    buffer_consume(&f->stream.outgoing, taken);
    return frame;
}

static void a_message_is_written_and_in_flight(void **state)
{
    struct fixture *f = *state;
    struct message *message = make(f, MESSAGE_NO_ACK, 1);

    assert_true(upstream_stream_put(&f->stream, message, NOW_US));
    messages_expect_buffer(&f->stream.outgoing, message->flat, message->flat_length);
    assert_ptr_equal(f->stream.in_flight.ledger.first, &message->entry);
    assert_int_equal(upstream_stream_taken(&f->stream, 0), 0);
    buffer_clear(&f->stream.outgoing);
    assert_int_equal(upstream_stream_taken(&f->stream, 0), message->entry.size);
    assert_int_equal(upstream_stream_taken(&f->stream, 1), message->entry.size - 1);
}

static void plain_forward_has_no_frames(void **state)
{
    struct fixture *f = *state;

    assert_true(upstream_stream_name(&f->stream, 1));
    assert_true(upstream_stream_say_gone(&f->stream, 1));
    assert_int_equal(f->stream.outgoing.length, 0);
}

static void on_a_link_frames_count_as_bytes_of_the_stream(void **state)
{
    struct fixture *f = *state;
    struct message *message = make(f, MESSAGE_OUR_ACK, 7);
    uint64_t size = message->entry.size;

    assert_true(upstream_stream_begin_link(&f->stream, TIMEOUT_MS));
    assert_true(f->stream.in_flight.is_link);
    assert_true(upstream_stream_put(&f->stream, message, NOW_US));
    assert_true(upstream_stream_say_gone(&f->stream, 7));
    size_t length = f->stream.outgoing.length;
    assert_int_equal(frame_take(f).waiting_every_ms, TIMEOUT_MS / 3);
    assert_int_equal(frame_take(f).sender, 7);
    buffer_consume(&f->stream.outgoing, size);
    assert_int_equal(upstream_stream_taken(&f->stream, 0), message->entry.end);
    assert_int_equal(frame_take(f).gone, 7);
    assert_int_equal(f->stream.outgoing.length, 0);
    assert_int_equal(upstream_stream_taken(&f->stream, 0), length);
}

static void pieces_of_a_message_are_moved(void **state)
{
    struct fixture *f = *state;
    struct buffer piece;

    buffer_init(&piece, &f->pool);
    assert_true(buffer_append(&piece, "piece", 5));
    assert_true(upstream_stream_put_piece(&f->stream, &piece));
    assert_int_equal(piece.length, 0);
    messages_expect_buffer(&f->stream.outgoing, "piece", 5);
    assert_int_equal(f->stream.in_flight.queued_bytes, 5);
    assert_int_equal(f->stream.in_flight.ledger.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_message_is_written_and_in_flight),
        TEST(plain_forward_has_no_frames),
        TEST(on_a_link_frames_count_as_bytes_of_the_stream),
        TEST(pieces_of_a_message_are_moved),
    };

    return cmocka_run_group_tests_name("upstream_stream", tests, NULL, NULL);
}
