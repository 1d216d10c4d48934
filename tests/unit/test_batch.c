/* proxy/delivery/batch.c: the parts of a batch have its messages in order, and chunk ids of their own. */
#include "delivery/batch.h"

#include "support/messages.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

enum { LONG_TEXT_BYTES = 3000 };

static const struct scanner_limits limits = { UINT32_MAX, UINT32_MAX, SCANNER_DEPTH_MAX };

struct fixture {
    struct buffer_pool pool;
    struct chunk_ids ids;
    struct message_list parts;
};

static struct fixture fixture;

static int set_up(void **state)
{
    fixture = (struct fixture) { .ids = { .seed = 1 } };
    TAILQ_INIT(&fixture.parts);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    while (!TAILQ_EMPTY(&f->parts)) {
        struct message *part = TAILQ_FIRST(&f->parts);
        TAILQ_REMOVE(&f->parts, part, of_queue);
        message_free(part);
    }
    buffer_pool_deinit(&f->pool);
    return 0;
}

/* The parts have these numbers of messages. */
static void expect_counts(const struct fixture *f, const unsigned *counts, unsigned count)
{
    const struct message *part = TAILQ_FIRST(&f->parts);

    for (unsigned i = 0; i < count; i++, part = TAILQ_NEXT(part, of_queue)) {
        assert_non_null(part);
        assert_int_equal(part->count, counts[i]);
        assert_int_equal(part->events, counts[i]);
        assert_true(part->is_kept);
    }
    assert_null(part);
}

/* All parts together have the texts "0", "1"… `count` - 1; the last message of a part has the id of the
 * part, and the others have none. */
static void expect_messages(const struct fixture *f, unsigned count)
{
    const struct message *part;
    unsigned found = 0;

    TAILQ_FOREACH (part, &f->parts, of_queue) {
        struct scanner scanner;
        struct buffer bytes;
        buffer_init(&bytes, part->slices.pool);
        assert_true(message_write(part, &bytes));
        assert_int_equal(bytes.length, part->entry.size);
        for (unsigned i = 0; i < part->count; i++) {
            uint8_t id[SCANNER_CHUNK_BYTES_MAX], text;
            assert_true(message_scan(&scanner, &limits, &bytes, 0));
            buffer_peek(&bytes, scanner.body.end - 1, &text, 1);
            assert_int_equal(text, '0' + found++);
            assert_int_equal(scanner_asks_ack(&scanner), i + 1 == part->count);
            size_t length =
                buffer_peek(&bytes, scanner.chunk.start, id, scanner.chunk.end - scanner.chunk.start);
            if (length) {
                assert_int_equal(length, part->entry.id_length);
                assert_memory_equal(id, part->entry.id, length);
            }
            buffer_consume(&bytes, scanner.length);
        }
        assert_int_equal(bytes.length, 0);
    }
    assert_int_equal(found, count);
}

static void parts_have_the_messages_in_order(void **state)
{
    struct fixture *f = *state;
    struct message *batch = messages_make(&f->pool, "b", MESSAGE_AGENT_ACK, 5);

    assert_true(batch_split(batch, 2, &f->ids, &f->parts));
    expect_counts(f, (const unsigned[]) { 2, 2, 1 }, 3);
    expect_messages(f, 5);
    message_free(batch);
}

static void the_last_part_has_the_ack_of_the_batch(void **state)
{
    struct fixture *f = *state;
    struct message *batch = messages_make(&f->pool, "b", MESSAGE_AGENT_ACK, 2);

    assert_true(batch_split(batch, 1, &f->ids, &f->parts));
    struct message *first = TAILQ_FIRST(&f->parts), *last = TAILQ_NEXT(first, of_queue);
    assert_int_equal(first->ack, MESSAGE_OUR_ACK);
    assert_int_equal(first->entry.id_length, CHUNK_ID_VALUE_BYTES);
    assert_true(first->is_protected);
    assert_int_equal(last->ack, MESSAGE_AGENT_ACK);
    assert_int_equal(last->entry.id_length, batch->entry.id_length);
    assert_memory_equal(last->entry.id, batch->entry.id, batch->entry.id_length);
    message_free(batch);
}

static void the_last_part_keeps_the_id_that_husk_gave_the_batch(void **state)
{
    struct fixture *f = *state;
    struct message *batch = messages_make(&f->pool, "b", MESSAGE_OUR_ACK, 3);

    assert_true(batch_split(batch, 1, &f->ids, &f->parts));
    expect_counts(f, (const unsigned[]) { 1, 1, 1 }, 3);
    expect_messages(f, 3);
    struct message *last = TAILQ_LAST(&f->parts, message_list);
    assert_int_equal(last->ack, MESSAGE_OUR_ACK);
    assert_memory_equal(last->entry.id, batch->entry.id, CHUNK_ID_VALUE_BYTES);
    assert_memory_not_equal(TAILQ_FIRST(&f->parts)->entry.id, batch->entry.id, CHUNK_ID_VALUE_BYTES);
    message_free(batch);
}

static void the_batch_stays_as_it_was(void **state)
{
    struct fixture *f = *state;
    struct message *batch = messages_make(&f->pool, "b", MESSAGE_AGENT_ACK, 4);
    struct message *same = messages_make(&f->pool, "b", MESSAGE_AGENT_ACK, 4);

    assert_true(batch_split(batch, 1, &f->ids, &f->parts));
    messages_expect_bytes(batch, same->flat, same->flat_length);
    message_free(batch);
    message_free(same);
}

static void parts_are_isolated_as_their_batch_was(void **state)
{
    struct fixture *f = *state;
    struct message *batch = messages_make(&f->pool, "b", MESSAGE_AGENT_ACK, 2);

    assert_true(batch_split(batch, 2, &f->ids, &f->parts));
    batch->attempts = 2;
    assert_true(batch_split(batch, 2, &f->ids, &f->parts)); /* behind the other part */
    assert_false(message_is_isolated(TAILQ_FIRST(&f->parts)));
    assert_true(message_is_isolated(TAILQ_LAST(&f->parts, message_list)));
    message_free(batch);
}

/* A batch of slices: its bytes, which other buffers may share, do not change. */
static void a_long_batch_is_split_and_stays_as_it_was(void **state)
{
    struct fixture *f = *state;
    static char text[LONG_TEXT_BYTES + 1];
    struct buffer bytes, expected;
    struct scanner last;
    struct rewrite rewrite = { 0 };
    size_t last_at = 0;

    memset(text, 'x', LONG_TEXT_BYTES);
    buffer_init(&bytes, &f->pool);
    buffer_init(&expected, &f->pool);
    for (unsigned i = 0; i < 3; i++) {
        text[LONG_TEXT_BYTES - 1] = (char)('0' + i);
        last_at = bytes.length;
        messages_append(&bytes, "t", text, i == 2 ? "id" : NULL);
        messages_append(&expected, "t", text, i == 2 ? "id" : NULL);
    }
    assert_true(message_scan(&last, &limits, &bytes, last_at));
    rewrite_plan(&rewrite, &last, "", 0, NULL);
    struct message *batch = message_take(&bytes, &(struct message_source) { .length = bytes.length,
                                                                            .last = &last,
                                                                            .rewrite = &rewrite,
                                                                            .count = 3,
                                                                            .events = 3,
                                                                            .ack = MESSAGE_AGENT_ACK,
                                                                            .is_protected = true });
    assert_int_equal(batch->flat_length, 0);
    assert_true(batch_split(batch, 2, &f->ids, &f->parts));
    expect_counts(f, (const unsigned[]) { 2, 1 }, 2);
    expect_messages(f, 3);
    static uint8_t copy[4 * LONG_TEXT_BYTES];
    size_t length = buffer_peek(&expected, 0, copy, sizeof copy);
    messages_expect_bytes(batch, copy, length);
    message_free(batch);
    buffer_clear(&expected);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(parts_have_the_messages_in_order),
        TEST(the_last_part_has_the_ack_of_the_batch),
        TEST(the_last_part_keeps_the_id_that_husk_gave_the_batch),
        TEST(the_batch_stays_as_it_was),
        TEST(parts_are_isolated_as_their_batch_was),
        TEST(a_long_batch_is_split_and_stays_as_it_was),
    };

    return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
