#include "delivery/cut_through.h"

#include <stdlib.h>

static struct cut_through *cut_through_of(struct exclusive_request *request)
{
    return (struct cut_through *)request;
}

static struct message_metrics *metrics_of(const struct cut_through *cut_through)
{
    return &cut_through->dispatcher->transport->metrics.messages;
}

static void retain(struct cut_through *cut_through, uint64_t bytes)
{
    unsettled_retain(&cut_through->dispatcher->unsettled, cut_through->message, bytes);
}

/* ---- callbacks of the dispatcher ---- */

static void on_granted(struct exclusive_request *request, struct upstream *upstream)
{
    struct cut_through *cut_through = cut_through_of(request);
    const struct buffer *kept = &cut_through->message->slices;
    struct buffer piece;

    cut_through->upstream = upstream;
    buffer_init(&piece, kept->pool);
    if (!buffer_share(&piece, kept) || !upstream_put(upstream, &piece))
        upstream_fail(upstream, END_NO_MEMORY);
    buffer_clear(&piece);
    sender_wake(cut_through->sender);
}

static void on_space(struct exclusive_request *request)
{
    sender_wake(cut_through_of(request)->sender);
}

static void on_lost(struct exclusive_request *request, enum end_reason reason)
{
    struct cut_through *cut_through = cut_through_of(request);
    struct message_metrics *metrics = metrics_of(cut_through);

    cut_through->upstream = NULL;
    if (retry_can_restart(&cut_through->dispatcher->retry, cut_through->message, cut_through->taken_bytes)) {
        metrics_add(&metrics->retried, 1);
        return;
    }
    bool is_kept = cut_through->message->is_kept;
    if (!cut_through->sender->is_remote || !is_kept) { /* else it counts at the end of the message */
        metrics_add(&metrics->received, 1);
        unsettled_note_loss(&cut_through->dispatcher->unsettled, reason, 1);
    }
    sender_fail(cut_through->sender, is_kept ? reason : END_UNDELIVERED);
}

static void on_overdue(struct exclusive_request *request)
{
    sender_fail(cut_through_of(request)->sender, END_UNDELIVERED);
}

static const struct exclusive_events exclusive_events = {
    .on_granted = on_granted,
    .on_space = on_space,
    .on_lost = on_lost,
    .on_overdue = on_overdue,
};

/* ---- begin and end ---- */

struct cut_through *cut_through_open(struct dispatcher *dispatcher, struct sender *sender,
                                     const struct message_permit *permit, const struct scanner *scanner)
{
    const struct route_options *route = dispatcher->transport->route;
    bool is_protected = route->delivery == ROUTE_AT_LEAST_ONCE && scanner->announced <= route->retain_bytes;
    struct cut_through *cut_through = calloc(1, sizeof *cut_through);

    if (!cut_through)
        return NULL;
    cut_through->request.events = &exclusive_events;
    cut_through->request.sender = sender;
    cut_through->dispatcher = dispatcher;
    cut_through->sender = sender;
    cut_through->permit = permit;
    cut_through->message = message_open(&dispatcher->transport->reactor->pool,
                                        is_protected ? MESSAGE_PROTECTED : MESSAGE_UNPROTECTED);
    if (!cut_through->message) {
        free(cut_through);
        return NULL;
    }
    cut_through->request.message = cut_through->message;
    sender_mark(sender, cut_through->message);
    cut_through->has_chunk_value = is_protected;
    if (is_protected)
        chunk_ids_next(dispatcher->chunk_ids, cut_through->chunk_value);
    dispatcher_request(dispatcher, &cut_through->request);
    return cut_through;
}

void cut_through_abort(struct cut_through *cut_through)
{
    if (cut_through->upstream)
        upstream_abort(cut_through->upstream);
    else
        dispatcher_cancel(cut_through->dispatcher, &cut_through->request);
    retain(cut_through, 0);
    message_free(cut_through->message);
    free(cut_through);
}

bool cut_through_can_flow(const struct cut_through *cut_through)
{
    return cut_through->upstream && upstream_has_space(cut_through->upstream);
}

/* ---- bytes ---- */

/* Our chunk id, if the head announces one; else NULL. */
static const uint8_t *chunk_value_of(const struct cut_through *cut_through)
{
    return cut_through->has_chunk_value ? cut_through->chunk_value : NULL;
}

/* Sends rewritten bytes if there is a connection, and keeps them if the message is kept. */
static bool piece_put(struct cut_through *cut_through, struct buffer *piece)
{
    struct message *message = cut_through->message;

    if (!message_grow(message, piece))
        return false;
    if (message->is_kept) {
        retain(cut_through, sizeof *message + message->slices.length);
        if (cut_through->upstream && !read_budget_can_retain(cut_through->dispatcher->budget)) {
            message_unprotect(message);
            retain(cut_through, 0);
        }
    }
    return !cut_through->upstream || upstream_put(cut_through->upstream, piece);
}

/* Removes the bytes of the message up to `end`, counted as read, from `incoming`, rewrites them and sends
 * them. */
static enum end_reason bytes_take(struct cut_through *cut_through, struct buffer *incoming, uint64_t end,
                                  const struct rewrite *rewrite)
{
    struct span range = { cut_through->taken_bytes, end };
    struct buffer piece;

    buffer_init(&piece, incoming->pool);
    bool done = message_move(&piece, incoming, range, rewrite) && piece_put(cut_through, &piece);
    buffer_clear(&piece);
    cut_through->taken_bytes = end;
    return done ? END_NONE : END_NO_MEMORY;
}

enum end_reason cut_through_flow(struct cut_through *cut_through, struct buffer *incoming,
                                 const struct scanner *scanner)
{
    uint64_t end = scanner->option.start ? scanner->option.start : scanner->length;
    struct rewrite rewrite = { 0 };

    if (scanner->option.start && scanner->announced - scanner->option.start > MESSAGE_OPTION_BYTES_MAX)
        return END_BAD_OPTION;
    if (!cut_through_can_flow(cut_through) || end == cut_through->taken_bytes)
        return END_NONE;
    if (!cut_through->taken_bytes)
        rewrite_plan_head(&rewrite, scanner, cut_through->permit->prefix, cut_through->permit->prefix_length,
                          chunk_value_of(cut_through));
    return bytes_take(cut_through, incoming, end, &rewrite);
}

/* Tells the message its chunk id and who waits for its ack. */
static void message_summarize(struct cut_through *cut_through, const struct buffer *incoming,
                              const struct scanner *scanner)
{
    const struct span *chunk = &scanner->chunk;
    uint8_t id[SCANNER_CHUNK_BYTES_MAX];
    struct message_summary summary = { .id = id, .events = scanner->entries };

    if (scanner_asks_ack(scanner)) {
        summary.ack = MESSAGE_AGENT_ACK;
        summary.id_length =
            buffer_peek(incoming, chunk->start - cut_through->taken_bytes, id, chunk->end - chunk->start);
    } else if (cut_through->has_chunk_value) {
        summary.ack = MESSAGE_OUR_ACK;
        summary.id = cut_through->chunk_value;
        summary.id_length = CHUNK_ID_VALUE_BYTES;
    }
    message_complete(cut_through->message, &summary);
}

enum end_reason cut_through_finish(struct cut_through *cut_through, struct buffer *incoming,
                                   const struct scanner *scanner)
{
    struct dispatcher *dispatcher = cut_through->dispatcher;
    struct message *message = cut_through->message;
    struct rewrite rewrite;

    if (scanner->option.end - scanner->option.start > MESSAGE_OPTION_BYTES_MAX)
        return END_BAD_OPTION;
    message_summarize(cut_through, incoming, scanner);
    rewrite_plan(&rewrite, scanner, cut_through->permit->prefix, cut_through->permit->prefix_length,
                 chunk_value_of(cut_through));
    if (!cut_through->upstream)
        message_keep(message); /* the whole message was read before a connection was granted */
    enum end_reason reason = bytes_take(cut_through, incoming, scanner->length, &rewrite);
    if (reason != END_NONE)
        return reason;
    if (cut_through->upstream) {
        dispatcher_complete(dispatcher, cut_through->sender, cut_through->upstream, message);
    } else {
        dispatcher_cancel(dispatcher, &cut_through->request);
        dispatcher_submit(dispatcher, cut_through->sender, message);
    }
    free(cut_through);
    return END_NONE;
}
