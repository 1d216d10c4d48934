#include "delivery/batch_builder.h"

#include <assert.h>
#include <stdlib.h>

static const struct route_options *route_of(const struct batch_builder *builder)
{
    return builder->shared->route;
}

static bool is_passthrough(const struct batch_builder *builder)
{
    return route_of(builder)->delivery == ROUTE_PASSTHROUGH;
}

static void batch_empty(struct batch_builder *builder)
{
    builder->count = 0;
    builder->events = 0;
    builder->held_bytes = 0;
    batch_encoder_clear(&builder->encoder);
}

/* ---- open and close ---- */

struct batch_builder *batch_builder_open(struct batch_builder_shared *shared)
{
    struct batch_builder *builder = shared->spare ? shared->spare : malloc(sizeof *builder);

    shared->spare = NULL;
    if (!builder)
        return NULL;
    builder->shared = shared;
    batch_encoder_init(&builder->encoder, shared->pool);
    batch_empty(builder);
    return builder;
}

void batch_builder_close(struct batch_builder *builder)
{
    struct batch_builder_shared *shared = builder->shared;

    batch_empty(builder);
    free(shared->spare);
    shared->spare = builder;
}

void batch_builder_shared_deinit(struct batch_builder_shared *shared)
{
    free(shared->spare);
    shared->spare = NULL;
}

/* ---- struct message ---- */

/* Where the bytes of a message come from. All pointers are borrowed. */
struct origin {
    struct buffer *bytes;    /* the message is at the front */
    struct scanner *scanner; /* at SCANNER_END */
    const char *prefix;
    size_t prefix_length;
    const struct record_fields *fields;
    unsigned count; /* messages that this husk has joined; 0: none, the message is as it came */
};

/* Makes an empty message of a message that has no event left. No agent waits for the ack of a batch that this
 * husk has made. */
static struct message *empty_make(const struct origin *origin)
{
    struct message *message =
        message_make_empty(origin->bytes, 0, origin->scanner, origin->count ? origin->count : 1);

    if (message && origin->count)
        message->ack = MESSAGE_OUR_ACK;
    buffer_consume(origin->bytes, origin->scanner->length);
    return message;
}

static enum end_reason reason_of(enum body_filter_result result)
{
    return result == BODY_FILTER_REFUSED    ? END_NO_IDENTITY
           : result == BODY_FILTER_TOO_LONG ? END_MESSAGE_TOO_LONG
                                            : END_NO_MEMORY;
}

/* A message of the agent that husk protects gets a chunk id if it has none. */
static enum end_reason message_make(struct batch_builder *builder, const struct origin *origin,
                                    struct message **made)
{
    const struct route_options *route = route_of(builder);
    struct scanner *whole = origin->scanner;
    uint8_t value[CHUNK_ID_VALUE_BYTES];
    struct rewrite rewrite;

    enum body_filter_result result =
        body_filter_rewrite(builder->shared->bodies, origin->bytes, 0, whole, origin->fields);
    if (result == BODY_FILTER_EMPTY) {
        *made = empty_make(origin);
        return *made ? END_NONE : END_NO_MEMORY;
    }
    if (result != BODY_FILTER_DONE)
        return reason_of(result);
    const struct batch_message as_batch = { origin->bytes, 0, whole };
    bool is_batch = batch_is_of_husk(&as_batch);
    bool is_protected = route->delivery == ROUTE_AT_LEAST_ONCE && whole->length <= route->retain_bytes;
    bool is_ours = is_protected && !scanner_asks_ack(whole);
    if (is_ours)
        chunk_ids_next(builder->shared->chunk_ids, value);
    rewrite_plan(&rewrite, whole, origin->prefix, origin->prefix_length, is_ours ? value : NULL);
    const struct message_source source = {
        .length = whole->length,
        .rewrite = &rewrite,
        .count = origin->count ? origin->count
                 : is_batch    ? (unsigned)whole->entries
                               : 1,
        .events = whole->entries,
        .ack = is_ours || origin->count  ? MESSAGE_OUR_ACK
               : scanner_asks_ack(whole) ? MESSAGE_AGENT_ACK
                                         : MESSAGE_NO_ACK,
        .is_protected = is_protected,
        .is_batch = is_batch,
    };
    *made = message_take(origin->bytes, &source);
    return *made ? END_NONE : END_NO_MEMORY;
}

bool batch_builder_skip_invalid(struct batch_builder *builder, const struct batch_candidate *candidate)
{
    assert(!builder->count);
    return body_filter_skip_invalid(builder->shared->bodies, candidate->incoming, 0, candidate->scanner);
}

enum end_reason batch_builder_pass(struct batch_builder *builder, const struct batch_candidate *candidate,
                                   struct message **message)
{
    const struct message_permit *permit = candidate->permit;
    const struct origin origin = { candidate->incoming,   candidate->scanner, permit->prefix,
                                   permit->prefix_length, &permit->fields,    0 };

    assert(!builder->count);
    return message_make(builder, &origin, message);
}

/* ---- what may be in a batch ---- */

uint64_t batch_builder_count(const struct batch_builder *builder, const struct batch_candidate *candidate)
{
    const struct batch_message message = { candidate->incoming, builder->held_bytes, candidate->scanner };

    return batch_is_of_husk(&message) ? candidate->scanner->entries : 1;
}

/* The longest batch. It must not become a message that is too long for --max-message. */
static uint64_t batch_limit(const struct batch_builder *builder, const struct message_permit *permit)
{
    const struct route_options *route = route_of(builder);
    uint64_t limit = route->batch_bytes < route->retain_bytes ? route->batch_bytes : route->retain_bytes;

    return permit->fields.count && limit > route->scanner.message_bytes ? route->scanner.message_bytes
                                                                        : limit;
}

/* The length of the current message with the fields, if it has this number of events. */
static uint64_t length_with(const struct batch_candidate *candidate, uint64_t events)
{
    return candidate->scanner->length + events * record_fields_growth_max(&candidate->permit->fields);
}

/* In passthrough husk asks for no ack: a batch is several unchanged messages that are handed up together. */
uint64_t batch_builder_events(const struct batch_builder *builder, const struct batch_candidate *candidate)
{
    const struct scanner *whole = candidate->scanner;
    const struct batch_message message = { candidate->incoming, builder->held_bytes, whole };
    uint64_t limit = batch_limit(builder, candidate->permit);

    if (scanner_asks_ack(whole) || whole->length > limit)
        return 0;
    if (is_passthrough(builder))
        return candidate->permit->prefix_length || candidate->permit->fields.count ? 0 : 1;
    uint64_t events = batch_events_of(&message);
    return length_with(candidate, events) > limit ? 0 : events;
}

/* The most bytes that the batch would have with this message, which has `events` events. The entries of a
 * message are shorter than the message. */
static uint64_t bytes_with(const struct batch_builder *builder, const struct batch_candidate *candidate,
                           uint64_t events)
{
    const struct span *tag = &candidate->scanner->tag;
    uint64_t entries = builder->held_bytes + builder->encoder.bytes.length +
                       length_with(candidate, builder->events + events);

    if (is_passthrough(builder))
        return entries;
    return entries + BATCH_FRAME_BYTES_MAX + candidate->permit->prefix_length + (tag->end - tag->start);
}

bool batch_builder_takes(const struct batch_builder *builder, const struct batch_candidate *candidate,
                         uint64_t events)
{
    const struct batch_message message = { candidate->incoming, builder->held_bytes, candidate->scanner };

    if (!builder->count)
        return true;
    if (bytes_with(builder, candidate, events) > batch_limit(builder, candidate->permit))
        return false;
    return is_passthrough(builder) || batch_encoder_has_tag_of(&builder->encoder, &message);
}

/* ---- the batch ---- */

size_t batch_builder_bytes(const struct batch_builder *builder)
{
    return builder->encoder.bytes.length;
}

/* Encodes the message at the front of `incoming`, and removes it. */
static bool message_encode(struct batch_builder *builder, struct buffer *incoming,
                           const struct scanner *scanner, uint64_t events)
{
    const struct batch_message message = { incoming, 0, scanner };
    bool done = batch_encoder_add(&builder->encoder, &message, events);

    buffer_consume(incoming, scanner->length);
    return done;
}

/* The first message stays as it is until another one joins it. */
bool batch_builder_add(struct batch_builder *builder, const struct batch_candidate *candidate,
                       uint64_t events)
{
    const struct message_permit *permit = candidate->permit;
    const struct batch_message message = { candidate->incoming, builder->held_bytes, candidate->scanner };
    bool done = true;

    if (!builder->count)
        builder->due_ms = candidate->now_ms + route_of(builder)->batch_delay_ms;
    if (is_passthrough(builder)) {
        done =
            body_filter_rewrite(builder->shared->bodies, candidate->incoming, builder->held_bytes,
                                candidate->scanner, &(struct record_fields) { 0 }) != BODY_FILTER_NO_MEMORY;
        events = candidate->scanner->entries;
        builder->held_bytes += candidate->scanner->length;
    } else if (!builder->count) {
        done = batch_encoder_begin(&builder->encoder, &message, permit->prefix, permit->prefix_length);
        builder->first = *candidate->scanner;
        builder->held_bytes = candidate->scanner->length;
    } else {
        if (builder->held_bytes)
            done = message_encode(builder, candidate->incoming, &builder->first, builder->events);
        builder->held_bytes = 0;
        done = done && message_encode(builder, candidate->incoming, candidate->scanner, events);
    }
    builder->count++;
    builder->events += events;
    if (!done)
        batch_empty(builder);
    return done;
}

/* Passthrough: the messages do not change. */
static enum end_reason unencoded_finish(struct batch_builder *builder, struct buffer *incoming,
                                        struct message **message)
{
    const struct rewrite none = { 0 };
    const struct message_source source = { .length = builder->held_bytes,
                                           .rewrite = &none,
                                           .count = builder->count,
                                           .events = builder->events,
                                           .ack = MESSAGE_NO_ACK };

    *message = message_take(incoming, &source);
    return *message ? END_NONE : END_NO_MEMORY;
}

static enum end_reason encoded_finish(struct batch_builder *builder, const struct record_fields *fields,
                                      struct message **message)
{
    const struct scanner_limits limits = { UINT32_MAX, UINT32_MAX, SCANNER_DEPTH_MAX };
    const struct origin origin = { &builder->encoder.bytes, &builder->first, "", 0, fields, builder->count };
    uint8_t value[CHUNK_ID_VALUE_BYTES];

    chunk_ids_next(builder->shared->chunk_ids, value);
    if (!batch_encoder_end(&builder->encoder, value))
        return END_NO_MEMORY;
    bool is_whole = message_scan(&builder->first, &limits, &builder->encoder.bytes, 0);
    assert(is_whole);
    (void)is_whole;
    return message_make(builder, &origin, message);
}

enum end_reason batch_builder_finish(struct batch_builder *builder, struct buffer *incoming,
                                     const struct message_permit *permit, struct message **message)
{
    const struct origin alone = { incoming,        &builder->first,
                                  permit->prefix,  permit->prefix_length,
                                  &permit->fields, 0 };
    enum end_reason reason;

    assert(builder->count);
    if (is_passthrough(builder))
        reason = unencoded_finish(builder, incoming, message);
    else if (builder->count == 1)
        reason = message_make(builder, &alone, message);
    else
        reason = encoded_finish(builder, &permit->fields, message);
    batch_empty(builder);
    return reason;
}
