/* A token bucket: limits the average rate, and allows bursts.
 *
 * Pure: the caller passes the time. More tokens may be taken than the bucket has. The bucket is then in debt,
 * and counts as empty until the debt is repaid. An item larger than the bucket can pass this way; the next
 * item waits longer. */
#ifndef HUSK_BASE_TOKEN_BUCKET_H
#define HUSK_BASE_TOKEN_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

enum { TOKEN_BUCKET_BURST_MS_MAX = 3600 * 1000 };
#define TOKEN_BUCKET_RATE_MAX (UINT64_C(1) << 40)

struct token_bucket {
    uint64_t rate;     /* tokens per second; 0: no limit */
    int64_t capacity;  /* in thousandths of a token, like `level`; at least one token */
    int64_t level;     /* negative: debt */
    uint64_t as_of_ms; /* the time of `level` */
};

/* Makes a full bucket. `rate` is tokens per second, at most TOKEN_BUCKET_RATE_MAX. The capacity is the tokens
 * of `burst_ms` (at most TOKEN_BUCKET_BURST_MS_MAX), and at least one. Times are clock_monotonic_ms; a time
 * before the latest time counts as the latest time. */
void token_bucket_init(struct token_bucket *bucket, uint64_t rate, uint64_t burst_ms, uint64_t now_ms);

/* Milliseconds until the bucket has a whole token; 0: it has one now. */
uint64_t token_bucket_wait_ms(struct token_bucket *bucket, uint64_t now_ms);

/* Takes `tokens`, any number, even if the bucket has fewer tokens. */
void token_bucket_take(struct token_bucket *bucket, uint64_t tokens, uint64_t now_ms);

/* The bucket is full again, like a new one. */
bool token_bucket_is_full(struct token_bucket *bucket, uint64_t now_ms);

#endif
