/* proxy/delivery/batch.c: the parts of a batch have its events in order, and chunk ids of their own. */
#include "delivery/batch.h"

#include "delivery/batch_builder.h"
#include "support/messages.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>
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

/* The parts have these numbers of events. */
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

/* Reads the entries of all parts: they have the texts "0", "1"… `count` - 1. Each part is a batch with the
 * size and the chunk id of the part. */
static void expect_messages(const struct fixture *f, unsigned count)
{
    const struct message *part;
    unsigned found = 0;

    TAILQ_FOREACH (part, &f->parts, of_queue) {
        struct scanner scanner;
        struct buffer bytes, entries;
        const struct batch_message message = { &bytes, 0, &scanner };
        uint8_t id[SCANNER_CHUNK_BYTES_MAX], texts[64];
        buffer_init(&bytes, part->slices.pool);
        buffer_init(&entries, part->slices.pool);
        assert_true(message_write(part, &bytes));
        assert_int_equal(bytes.length, part->entry.size);
        assert_true(message_scan(&scanner, &limits, &bytes, 0));
        assert_int_equal(scanner.length, bytes.length);
        assert_int_equal(scanner.mode, SCANNER_PACKED);
        assert_int_equal(scanner.entries, part->events);
        assert_int_equal(part->is_batch, part->events > 1);
        assert_int_equal(batch_is_of_husk(&message), part->is_batch);
        size_t length = buffer_peek(&bytes, scanner.chunk.start, id, scanner.chunk.end - scanner.chunk.start);
        assert_int_equal(length, part->entry.id_length);
        assert_memory_equal(id, part->entry.id, length);
        assert_true(batch_entries_copy(&message, part->events, &entries));
        size_t entry_bytes = entries.length / part->events; /* of one: the texts are equally long */
        for (unsigned i = 0; i < part->events; i++) {
            size_t at = (i + 1) * entry_bytes - 1;
            assert_int_equal(buffer_peek(&entries, at, texts, 1), 1);
            assert_int_equal(texts[0], '0' + found++);
        }
        buffer_clear(&entries);
        buffer_clear(&bytes);
    }
    assert_int_equal(found, count);
}

static void parts_have_the_events_in_order(void **state)
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

/* A batch of `count` events of LONG_TEXT_BYTES, in slices, compressed by `method`. */
static struct message *long_batch(struct fixture *f, enum compression method, unsigned count)
{
    struct body_filter bodies;
    struct body_metrics metrics = { 0 };
    const struct route_options route = {
        .body = { .compress = method, .compress_min = BODY_COMPRESS_MIN, .inflated_max = 1 << 20 },
        .delivery = ROUTE_AT_LEAST_ONCE,
        .retain_bytes = 1 << 20,
        .batch_bytes = 1 << 20
    };
    struct batch_builder_shared building = { &route, &bodies, &f->ids, &f->pool, NULL };
    struct message_permit permit = { 0 };
    static char text[LONG_TEXT_BYTES + 1];
    struct buffer incoming;
    struct scanner scanner;

    body_filter_init(&bodies, &route, &metrics);
    struct batch_builder *builder = batch_builder_open(&building);
    assert_non_null(builder);
    buffer_init(&incoming, &f->pool);
    const struct batch_candidate candidate = { &incoming, &scanner, &permit, 0 };
    srand(1);
    for (unsigned i = 0; i < count; i++) {
        for (size_t at = 0; at < LONG_TEXT_BYTES; at++)
            text[at] = (char)('a' + rand() % 26);
        text[LONG_TEXT_BYTES - 1] = (char)('0' + i);
        messages_append(&incoming, "t", text, NULL);
        assert_true(message_scan(&scanner, &limits, &incoming, builder->held_bytes));
        assert_true(batch_builder_takes(builder, &candidate, 1));
        assert_true(batch_builder_add(builder, &candidate, 1));
    }
    struct message *batch;
    assert_int_equal(batch_builder_finish(builder, &incoming, &permit, &batch), END_NONE);
    assert_int_equal(metrics_read(&metrics.rewritten[METRICS_BODY_COMPRESSED]), method != COMPRESSION_OFF);
    assert_int_equal(incoming.length, 0);
    assert_int_equal(batch->count, count);
    batch_builder_close(builder);
    batch_builder_shared_deinit(&building);
    body_filter_deinit(&bodies);
    return batch;
}

static void a_long_batch_is_split(void **state)
{
    struct fixture *f = *state;
    struct message *batch = long_batch(f, COMPRESSION_OFF, 3);

    assert_int_equal(batch->flat_length, 0);
    assert_true(batch_split(batch, 2, &f->ids, &f->parts));
    expect_counts(f, (const unsigned[]) { 2, 1 }, 2);
    expect_messages(f, 3);
    message_free(batch);
}

static void a_compressed_batch_is_split(void **state)
{
    struct fixture *f = *state;

    for (enum compression method = COMPRESSION_GZIP; method <= COMPRESSION_ZSTD; method++) {
        struct message *batch = long_batch(f, method, 9);
        assert_true(batch->is_batch);
        assert_true(batch_split(batch, 4, &f->ids, &f->parts));
        expect_counts(f, (const unsigned[]) { 4, 4, 1 }, 3);
        expect_messages(f, 9);
        message_free(batch);
        tear_down(state);
        set_up(state);
    }
}

/* Three messages of an agent with 10 events: the counts of the parts add up. */
static void the_counts_of_parts_add_up(void **state)
{
    struct fixture *f = *state;
    struct message *batch = messages_make(&f->pool, "b", MESSAGE_OUR_ACK, 10), *part;
    static const unsigned counts[] = { 0, 1, 0, 1, 1 };
    unsigned at = 0;

    batch->count = 3;
    assert_true(batch_split(batch, 2, &f->ids, &f->parts));
    TAILQ_FOREACH (part, &f->parts, of_queue) {
        assert_int_equal(part->events, 2);
        assert_int_equal(part->count, counts[at++]);
    }
    expect_messages(f, 10);
    message_free(batch);
}

static void a_batch_with_other_entries_than_it_says_is_not_split(void **state)
{
    struct fixture *f = *state;
    struct message *batch = messages_make(&f->pool, "b", MESSAGE_AGENT_ACK, 5);

    batch->events = 6;
    assert_true(batch_split(batch, 2, &f->ids, &f->parts));
    struct message *only = TAILQ_FIRST(&f->parts);
    assert_null(TAILQ_NEXT(only, of_queue));
    assert_false(only->is_batch);
    assert_int_equal(only->ack, MESSAGE_AGENT_ACK);
    assert_int_equal(only->count, 5);
    messages_expect_bytes(only, batch->flat, batch->flat_length);
    message_free(batch);
}

/* A batch of a peer may have the longest tag that a batch of husk can have. A rule then makes the tag longer.
 */
static void a_batch_whose_tag_becomes_too_long_is_not_split(void **state)
{
    struct fixture *f = *state;
    const struct route_options route = { .delivery = ROUTE_AT_LEAST_ONCE, .retain_bytes = 1 << 20 };
    char tag[BATCH_TAG_BYTES_MAX + REWRITE_PREFIX_BYTES_MAX + 1] = "", prefix[REWRITE_PREFIX_BYTES_MAX];
    struct message_permit permit = { .prefix = prefix, .prefix_length = sizeof prefix };
    struct body_filter bodies;
    struct batch_builder_shared building = { &route, &bodies, &f->ids, &f->pool, NULL };
    struct buffer incoming;
    struct scanner scanner;

    memset(tag, 't', sizeof tag - 1);
    memset(prefix, 'p', sizeof prefix);
    body_filter_init(&bodies, &route, NULL);
    buffer_init(&incoming, &f->pool);
    struct batch_builder *builder = batch_builder_open(&building);
    struct message *sent = messages_make(&f->pool, tag, MESSAGE_AGENT_ACK, 3);
    assert_true(message_write(sent, &incoming));
    assert_true(message_scan(&scanner, &limits, &incoming, 0));
    struct message *batch;
    const struct batch_candidate candidate = { &incoming, &scanner, &permit, 0 };
    assert_int_equal(batch_builder_pass(builder, &candidate, &batch), END_NONE);
    assert_true(batch_split(batch, 1, &f->ids, &f->parts));
    struct message *only = TAILQ_FIRST(&f->parts);
    assert_null(TAILQ_NEXT(only, of_queue));
    assert_false(only->is_batch);
    assert_int_equal(only->events, 3);
    assert_int_equal(only->entry.size, sent->entry.size + sizeof prefix);
    message_free(sent);
    message_free(batch);
    batch_builder_close(builder);
    batch_builder_shared_deinit(&building);
    body_filter_deinit(&bodies);
}

static void only_early_parts_hold_the_ack_of_the_agent_back(void **state)
{
    static const enum message_ack acks[] = { MESSAGE_AGENT_ACK, MESSAGE_OUR_ACK };
    struct fixture *f = *state;

    for (unsigned i = 0; i < 2; i++) {
        struct message *batch = messages_make(&f->pool, "b", acks[i], 4);
        assert_true(batch_split(batch, 2, &f->ids, &f->parts));
        struct message *first = TAILQ_FIRST(&f->parts), *last = TAILQ_NEXT(first, of_queue);
        assert_int_equal(first->is_early_part, acks[i] == MESSAGE_AGENT_ACK);
        assert_false(last->is_early_part);
        assert_true(batch_split(first, 1, &f->ids, &f->parts)); /* each part of it holds the ack back, too */
        assert_int_equal(TAILQ_LAST(&f->parts, message_list)->is_early_part, acks[i] == MESSAGE_AGENT_ACK);
        message_free(batch);
        tear_down(state);
        set_up(state);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(parts_have_the_events_in_order),
        TEST(the_last_part_has_the_ack_of_the_batch),
        TEST(the_last_part_keeps_the_id_that_husk_gave_the_batch),
        TEST(the_batch_stays_as_it_was),
        TEST(parts_are_isolated_as_their_batch_was),
        TEST(a_long_batch_is_split),
        TEST(a_compressed_batch_is_split),
        TEST(the_counts_of_parts_add_up),
        TEST(a_batch_with_other_entries_than_it_says_is_not_split),
        TEST(a_batch_whose_tag_becomes_too_long_is_not_split),
        TEST(only_early_parts_hold_the_ack_of_the_agent_back),
    };

    return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
