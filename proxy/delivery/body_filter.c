#include "delivery/body_filter.h"

#include "delivery/message.h"

void body_filter_init(struct body_filter *filter, const struct body_options *options,
                      struct body_metrics *metrics)
{
    *filter = (struct body_filter) { .rewriter = { .options = *options }, .metrics = metrics };
}

void body_filter_set_options(struct body_filter *filter, const struct body_options *options)
{
    filter->rewriter.options = *options;
}

void body_filter_deinit(struct body_filter *filter)
{
    body_rewriter_deinit(&filter->rewriter);
}

static void rewrites_count(struct body_metrics *metrics, const struct body_result *result, uint64_t length)
{
    if (result->is_stripped)
        metrics_add(&metrics->rewritten[METRICS_BODY_STRIPPED], 1);
    if (result->is_compressed)
        metrics_add(&metrics->rewritten[METRICS_BODY_COMPRESSED], 1);
    if ((result->is_stripped || result->is_compressed) && result->bytes.length < length)
        metrics_add(&metrics->saved_bytes, length - result->bytes.length);
}

/* Replaces `message` by `bytes`. False when out of memory. */
static bool message_replace(struct buffer *incoming, struct span message, struct buffer *bytes)
{
    struct buffer replaced;

    buffer_init(&replaced, incoming->pool);
    bool done = buffer_move(&replaced, incoming, (size_t)message.start);
    if (done)
        buffer_consume(incoming, (size_t)(message.end - message.start));
    done = done && buffer_move(&replaced, bytes, bytes->length) &&
           buffer_move(&replaced, incoming, incoming->length);
    buffer_clear(incoming);
    *incoming = replaced;
    return done;
}

/* Puts the rewritten message in its place. A body that husk compresses again can be longer than before, and
 * longer than --max-message: then the message stays. False when out of memory. */
static bool result_take(struct body_filter *filter, struct buffer *incoming, size_t start,
                        struct scanner *scanner, struct body_result *result)
{
    struct scanner rewritten;
    struct span message = { start, start + scanner->length };
    bool done = true;

    if (message_scan(&rewritten, &scanner->limits, &result->bytes, 0)) {
        rewrites_count(filter->metrics, result, scanner->length);
        done = message_replace(incoming, message, &result->bytes);
        *scanner = rewritten;
    }
    return done;
}

enum body_filter_result body_filter_rewrite(struct body_filter *filter, struct buffer *incoming, size_t start,
                                            struct scanner *scanner)
{
    struct body_result result;

    if (!body_options_ask(&filter->rewriter.options))
        return BODY_FILTER_DONE; /* the usual case */
    enum body_status status = body_rewrite(&filter->rewriter, incoming, start, scanner, &result);
    bool done = true;

    if (status == BODY_UNREADABLE)
        metrics_add(&filter->metrics->unreadable, 1);
    for (unsigned fault = 0; fault < EVENT_FAULT_EVENTS && scanner->mode == SCANNER_PACKED; fault++)
        metrics_add(&filter->metrics->invalid_events[fault], result.faults[fault]);
    if (status == BODY_REWRITTEN)
        done = result_take(filter, incoming, start, scanner, &result);
    buffer_clear(&result.bytes);
    return !done ? BODY_FILTER_NO_MEMORY : status == BODY_EMPTY ? BODY_FILTER_EMPTY : BODY_FILTER_DONE;
}

bool body_filter_skip_invalid(struct body_filter *filter, struct buffer *incoming, size_t start,
                              struct scanner *scanner)
{
    struct body_result result;
    bool done = true;

    if (body_skip_invalid(incoming, start, scanner, &result) == BODY_REWRITTEN)
        done = result_take(filter, incoming, start, scanner, &result);
    buffer_clear(&result.bytes);
    return done;
}
