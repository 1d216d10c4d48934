/* proxy/base/token_bucket.c: a rate, a burst, and debt. */
#include "base/token_bucket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { START_MS = 5000 };

static void a_full_bucket_allows_its_burst_and_then_its_rate(void **state)
{
    struct token_bucket bucket;
    uint64_t now = START_MS;

    (void)state;
    token_bucket_init(&bucket, 10, 500, now); /* five at once, one every 100 ms */
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(token_bucket_wait_ms(&bucket, now), 0);
        token_bucket_take(&bucket, 1, now);
    }
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(token_bucket_wait_ms(&bucket, now), 100);
        assert_int_equal(token_bucket_wait_ms(&bucket, now + 99), 1);
        now += 100;
        assert_int_equal(token_bucket_wait_ms(&bucket, now), 0);
        token_bucket_take(&bucket, 1, now);
    }
}

static void a_large_item_passes_and_its_debt_is_repaid(void **state)
{
    struct token_bucket bucket;

    (void)state;
    token_bucket_init(&bucket, 1000, 100, START_MS);
    assert_int_equal(token_bucket_wait_ms(&bucket, START_MS), 0);
    token_bucket_take(&bucket, 5000, START_MS);
    assert_int_equal(token_bucket_wait_ms(&bucket, START_MS), 4901); /* to zero, and one token */
    assert_int_equal(token_bucket_wait_ms(&bucket, START_MS + 4900), 1);
    assert_int_equal(token_bucket_wait_ms(&bucket, START_MS + 4901), 0);
}

static void the_bucket_holds_no_more_than_the_burst(void **state)
{
    struct token_bucket bucket;
    uint64_t now = START_MS;

    (void)state;
    token_bucket_init(&bucket, 10, 500, now);
    token_bucket_take(&bucket, 5, now);
    assert_false(token_bucket_is_full(&bucket, now + 499));
    now += UINT64_C(1) << 50;
    assert_true(token_bucket_is_full(&bucket, now));
    token_bucket_take(&bucket, 5, now);
    assert_int_equal(token_bucket_wait_ms(&bucket, now), 100);
}

static void a_bucket_holds_one_token_at_least(void **state)
{
    struct token_bucket bucket;

    (void)state;
    token_bucket_init(&bucket, 1, 20, START_MS);
    assert_int_equal(token_bucket_wait_ms(&bucket, START_MS), 0);
    token_bucket_take(&bucket, 1, START_MS);
    assert_int_equal(token_bucket_wait_ms(&bucket, START_MS), 1000);
}

static void without_a_rate_nothing_waits(void **state)
{
    struct token_bucket bucket;

    (void)state;
    token_bucket_init(&bucket, 0, 1000, START_MS);
    token_bucket_take(&bucket, UINT32_MAX, START_MS);
    assert_int_equal(token_bucket_wait_ms(&bucket, START_MS), 0);
    assert_true(token_bucket_is_full(&bucket, START_MS));
}

static void the_largest_numbers_do_not_overflow(void **state)
{
    struct token_bucket bucket;

    (void)state;
    token_bucket_init(&bucket, TOKEN_BUCKET_RATE_MAX, TOKEN_BUCKET_BURST_MS_MAX, START_MS);
    token_bucket_take(&bucket, UINT32_MAX, START_MS);
    assert_int_equal(token_bucket_wait_ms(&bucket, UINT64_MAX), 0);
    assert_true(token_bucket_is_full(&bucket, UINT64_MAX));

    token_bucket_init(&bucket, 1, 0, START_MS);
    for (unsigned i = 0; i < 1000000; i++)
        token_bucket_take(&bucket, UINT32_MAX, START_MS);
    assert_true(token_bucket_wait_ms(&bucket, START_MS) > UINT32_MAX);
}

/* A husk may send a value of any length: husk discards the value and charges its length. */
static void any_number_of_tokens_may_be_taken(void **state)
{
    static const uint64_t numbers[] = { UINT64_C(1) << 32, UINT64_C(1) << 40, INT64_MAX, UINT64_MAX };

    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct token_bucket bucket;
        token_bucket_init(&bucket, 1000, 1000, START_MS);
        token_bucket_take(&bucket, numbers[i], START_MS);
        uint64_t wait_ms = token_bucket_wait_ms(&bucket, START_MS);
        assert_true(wait_ms >= (UINT64_C(1) << 32) - 1000);
        token_bucket_take(&bucket, numbers[i], START_MS);
        assert_true(token_bucket_wait_ms(&bucket, START_MS) >= wait_ms);
        assert_int_equal(token_bucket_wait_ms(&bucket, UINT64_MAX), 0);
    }
}

static void a_clock_that_stops_or_goes_back_adds_no_tokens(void **state)
{
    struct token_bucket bucket;

    (void)state;
    token_bucket_init(&bucket, 10, 100, START_MS);
    token_bucket_take(&bucket, 1, START_MS);
    assert_int_equal(token_bucket_wait_ms(&bucket, START_MS - 1000), 100);
    assert_int_equal(token_bucket_wait_ms(&bucket, START_MS), 100);
    assert_int_equal(token_bucket_wait_ms(&bucket, START_MS + 100), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_bucket_allows_its_burst_and_then_its_rate),
        cmocka_unit_test(a_large_item_passes_and_its_debt_is_repaid),
        cmocka_unit_test(the_bucket_holds_no_more_than_the_burst),
        cmocka_unit_test(a_bucket_holds_one_token_at_least),
        cmocka_unit_test(without_a_rate_nothing_waits),
        cmocka_unit_test(the_largest_numbers_do_not_overflow),
        cmocka_unit_test(any_number_of_tokens_may_be_taken),
        cmocka_unit_test(a_clock_that_stops_or_goes_back_adds_no_tokens),
    };

    return cmocka_run_group_tests_name("token_bucket", tests, NULL, NULL);
}
