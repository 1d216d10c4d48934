#include "forward/batch_encoder.h"

#include "forward/compression.h"
#include "forward/entries.h"
#include "forward/msgpack_bytes.h"

#include <assert.h>
#include <string.h>

static const uint8_t size_key[] = { 0xa4, 's', 'i', 'z', 'e' };
static const uint8_t chunk_key[] = { 0xa5, 'c', 'h', 'u', 'n', 'k' };

enum {
    ENTRY_HEADER = 0x92,  /* array of time and record */
    BATCH_HEADER = 0x93,  /* array of tag, body and option */
    OPTION_HEADER = 0x82, /* map of two pairs */
    BIN32 = 0xc6,         /* its length is known at the end of the batch */
    BIN32_HEADER_BYTES = 5,
};

/* ---- messages ---- */

static size_t span_length(const struct span *span)
{
    return (size_t)(span->end - span->start);
}

/* The length of the header at `at` in the message. */
static size_t header_length(const struct batch_message *message, uint64_t at)
{
    size_t length;

    return shapes[*buffer_view(message->bytes, message->start + (size_t)at, &length)].header;
}

/* The entries of the body, or time and record in Message mode. */
static struct span contents_of(const struct batch_message *message)
{
    struct span contents = message->scanner->body;

    if (message->scanner->mode != SCANNER_MESSAGE)
        contents.start += header_length(message, contents.start);
    return contents;
}

/* The contiguous bytes of the message at `at`, at most to `end`. */
static const uint8_t *piece_view(const struct batch_message *message, uint64_t at, uint64_t end,
                                 size_t *length)
{
    const uint8_t *bytes = buffer_view(message->bytes, message->start + (size_t)at, length);

    if (*length > end - at)
        *length = (size_t)(end - at);
    return bytes;
}

/* Whether these bytes of the message are at `at`. */
static bool bytes_are_at(const struct batch_message *message, uint64_t at, const uint8_t *bytes,
                         size_t length)
{
    uint8_t found[sizeof chunk_key];

    assert(length <= sizeof found);
    return buffer_peek(message->bytes, message->start + (size_t)at, found, length) == length &&
           memcmp(found, bytes, length) == 0;
}

/* Walks the entries in these bytes of the buffer. False: the last one is incomplete, or the bytes are not
 * MessagePack. */
static bool entries_walk(struct entries *entries, const struct buffer *bytes, size_t start, size_t end)
{
    size_t length;

    entries_init(entries);
    for (size_t at = start; at < end && !entries->refused; at += length) {
        const uint8_t *piece = buffer_view(bytes, at, &length);
        bool goes;
        length = length < end - at ? length : end - at;
        length = entries_feed(entries, piece, length, &goes);
    }
    return entries_is_between(entries);
}

uint64_t batch_events_of(const struct batch_message *message)
{
    const struct scanner *scanner = message->scanner;
    uint32_t pairs = scanner->option_pairs;

    if (scanner_asks_ack(scanner) || scanner->lacks_time || scanner_invalid_events(scanner) ||
        span_length(&scanner->tag) > BATCH_TAG_BYTES_MAX)
        return 0;
    if (pairs && (pairs > 1 || !bytes_are_at(message, scanner->option_header.end, size_key, sizeof size_key)))
        return 0;
    if (scanner->mode != SCANNER_PACKED)
        return scanner->entries;
    struct span contents = contents_of(message);
    struct entries entries;
    bool is_whole = entries_walk(&entries, message->bytes, message->start + (size_t)contents.start,
                                 message->start + (size_t)contents.end);
    return is_whole && !entries.kinds[ENTRY_INVALID] ? entries.count : 0;
}

bool batch_is_of_husk(const struct batch_message *message)
{
    const struct scanner *scanner = message->scanner;
    uint8_t id[CHUNK_ID_VALUE_BYTES];
    uint64_t pairs_start = scanner->option_header.end;

    if (scanner->mode != SCANNER_PACKED || scanner->entries < 2 || scanner->entries > BATCH_EVENTS_MAX ||
        span_length(&scanner->chunk) != sizeof id || scanner->chunk.start != pairs_start + sizeof chunk_key ||
        span_length(&scanner->tag) > BATCH_TAG_BYTES_MAX + REWRITE_PREFIX_BYTES_MAX)
        return false;
    buffer_peek(message->bytes, message->start + (size_t)scanner->chunk.start, id, sizeof id);
    return chunk_id_is_of_husk(id, sizeof id);
}

/* ---- the entries of a batch ---- */

static enum compression compression_of(const struct batch_message *batch)
{
    const struct span *text = &batch->scanner->compressed;
    uint8_t name[sizeof "gzip"] = { 0 };

    if (span_length(text) >= sizeof name)
        return COMPRESSION_OFF;
    buffer_peek(batch->bytes, batch->start + (size_t)text->start, name, span_length(text));
    for (enum compression method = COMPRESSION_GZIP; method <= COMPRESSION_ZSTD; method++) {
        if (strcmp((const char *)name, compression_name(method)) == 0)
            return method;
    }
    return COMPRESSION_OFF;
}

static int on_inflated(void *taker, const uint8_t *plain, size_t length)
{
    struct buffer *to = taker;

    return to->length + length > BATCH_BYTES_MAX || !buffer_append(to, plain, length);
}

bool batch_entries_copy(const struct batch_message *batch, uint64_t events, struct buffer *to)
{
    enum compression method = compression_of(batch);
    struct span contents = contents_of(batch);
    struct inflater inflater = { 0 };
    bool done = method == COMPRESSION_OFF || inflater_begin(&inflater, method);
    size_t length;

    for (uint64_t at = contents.start; at < contents.end && done; at += length) {
        const uint8_t *bytes = piece_view(batch, at, contents.end, &length);
        done = method == COMPRESSION_OFF ? buffer_append(to, bytes, length)
                                         : inflater_feed(&inflater, bytes, length, on_inflated, to) == 0;
    }
    done = done && (method == COMPRESSION_OFF || inflater_is_between(&inflater));
    inflater_deinit(&inflater);
    struct entries entries;
    return done && entries_walk(&entries, to, 0, to->length) && entries.count == events;
}

/* ---- the batch ---- */

void batch_encoder_init(struct batch_encoder *encoder, struct buffer_pool *pool)
{
    encoder->events = 0;
    encoder->tag_length = 0;
    buffer_init(&encoder->bytes, pool);
}

void batch_encoder_clear(struct batch_encoder *encoder)
{
    buffer_clear(&encoder->bytes);
    encoder->events = 0;
}

/* Short appends lie side by side in a segment that several buffers share: a batch holds no more memory than
 * its length. */
static bool bytes_append(struct buffer *to, const uint8_t *bytes, size_t length)
{
    for (size_t part; length; bytes += part, length -= part) {
        part = length < BUFFER_SHORT_APPEND ? length : BUFFER_SHORT_APPEND;
        if (!buffer_append(to, bytes, part))
            return false;
    }
    return true;
}

bool batch_encoder_begin(struct batch_encoder *encoder, const struct batch_message *message,
                         const char *prefix, size_t prefix_length)
{
    struct buffer *bytes = &encoder->bytes;
    uint8_t head[1 + MSGPACK_HEADER_BYTES_MAX] = { BATCH_HEADER };
    const uint8_t body[BIN32_HEADER_BYTES] = { BIN32 };
    const struct span *tag = &message->scanner->tag;

    assert(!bytes->length);
    encoder->events = 0;
    encoder->tag_length = span_length(tag);
    assert(encoder->tag_length <= sizeof encoder->tag);
    buffer_peek(message->bytes, message->start + (size_t)tag->start, encoder->tag, encoder->tag_length);
    size_t length = 1 + msgpack_bytes_put_header(head + 1, MSGPACK_STR,
                                                 (uint32_t)(prefix_length + encoder->tag_length), 0);
    encoder->length_at = length + prefix_length + encoder->tag_length + 1;
    return bytes_append(bytes, head, length) && bytes_append(bytes, (const uint8_t *)prefix, prefix_length) &&
           bytes_append(bytes, encoder->tag, encoder->tag_length) && bytes_append(bytes, body, sizeof body);
}

bool batch_encoder_has_tag_of(const struct batch_encoder *encoder, const struct batch_message *message)
{
    const struct span *tag = &message->scanner->tag;
    size_t part;

    if (span_length(tag) != encoder->tag_length)
        return false;
    for (size_t at = 0; at < encoder->tag_length; at += part) {
        const uint8_t *bytes = piece_view(message, tag->start + at, tag->end, &part);
        if (memcmp(bytes, encoder->tag + at, part) != 0)
            return false;
    }
    return true;
}

bool batch_encoder_append(struct batch_encoder *encoder, const uint8_t *bytes, size_t length, uint64_t events)
{
    encoder->events += events;
    return bytes_append(&encoder->bytes, bytes, length);
}

bool batch_encoder_add(struct batch_encoder *encoder, const struct batch_message *message, uint64_t events)
{
    const uint8_t header = ENTRY_HEADER;
    struct span contents = contents_of(message);
    size_t length;

    if (message->scanner->mode == SCANNER_MESSAGE && !bytes_append(&encoder->bytes, &header, 1))
        return false;
    for (uint64_t at = contents.start; at < contents.end; at += length) {
        const uint8_t *bytes = piece_view(message, at, contents.end, &length);
        if (!bytes_append(&encoder->bytes, bytes, length))
            return false;
    }
    encoder->events += events;
    return true;
}

bool batch_encoder_end(struct batch_encoder *encoder, const uint8_t chunk_value[CHUNK_ID_VALUE_BYTES])
{
    uint8_t option[1 + sizeof chunk_key + CHUNK_ID_VALUE_BYTES + sizeof size_key + MSGPACK_INTEGER_BYTES_MAX];
    uint8_t *at = option;
    uint64_t body = encoder->bytes.length - encoder->length_at - (BIN32_HEADER_BYTES - 1);
    const uint8_t length[] = { (uint8_t)(body >> 24), (uint8_t)(body >> 16), (uint8_t)(body >> 8),
                               (uint8_t)body };

    assert(body <= UINT32_MAX);
    buffer_patch(&encoder->bytes, encoder->length_at, length, sizeof length);
    *at++ = OPTION_HEADER;
    memcpy(at, chunk_key, sizeof chunk_key);
    memcpy(at + sizeof chunk_key, chunk_value, CHUNK_ID_VALUE_BYTES);
    at += sizeof chunk_key + CHUNK_ID_VALUE_BYTES;
    memcpy(at, size_key, sizeof size_key);
    at += sizeof size_key;
    at += msgpack_bytes_put_integer(at, encoder->events);
    return bytes_append(&encoder->bytes, option, (size_t)(at - option));
}
