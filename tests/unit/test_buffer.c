#include "base/buffer.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static int setup(void **state)
{
    struct buffer_pool *pool = calloc(1, sizeof *pool);

    pool->idle_limit = 2;
    *state = pool;
    return 0;
}

static int teardown(void **state)
{
    buffer_pool_deinit(*state);
    free(*state);
    return 0;
}

/* A byte that depends on its position, so that a lost or repeated byte is detected. */
static uint8_t pattern(size_t at)
{
    return (uint8_t)(at * 131 + (at >> 8) * 31);
}

static void append_pattern(struct buffer *buffer, size_t from, size_t bytes)
{
    uint8_t *block = malloc(bytes);

    for (size_t i = 0; i < bytes; i++)
        block[i] = pattern(from + i);
    assert_true(buffer_append(buffer, block, bytes));
    free(block);
}

static void expect_pattern(struct buffer *buffer, size_t from, size_t bytes)
{
    while (bytes) {
        struct iovec front;
        assert_int_equal(buffer_vectors(buffer, &front, 1), 1);
        size_t part = front.iov_len < bytes ? front.iov_len : bytes;
        for (size_t i = 0; i < part; i++)
            assert_int_equal(((uint8_t *)front.iov_base)[i], pattern(from + i));
        buffer_consume(buffer, part);
        from += part;
        bytes -= part;
    }
}

static void an_empty_buffer_owns_nothing(void **state)
{
    struct buffer_pool *pool = *state;
    struct buffer buffer;
    struct iovec vector;

    buffer_init(&buffer, pool);
    assert_int_equal(pool->live_count, 0);
    assert_int_equal(buffer_vectors(&buffer, &vector, 1), 0);
    append_pattern(&buffer, 0, 2000);
    assert_int_equal(pool->live_count, 1);
    buffer_consume(&buffer, 2000);
    assert_int_equal(pool->live_count, 0);
    assert_null(buffer.first);
}

static void small_appends_of_many_buffers_share_a_segment(void **state)
{
    enum { BUFFERS = 1000, EACH = 100 };
    struct buffer_pool *pool = *state;
    struct buffer *buffers = calloc(BUFFERS, sizeof *buffers);

    for (size_t i = 0; i < BUFFERS; i++) {
        buffer_init(&buffers[i], pool);
        append_pattern(&buffers[i], i, EACH);
    }
    assert_in_range(pool->live_count, 1, 2);
    for (size_t i = 0; i < BUFFERS; i++) {
        append_pattern(&buffers[i], i + EACH, EACH);
        expect_pattern(&buffers[i], i, 2 * EACH);
    }
    append_pattern(&buffers[0], 0, EACH); /* in the place of what is gone */
    expect_pattern(&buffers[0], 0, EACH);
    assert_int_equal(pool->live_count, 1);
    free(buffers);
}

static void a_reservation_in_pieces_is_committed_in_part(void **state)
{
    static const size_t used[] = { 0, 1, SEGMENT_CAPACITY - 2000, SEGMENT_CAPACITY,
                                   2 * SEGMENT_CAPACITY + 7 };
    struct buffer_pool *pool = *state;

    for (size_t i = 0; i < sizeof used / sizeof *used; i++) {
        struct iovec vectors[4];
        struct buffer buffer;
        size_t at = 2000, left = used[i];
        buffer_init(&buffer, pool);
        append_pattern(&buffer, 0, at);
        assert_int_equal(buffer_reserve_vectors(&buffer, 3 * SEGMENT_CAPACITY, vectors, 4), 4);
        assert_int_equal(vectors[0].iov_len, SEGMENT_CAPACITY - 2000);
        for (unsigned v = 0; v < 4; v++) {
            for (size_t b = 0; b < vectors[v].iov_len && left; b++, left--)
                ((uint8_t *)vectors[v].iov_base)[b] = pattern(at++);
        }
        buffer_commit(&buffer, used[i]);
        assert_int_equal(buffer.length, at);
        assert_int_equal(pool->live_count, (at + SEGMENT_CAPACITY - 1) / SEGMENT_CAPACITY);
        append_pattern(&buffer, at, 3000);
        expect_pattern(&buffer, 0, at + 3000);
        assert_int_equal(pool->live_count, 0);
    }
}

static void a_patch_replaces_bytes_across_slices(void **state)
{
    struct buffer buffer, patch;
    uint8_t bytes[200];

    buffer_init(&buffer, *state);
    buffer_init(&patch, *state);
    append_pattern(&buffer, 0, SEGMENT_CAPACITY - 100);
    append_pattern(&patch, 7, 200);
    buffer_peek(&patch, 0, bytes, sizeof bytes);
    buffer_clear(&patch);
    append_pattern(&buffer, SEGMENT_CAPACITY - 100, 2000);
    buffer_patch(&buffer, SEGMENT_CAPACITY - 50, bytes, sizeof bytes);
    expect_pattern(&buffer, 0, SEGMENT_CAPACITY - 50);
    expect_pattern(&buffer, 7, 200);
    expect_pattern(&buffer, SEGMENT_CAPACITY + 150, 1750);
}

static void bytes_come_out_as_they_went_in_across_segments(void **state)
{
    enum { TOTAL = 5 * SEGMENT_BYTES + 777 };
    struct buffer buffer;
    size_t in = 0, out = 0;

    buffer_init(&buffer, *state);
    for (size_t step = 1; in < TOTAL; step = step * 7 % 40961 + 1) {
        size_t part = step < TOTAL - in ? step : TOTAL - in;
        append_pattern(&buffer, in, part);
        in += part;
        size_t take = (in - out) / 2;
        expect_pattern(&buffer, out, take);
        out += take;
        assert_int_equal(buffer.length, in - out);
    }
    expect_pattern(&buffer, out, in - out);
    assert_int_equal(buffer.length, 0);
}

static void an_unused_reservation_leaves_no_segment_behind(void **state)
{
    struct buffer_pool *pool = *state;
    struct buffer buffer;
    size_t room;

    buffer_init(&buffer, pool);
    assert_non_null(buffer_reserve(&buffer, &room));
    assert_int_equal(room, SEGMENT_CAPACITY);
    buffer_commit(&buffer, 0);
    assert_int_equal(pool->live_count, 0);
    append_pattern(&buffer, 0, 2000);
    assert_non_null(buffer_reserve(&buffer, &room));
    assert_int_equal(room, SEGMENT_CAPACITY - 2000);
    buffer_commit(&buffer, 0);
    expect_pattern(&buffer, 0, 2000);
}

static void vectors_cover_the_queue_in_order(void **state)
{
    struct buffer buffer;
    struct iovec vectors[8];

    buffer_init(&buffer, *state);
    append_pattern(&buffer, 0, 2 * SEGMENT_CAPACITY + 1);
    assert_int_equal(buffer_vectors(&buffer, vectors, 8), 3);
    assert_int_equal(vectors[0].iov_len, SEGMENT_CAPACITY);
    assert_int_equal(vectors[2].iov_len, 1);
    assert_int_equal(buffer_vectors(&buffer, vectors, 2), 2);
    buffer_consume(&buffer, SEGMENT_CAPACITY + 3);
    assert_int_equal(buffer_vectors(&buffer, vectors, 8), 2);
    assert_int_equal(((uint8_t *)vectors[0].iov_base)[0], pattern(SEGMENT_CAPACITY + 3));
    buffer_clear(&buffer);
}

static void shared_bytes_outlive_either_of_their_buffers(void **state)
{
    enum { TOTAL = 3 * SEGMENT_CAPACITY + 100 };
    struct buffer_pool *pool = *state;
    struct buffer kept, sent;

    buffer_init(&kept, pool);
    buffer_init(&sent, pool);
    append_pattern(&kept, 0, TOTAL);
    assert_true(buffer_share(&sent, &kept));
    assert_int_equal(sent.length, TOTAL);
    assert_int_equal(pool->live_count, 4);
    expect_pattern(&sent, 0, TOTAL);
    assert_int_equal(kept.length, TOTAL);
    assert_true(buffer_share(&sent, &kept));
    buffer_clear(&kept);
    expect_pattern(&sent, 0, TOTAL);
    assert_int_equal(pool->live_count, 0);
}

static void writing_after_a_shared_slice_does_not_change_it(void **state)
{
    struct buffer kept, sent;

    buffer_init(&kept, *state);
    buffer_init(&sent, *state);
    append_pattern(&kept, 0, 3000);
    assert_true(buffer_share(&sent, &kept));
    append_pattern(&sent, 3000, 500); /* behind bytes that both hold */
    append_pattern(&kept, 3000, 700);
    expect_pattern(&sent, 0, 3500);
    expect_pattern(&kept, 0, 3700);
}

static void moving_removes_from_one_and_appends_to_the_other(void **state)
{
    enum { TOTAL = 2 * SEGMENT_CAPACITY + 5000 };
    static const size_t parts[] = { 0, 1, 4095, SEGMENT_CAPACITY, 904, SEGMENT_CAPACITY };
    struct buffer from, to;
    size_t moved = 0;

    buffer_init(&from, *state);
    buffer_init(&to, *state);
    append_pattern(&from, 0, TOTAL);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        assert_true(buffer_move(&to, &from, parts[i]));
        moved += parts[i];
        assert_int_equal(to.length, moved);
        assert_int_equal(from.length, TOTAL - moved);
    }
    assert_true(buffer_move(&to, &from, from.length));
    struct iovec vectors[8];
    assert_int_equal(buffer_vectors(&to, vectors, 8), 3); /* neighbours have grown together again */
    expect_pattern(&to, 0, TOTAL);
}

static void peeking_copies_from_any_offset_and_removes_nothing(void **state)
{
    struct buffer buffer;
    uint8_t bytes[100];

    buffer_init(&buffer, *state);
    append_pattern(&buffer, 0, SEGMENT_CAPACITY + 50);
    assert_int_equal(buffer_peek(&buffer, SEGMENT_CAPACITY - 10, bytes, sizeof bytes), 60);
    for (size_t i = 0; i < 60; i++)
        assert_int_equal(bytes[i], pattern(SEGMENT_CAPACITY - 10 + i));
    assert_int_equal(buffer_peek(&buffer, SEGMENT_CAPACITY + 50, bytes, sizeof bytes), 0);
    assert_int_equal(buffer.length, SEGMENT_CAPACITY + 50);
    buffer_clear(&buffer);
}

static void a_trim_frees_segments_not_needed_since_the_last_trim(void **state)
{
    struct buffer_pool *pool = *state;
    struct buffer buffer;

    buffer_init(&buffer, pool);
    append_pattern(&buffer, 0, 6 * SEGMENT_CAPACITY);
    assert_int_equal(pool->live_count, 6);
    buffer_clear(&buffer);
    assert_int_equal(pool->live_count, 0);
    buffer_pool_trim(pool);
    assert_int_equal(pool->idle_count, 6);
    append_pattern(&buffer, 0, 3 * SEGMENT_CAPACITY);
    buffer_clear(&buffer);
    buffer_pool_trim(pool);
    assert_int_equal(pool->idle_count, 5); /* three of them were in use */
    buffer_pool_trim(pool);
    assert_int_equal(pool->idle_count, pool->idle_limit);
}

static void the_front_is_copied_only_if_it_straddles_segments(void **state)
{
    struct buffer_pool *pool = *state;
    struct buffer buffer, more;
    uint8_t scratch[100];
    size_t size = sizeof scratch;

    buffer_init(&buffer, pool);
    buffer_init(&more, pool);
    (void)buffer_front(&buffer, scratch, &size);
    assert_int_equal(size, 0);
    append_pattern(&buffer, 0, 40);
    size = sizeof scratch;
    const uint8_t *front = buffer_front(&buffer, scratch, &size);
    assert_int_equal(size, 40);
    assert_ptr_not_equal(front, scratch);
    append_pattern(&more, 0, 2000); /* a segment of its own */
    append_pattern(&more, 2000, 10);
    buffer_consume(&more, 2000 - 5);
    assert_true(buffer_share(&buffer, &more));
    size = 40;
    assert_ptr_not_equal(buffer_front(&buffer, scratch, &size), scratch);
    size = sizeof scratch;
    front = buffer_front(&buffer, scratch, &size);
    assert_int_equal(size, 55);
    assert_ptr_equal(front, scratch);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(front[i], pattern(i < 40 ? i : 1955 + i));
    buffer_clear(&buffer);
    buffer_clear(&more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_empty_buffer_owns_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(bytes_come_out_as_they_went_in_across_segments, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unused_reservation_leaves_no_segment_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(vectors_cover_the_queue_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(the_front_is_copied_only_if_it_straddles_segments, setup, teardown),
        cmocka_unit_test_setup_teardown(shared_bytes_outlive_either_of_their_buffers, setup, teardown),
        cmocka_unit_test_setup_teardown(writing_after_a_shared_slice_does_not_change_it, setup, teardown),
        cmocka_unit_test_setup_teardown(moving_removes_from_one_and_appends_to_the_other, setup, teardown),
        cmocka_unit_test_setup_teardown(peeking_copies_from_any_offset_and_removes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(small_appends_of_many_buffers_share_a_segment, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reservation_in_pieces_is_committed_in_part, setup, teardown),
        cmocka_unit_test_setup_teardown(a_patch_replaces_bytes_across_slices, setup, teardown),
        cmocka_unit_test_setup_teardown(a_trim_frees_segments_not_needed_since_the_last_trim, setup,
                                        teardown),
    };

    return cmocka_run_group_tests_name("buffer", tests, NULL, NULL);
}
