#include "delivery/body_filter.h"

#include "delivery/message.h"

void body_stage_init(struct body_stage *stage, const struct body_options *options,
                     struct body_metrics *metrics)
{
    *stage = (struct body_stage) { .rewriter = { .options = *options }, .metrics = metrics };
}

void body_stage_deinit(struct body_stage *stage)
{
    body_rewriter_deinit(&stage->rewriter);
}

static void stage_count(struct body_metrics *metrics, const struct body_result *result, uint64_t length)
{
    if (result->is_stripped)
        metrics_add(&metrics->rewritten[METRICS_BODY_STRIPPED], 1);
    if (result->is_compressed)
        metrics_add(&metrics->rewritten[METRICS_BODY_COMPRESSED], 1);
    if (result->bytes.length < length)
        metrics_add(&metrics->saved_bytes, length - result->bytes.length);
}

/* Puts `bytes` in place of the message. False when out of memory. */
static bool message_replace(struct buffer *held, struct span message, struct buffer *bytes)
{
    struct buffer now;

    buffer_init(&now, held->pool);
    bool done = buffer_move(&now, held, (size_t)message.start);
    if (done)
        buffer_consume(held, (size_t)(message.end - message.start));
    done = done && buffer_move(&now, bytes, bytes->length) && buffer_move(&now, held, held->length);
    buffer_clear(held);
    *held = now;
    return done;
}

bool body_stage_rewrite(struct body_stage *stage, struct buffer *held, size_t start, struct scanner *scanner)
{
    struct body_result result;
    struct scanner rewritten;

    if (!body_options_ask(&stage->rewriter.options))
        return true; /* the usual case: of every message */
    enum body_status status = body_rewrite(&stage->rewriter, held, start, scanner, &result);
    bool done = true;

    if (status == BODY_UNREADABLE)
        metrics_add(&stage->metrics->unreadable, 1);
    /* What is compressed again, by a quicker hand, may be longer than it was, and than messages may be. */
    if (status == BODY_REWRITTEN && message_scan(&rewritten, &scanner->limits, &result.bytes, 0)) {
        struct span message = { start, start + scanner->length };
        stage_count(stage->metrics, &result, scanner->length);
        done = message_replace(held, message, &result.bytes);
        *scanner = rewritten;
    }
    buffer_clear(&result.bytes);
    return done;
}
