/* proxy/delivery/message.c: messages taken from a buffer, short and long, and messages that grow. */
#include "delivery/message.h"

#include "support/messages.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

enum { FLAT_BYTES_MAX = 4096, LONG_BYTES = 200000 };

static const struct scanner_limits limits = { UINT32_MAX, UINT32_MAX, SCANNER_DEPTH_MAX };
#define HUSK_ID "abcdefghijklmnopqrstuvwx"
static const uint8_t husk_id[] = "\xb8" HUSK_ID;

struct fixture {
    struct buffer_pool pool;
    struct buffer incoming;
    char *text;
};

static struct fixture fixture;

static int set_up(void **state)
{
    fixture = (struct fixture) { .text = calloc(1, LONG_BYTES + 1) };
    buffer_init(&fixture.incoming, &fixture.pool);
    *state = &fixture;
    return fixture.text ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    free(f->text);
    buffer_clear(&f->incoming);
    buffer_pool_deinit(&f->pool);
    return 0;
}

/* Takes the message at the front of incoming; `prefix` and `id` (NULL: none) are put into it. */
static struct message *take(struct fixture *f, const char *prefix, const uint8_t *id)
{
    struct scanner scanner;
    struct rewrite rewrite;

    assert_true(message_scan(&scanner, &limits, &f->incoming, 0));
    rewrite_plan(&rewrite, &scanner, prefix, strlen(prefix), id);
    struct message *message = message_take(&f->incoming, &(struct message_source) {
                                                             .length = scanner.length,
                                                             .rewrite = &rewrite,
                                                             .count = 1,
                                                             .events = 1,
                                                             .ack = MESSAGE_AGENT_ACK,
                                                             .is_protected = true,
                                                         });
    assert_non_null(message);
    return message;
}

/* Fails the test unless `message` consists of [tag, 1, {"m": text}, {"chunk": chunk}]. */
static void expect_message(struct fixture *f, const struct message *message, const char *tag,
                           const char *chunk)
{
    struct buffer expected;

    buffer_init(&expected, &f->pool);
    messages_append(&expected, tag, f->text, chunk);
    uint8_t *bytes = malloc(expected.length);
    assert_non_null(bytes);
    buffer_peek(&expected, 0, bytes, expected.length);
    assert_int_equal(message->entry.size, expected.length);
    messages_expect_bytes(message, bytes, expected.length);
    free(bytes);
    buffer_clear(&expected);
}

static void a_message_leaves_the_bytes_behind_it(void **state)
{
    struct fixture *f = *state;

    strcpy(f->text, "x");
    messages_append(&f->incoming, "t", f->text, "id");
    assert_true(buffer_append(&f->incoming, "rest", 4));
    struct message *message = take(f, "", NULL);
    messages_expect_buffer(&f->incoming, "rest", 4);
    expect_message(f, message, "t", "id");
    assert_int_equal(message->entry.id_length, 3);
    assert_memory_equal(message->entry.id, "\xa2id", 3);
    assert_true(message->is_kept);
    assert_true(message->is_protected);
    message_free(message);
}

/* The message grows before its body, and at its end. */
static void a_message_gets_its_prefix_and_chunk_id(void **state)
{
    struct fixture *f = *state;
    static const size_t lengths[] = { 1, 3000, LONG_BYTES };

    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        memset(f->text, 'x', lengths[i]);
        messages_append(&f->incoming, "t", f->text, NULL);
        struct message *message = take(f, "pre.", husk_id);
        expect_message(f, message, "pre.t", HUSK_ID);
        assert_int_equal(message->flat_length != 0, lengths[i] < FLAT_BYTES_MAX);
        assert_int_equal(message->entry.id_length, CHUNK_ID_VALUE_BYTES);
        assert_memory_equal(message->entry.id, husk_id, CHUNK_ID_VALUE_BYTES);
        assert_int_equal(f->incoming.length, 0);
        message_free(message);
    }
}

static void short_messages_lie_flat_and_long_ones_are_slices(void **state)
{
    struct fixture *f = *state;
    size_t around;

    strcpy(f->text, "0123456789012345678901234567890123456789");
    messages_append(&f->incoming, "t", f->text, "id");
    around = f->incoming.length - strlen(f->text);
    buffer_clear(&f->incoming);
    for (size_t size = FLAT_BYTES_MAX; size <= FLAT_BYTES_MAX + 1; size++) {
        memset(f->text, 'y', size - around);
        messages_append(&f->incoming, "t", f->text, "id");
        struct message *message = take(f, "", NULL);
        assert_int_equal(message->entry.size, size);
        assert_int_equal(message->flat_length, size == FLAT_BYTES_MAX ? size : 0);
        assert_int_equal(message->slices.length, size == FLAT_BYTES_MAX ? 0 : size);
        expect_message(f, message, "t", "id");
        message_free(message);
    }
}

static void a_message_can_be_written_again_until_its_bytes_are_discarded(void **state)
{
    struct fixture *f = *state;

    memset(f->text, 'x', LONG_BYTES);
    messages_append(&f->incoming, "t", f->text, "id");
    struct message *message = take(f, "", NULL);
    expect_message(f, message, "t", "id");
    expect_message(f, message, "t", "id");
    message_discard_bytes(message);
    assert_false(message->is_kept);
    assert_int_equal(message->slices.length, 0);
    assert_true(message->entry.size > LONG_BYTES); /* the ledger still counts it */
    message_free(message);
}

static void an_ack_that_the_agent_asked_for_makes_a_message_come_again(void **state)
{
    static const struct {
        enum message_ack ack;
        unsigned count;
        bool is_early_part, comes_again;
    } cases[] = {
        { MESSAGE_AGENT_ACK, 1, false, true }, { MESSAGE_AGENT_ACK, 2, false, true },
        { MESSAGE_OUR_ACK, 1, false, false },  { MESSAGE_OUR_ACK, 2, false, false },
        { MESSAGE_OUR_ACK, 2, true, true },    { MESSAGE_NO_ACK, 1, false, false },
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct message *message = messages_make(&f->pool, "m", cases[i].ack, cases[i].count);
        message->is_early_part = cases[i].is_early_part;
        assert_int_equal(message_comes_again(message), cases[i].comes_again);
        assert_int_equal(message_parts_max(message), cases[i].count);
        message_free(message);
    }
}

static void a_scan_finds_whole_messages_only(void **state)
{
    struct fixture *f = *state;
    struct scanner scanner;
    const struct scanner_limits short_tags = { 2, UINT32_MAX, SCANNER_DEPTH_MAX };

    strcpy(f->text, "x");
    assert_false(message_scan(&scanner, &limits, &f->incoming, 0));
    messages_append(&f->incoming, "one", f->text, NULL);
    size_t length = f->incoming.length;
    messages_append(&f->incoming, "tw", f->text, NULL);
    assert_true(message_scan(&scanner, &limits, &f->incoming, 0));
    assert_int_equal(scanner.length, length);
    assert_false(message_scan(&scanner, &short_tags, &f->incoming, 0));
    assert_true(message_scan(&scanner, &short_tags, &f->incoming, length));
    struct buffer most;
    buffer_init(&most, &f->pool);
    assert_true(buffer_move(&most, &f->incoming, length - 1));
    assert_false(message_scan(&scanner, &limits, &most, 0));
    buffer_clear(&most);
}

/* ---- messages that grow ---- */

static void grow(struct fixture *f, struct message *message, const char *bytes)
{
    struct buffer piece;

    buffer_init(&piece, &f->pool);
    assert_true(buffer_append(&piece, bytes, strlen(bytes)));
    assert_true(message_grow(message, &piece));
    messages_expect_buffer(&piece, bytes, strlen(bytes)); /* still to be sent */
    buffer_clear(&piece);
}

static void a_protected_message_keeps_what_it_grows_by(void **state)
{
    struct fixture *f = *state;
    struct message *message = message_open(&f->pool, MESSAGE_PROTECTED);

    assert_true(message->is_protected && message->is_kept);
    assert_int_equal(message->count, 1);
    grow(f, message, "one");
    grow(f, message, "two");
    assert_int_equal(message->entry.size, 6);
    messages_expect_bytes(message, "onetwo", 6);
    message_unprotect(message);
    assert_false(message->is_protected || message->is_kept);
    assert_int_equal(message->slices.length, 0);
    grow(f, message, "three");
    assert_int_equal(message->entry.size, 11);
    assert_int_equal(message->slices.length, 0);
    message_free(message);
}

static void an_unprotected_message_keeps_nothing_until_told_to(void **state)
{
    struct fixture *f = *state;
    struct message *message = message_open(&f->pool, MESSAGE_UNPROTECTED);

    assert_false(message->is_protected || message->is_kept);
    message_keep(message);
    grow(f, message, "one");
    messages_expect_bytes(message, "one", 3);
    assert_false(message->is_protected);
    message_free(message);
}

static void the_end_of_a_message_tells_its_id(void **state)
{
    struct fixture *f = *state;
    struct message *message = message_open(&f->pool, MESSAGE_PROTECTED);
    uint8_t id[SCANNER_CHUNK_BYTES_MAX];

    assert_int_equal(message->entry.id_length, 0);
    memset(id, 'i', sizeof id);
    message_complete(message, &(struct message_summary) {
                                  .id = id, .id_length = sizeof id, .events = 7, .ack = MESSAGE_AGENT_ACK });
    assert_int_equal(message->entry.id_length, sizeof id);
    assert_ptr_not_equal(message->entry.id, id);
    assert_memory_equal(message->entry.id, id, sizeof id);
    assert_int_equal(message->events, 7);
    assert_int_equal(message->ack, MESSAGE_AGENT_ACK);
    message_free(message);
}

/* A message moved in two pieces, cut at any byte of its body, has all edits once. */
static void pieces_of_a_message_add_up_to_the_whole(void **state)
{
    struct fixture *f = *state;
    struct scanner scanner;
    struct rewrite rewrite;

    strcpy(f->text, "x");
    messages_append(&f->incoming, "t", f->text, NULL);
    assert_true(message_scan(&scanner, &limits, &f->incoming, 0));
    rewrite_plan(&rewrite, &scanner, "pre.", 4, husk_id);
    buffer_clear(&f->incoming);
    /* A cut lies in the body, between the edits of the head and those of the option. */
    for (uint64_t cut = scanner.body.start; cut <= scanner.body.end; cut++) {
        struct message *message = message_open(&f->pool, MESSAGE_PROTECTED);
        struct buffer piece;
        buffer_init(&piece, &f->pool);
        messages_append(&f->incoming, "t", f->text, NULL);
        struct rewrite head = rewrite;
        while (head.count && head.edits[head.count - 1].at >= scanner.body.end)
            head.count--;
        assert_true(message_move(&piece, &f->incoming, (struct span) { 0, cut }, &head));
        assert_true(message_grow(message, &piece));
        buffer_clear(&piece);
        assert_true(message_move(&piece, &f->incoming, (struct span) { cut, scanner.length }, &rewrite));
        assert_true(message_grow(message, &piece));
        buffer_clear(&piece);
        assert_int_equal(f->incoming.length, 0);
        expect_message(f, message, "pre.t", HUSK_ID);
        message_free(message);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_message_leaves_the_bytes_behind_it),
        TEST(a_message_gets_its_prefix_and_chunk_id),
        TEST(short_messages_lie_flat_and_long_ones_are_slices),
        TEST(a_message_can_be_written_again_until_its_bytes_are_discarded),
        TEST(an_ack_that_the_agent_asked_for_makes_a_message_come_again),
        TEST(a_scan_finds_whole_messages_only),
        TEST(a_protected_message_keeps_what_it_grows_by),
        TEST(an_unprotected_message_keeps_nothing_until_told_to),
        TEST(the_end_of_a_message_tells_its_id),
        TEST(pieces_of_a_message_add_up_to_the_whole),
    };

    return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
