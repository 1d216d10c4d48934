#include "delivery/body_filter.h"

#include "delivery/message.h"

#include <assert.h>

void body_filter_init(struct body_filter *filter, const struct route_options *route,
                      struct body_metrics *metrics)
{
    *filter = (struct body_filter) { .metrics = metrics };
    body_filter_set_options(filter, route);
}

void body_filter_set_options(struct body_filter *filter, const struct route_options *route)
{
    filter->rewriter.options = route->body;
    filter->fields = (struct body_fields_options) { .message_max = route->scanner.message_bytes,
                                                    .inflated_max = route->body.inflated_max };
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

/* The framer has counted the invalid events of the other modes. */
static void faults_count(struct body_metrics *metrics, const struct body_result *result,
                         const struct scanner *scanner)
{
    for (unsigned fault = 0; fault < EVENT_FAULT_EVENTS && scanner->mode == SCANNER_PACKED; fault++)
        metrics_add(&metrics->invalid_events[fault], result->faults[fault]);
}

/* The limits of the agent are for what the agent sends: a message may be longer with the fields. */
static bool identified_take(struct buffer *incoming, size_t start, struct scanner *scanner,
                            struct body_result *result)
{
    const struct scanner_limits limits = { UINT32_MAX, UINT64_MAX, SCANNER_DEPTH_MAX };
    struct scanner rewritten;
    struct span message = { start, start + scanner->length };

    bool is_whole = message_scan(&rewritten, &limits, &result->bytes, 0);
    assert(is_whole);
    (void)is_whole;
    rewritten.limits = scanner->limits;
    *scanner = rewritten;
    return message_replace(incoming, message, &result->bytes);
}

static enum body_filter_result fields_put(struct body_filter *filter, struct buffer *incoming, size_t start,
                                          struct scanner *scanner, const struct record_fields *fields)
{
    const struct batch_message message = { incoming, start, scanner };
    struct body_result result;
    enum body_fields_status status =
        body_fields_add(&filter->rewriter, &message, fields, &filter->fields, &result);
    bool done = true;

    faults_count(filter->metrics, &result, scanner);
    if (status == BODY_FIELDS_ADDED) {
        metrics_add(&filter->metrics->rewritten[METRICS_BODY_IDENTIFIED], 1);
        done = identified_take(incoming, start, scanner, &result);
    }
    buffer_clear(&result.bytes);
    switch (status) {
    case BODY_FIELDS_EMPTY:
        return BODY_FILTER_EMPTY;
    case BODY_FIELDS_REFUSED:
        metrics_add(&filter->metrics->unreadable, 1);
        return BODY_FILTER_REFUSED;
    case BODY_FIELDS_TOO_LONG:
        return BODY_FILTER_TOO_LONG;
    case BODY_FIELDS_NO_MEMORY:
        return BODY_FILTER_NO_MEMORY;
    default:
        return done ? BODY_FILTER_DONE : BODY_FILTER_NO_MEMORY;
    }
}

enum body_filter_result body_filter_rewrite(struct body_filter *filter, struct buffer *incoming, size_t start,
                                            struct scanner *scanner, const struct record_fields *fields)
{
    struct body_result result;

    if (fields->count) {
        enum body_filter_result put = fields_put(filter, incoming, start, scanner, fields);
        if (put != BODY_FILTER_DONE)
            return put;
    }
    if (!body_options_ask(&filter->rewriter.options))
        return BODY_FILTER_DONE; /* the usual case */
    enum body_status status = body_rewrite(&filter->rewriter, incoming, start, scanner, &result);
    bool done = true;

    if (status == BODY_UNREADABLE)
        metrics_add(&filter->metrics->unreadable, 1);
    faults_count(filter->metrics, &result, scanner);
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
