/* A rate, kept on the average: so many tokens a second, of which some may be saved up.
 *
 * Pure: the caller says what time it is. What is taken may be more than there is: then the bucket is in debt,
 * and empty until that is paid off. So something larger than the bucket passes too, and waits afterwards. */
#ifndef HUSK_BASE_TOKEN_BUCKET_H
#define HUSK_BASE_TOKEN_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

enum { TOKEN_BUCKET_BURST_MS_MAX = 3600 * 1000 };
#define TOKEN_BUCKET_RATE_MAX (UINT64_C(1) << 40)

struct token_bucket {
    uint64_t rate;     /* tokens per second; 0: no limit, nothing ever waits */
    int64_t capacity;  /* thousandths of tokens, like those below: at least one token */
    int64_t level;     /* negative: debt */
    uint64_t as_of_ms; /* when the level was that */
};

/* A full bucket. `rate` is tokens per second, at most TOKEN_BUCKET_RATE_MAX; it holds as many as come in
 * `burst_ms` (at most TOKEN_BUCKET_BURST_MS_MAX), and at least one. Times are clock_monotonic_ms; one that
 * lies before an earlier one counts as that. */
void token_bucket_init(struct token_bucket *bucket, uint64_t rate, uint64_t burst_ms, uint64_t now_ms);

/* Milliseconds until there is a whole token; 0: there is one now. */
uint64_t token_bucket_wait_ms(struct token_bucket *bucket, uint64_t now_ms);

/* Takes `tokens`, whether they are there or not; at most UINT32_MAX at a time. */
void token_bucket_take(struct token_bucket *bucket, uint64_t tokens, uint64_t now_ms);

/* Nothing that was taken is missing any more: a new one would be the same. */
bool token_bucket_is_full(struct token_bucket *bucket, uint64_t now_ms);

#endif
