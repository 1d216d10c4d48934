#include "base/token_bucket.h"

#include <assert.h>

enum { TOKEN = 1000 }; /* n tokens per second are n thousandths of a token per millisecond */

/* Larger debts are cut: repaying them would take years, and they could overflow. */
#define DEBT_MAX (INT64_C(1) << 60)

void token_bucket_init(struct token_bucket *bucket, uint64_t rate, uint64_t burst_ms, uint64_t now_ms)
{
    assert(rate <= TOKEN_BUCKET_RATE_MAX && burst_ms <= TOKEN_BUCKET_BURST_MS_MAX);
    int64_t capacity = (int64_t)(rate * burst_ms);

    if (capacity < TOKEN)
        capacity = TOKEN;
    *bucket =
        (struct token_bucket) { .rate = rate, .capacity = capacity, .level = capacity, .as_of_ms = now_ms };
}

static void bucket_fill(struct token_bucket *bucket, uint64_t now_ms)
{
    if (now_ms <= bucket->as_of_ms || !bucket->rate)
        return;
    uint64_t elapsed_ms = now_ms - bucket->as_of_ms;
    uint64_t missing = (uint64_t)(bucket->capacity - bucket->level);
    if (elapsed_ms >= missing / bucket->rate + 1)
        bucket->level = bucket->capacity;
    else
        bucket->level += (int64_t)(elapsed_ms * bucket->rate);
    if (bucket->level > bucket->capacity)
        bucket->level = bucket->capacity;
    bucket->as_of_ms = now_ms;
}

uint64_t token_bucket_wait_ms(struct token_bucket *bucket, uint64_t now_ms)
{
    bucket_fill(bucket, now_ms);
    if (!bucket->rate || bucket->level >= TOKEN)
        return 0;
    return ((uint64_t)(TOKEN - bucket->level) + bucket->rate - 1) / bucket->rate;
}

void token_bucket_take(struct token_bucket *bucket, uint64_t tokens, uint64_t now_ms)
{
    const uint64_t most = DEBT_MAX / TOKEN;

    bucket_fill(bucket, now_ms);
    if (!bucket->rate)
        return;
    bucket->level -= (int64_t)(tokens < most ? tokens : most) * TOKEN;
    if (bucket->level < -DEBT_MAX)
        bucket->level = -DEBT_MAX;
}

bool token_bucket_is_full(struct token_bucket *bucket, uint64_t now_ms)
{
    bucket_fill(bucket, now_ms);
    return !bucket->rate || bucket->level == bucket->capacity;
}
