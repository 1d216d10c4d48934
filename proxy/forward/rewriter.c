#include "forward/rewriter.h"

#include "forward/msgpack_bytes.h"

#include <assert.h>
#include <string.h>

static const uint8_t chunk_key[] = { 0xa5, 'c', 'h', 'u', 'n', 'k' };

enum { CHUNK_PAIR_BYTES = sizeof chunk_key + CHUNK_ID_VALUE_BYTES };

void chunk_id_write(uint8_t value[CHUNK_ID_VALUE_BYTES], const uint8_t random[16])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t *to = value;

    *to++ = 0xa0 + CHUNK_ID_BYTES;
    for (unsigned i = 0; i < 15; i += 3) {
        unsigned bits = (unsigned)random[i] << 16 | (unsigned)random[i + 1] << 8 | random[i + 2];

        *to++ = (uint8_t)digits[bits >> 18];
        *to++ = (uint8_t)digits[bits >> 12 & 63];
        *to++ = (uint8_t)digits[bits >> 6 & 63];
        *to++ = (uint8_t)digits[bits & 63];
    }
    *to++ = (uint8_t)digits[random[15] >> 2];
    *to++ = (uint8_t)digits[(random[15] & 3) << 4];
    *to++ = '~';
    *to++ = '1';
    assert(to == value + CHUNK_ID_VALUE_BYTES);
}

bool chunk_id_is_of_husk(const uint8_t *value, size_t length)
{
    return length == CHUNK_ID_VALUE_BYTES && value[0] == 0xa0 + CHUNK_ID_BYTES && value[length - 2] == '~' &&
           value[length - 1] == '1';
}

static uint32_t span_length(const struct span *span)
{
    assert(span->end - span->start <= UINT32_MAX);
    return (uint32_t)(span->end - span->start);
}

static size_t chunk_pair_write(uint8_t to[CHUNK_PAIR_BYTES], const uint8_t chunk_value[CHUNK_ID_VALUE_BYTES])
{
    memcpy(to, chunk_key, sizeof chunk_key);
    memcpy(to + sizeof chunk_key, chunk_value, CHUNK_ID_VALUE_BYTES);
    return CHUNK_PAIR_BYTES;
}

static void put(struct rewrite *rewrite, const void *bytes, size_t length)
{
    assert(length <= sizeof rewrite->bytes - rewrite->used);
    memcpy(rewrite->bytes + rewrite->used, bytes, length);
    rewrite->used += (uint32_t)length;
}

static struct edit *edit_begin(struct rewrite *rewrite, uint64_t at, uint32_t remove)
{
    struct edit *edit = &rewrite->edits[rewrite->count];

    assert(rewrite->count < REWRITE_EDITS_MAX);
    rewrite->count++;
    *edit = (struct edit) { .at = at, .remove = remove, .insert = { rewrite->used, rewrite->used } };
    return edit;
}

static void edit_end(struct rewrite *rewrite, struct edit *edit)
{
    edit->insert.end = rewrite->used;
    rewrite->growth += (int64_t)(edit->insert.end - edit->insert.start) - (int64_t)edit->remove;
}

/* Adds one element to the outer array. */
static void plan_array(struct rewrite *rewrite, const struct scanner *message)
{
    uint8_t header[MSGPACK_HEADER_BYTES_MAX];
    uint32_t width = span_length(&message->array);
    uint32_t elements = message->mode == SCANNER_MESSAGE ? 3 : 2;
    size_t length = msgpack_bytes_put_header(header, MSGPACK_ARRAY, elements + 1, width);
    struct edit *edit = edit_begin(rewrite, message->array.start, width);

    put(rewrite, header, length);
    edit_end(rewrite, edit);
}

/* Spans do not say whether the tag is a str or a bin. If the header keeps its width, its first byte stays,
 * and so does the type. If the header must grow, a bin becomes a str, which every aggregator takes (Fluent
 * Bit takes nothing else). */
static void plan_tag(struct rewrite *rewrite, const struct scanner *message, const char *prefix,
                     size_t prefix_length)
{
    uint8_t header[MSGPACK_HEADER_BYTES_MAX];
    uint32_t width = (uint32_t)(message->tag.start - message->tag_value.start);
    uint32_t length = span_length(&message->tag);
    uint32_t keep;
    size_t width_new;
    struct edit *edit;

    assert(prefix_length <= REWRITE_PREFIX_BYTES_MAX && length <= UINT32_MAX - REWRITE_PREFIX_BYTES_MAX);
    width_new = msgpack_bytes_put_header(header, MSGPACK_STR, length + (uint32_t)prefix_length, width);
    keep = width > 1 && width_new == width ? 1 : 0;
    edit = edit_begin(rewrite, message->tag_value.start + keep, width - keep);
    put(rewrite, header + keep, width_new - keep);
    put(rewrite, prefix, prefix_length);
    edit_end(rewrite, edit);
}

/* Adds the chunk as the last pair of the option. If the agent wrote a nil chunk, the last pair counts
 * (Fluentd). A new map replaces a nil option. */
static void plan_option(struct rewrite *rewrite, const struct scanner *message,
                        const uint8_t chunk_value[CHUNK_ID_VALUE_BYTES])
{
    uint8_t header[MSGPACK_HEADER_BYTES_MAX];
    uint8_t pair[CHUNK_PAIR_BYTES];
    uint32_t width = span_length(&message->option_header);
    bool is_map = width > 0;
    uint64_t start = message->has_option ? message->option.start : message->length;
    uint64_t end = message->has_option ? message->option.end : message->length;
    struct edit *edit;
    size_t length;

    assert(message->option_pairs < UINT32_MAX);
    length = msgpack_bytes_put_header(header, MSGPACK_MAP, message->option_pairs + 1, width);
    edit = edit_begin(rewrite, start, is_map ? width : (uint32_t)(end - start));
    put(rewrite, header, length);
    edit_end(rewrite, edit);

    edit = edit_begin(rewrite, end, 0);
    length = chunk_pair_write(pair, chunk_value);
    put(rewrite, pair, length);
    edit_end(rewrite, edit);
    rewrite->chunk.end =
        message->length + (uint64_t)rewrite->growth; /* the option is the end of the message */
    rewrite->chunk.start = rewrite->chunk.end - CHUNK_ID_VALUE_BYTES;
}

void rewrite_plan_head(struct rewrite *rewrite, const struct scanner *message, const char *prefix,
                       size_t prefix_length, const uint8_t chunk_value[CHUNK_ID_VALUE_BYTES])
{
    rewrite->count = 0;
    rewrite->used = 0;
    rewrite->chunk = (struct span) { 0 };
    rewrite->growth = 0;
    if (chunk_value && !message->has_option)
        plan_array(rewrite, message);
    if (prefix_length)
        plan_tag(rewrite, message, prefix, prefix_length);
}

void rewrite_plan(struct rewrite *rewrite, const struct scanner *message, const char *prefix,
                  size_t prefix_length, const uint8_t chunk_value[CHUNK_ID_VALUE_BYTES])
{
    bool has_chunk = scanner_asks_ack(message);

    rewrite_plan_head(rewrite, message, prefix, prefix_length, chunk_value);
    if (has_chunk) {
        /* all edits so far are before the option */
        rewrite->chunk.start = message->chunk.start + (uint64_t)rewrite->growth;
        rewrite->chunk.end = message->chunk.end + (uint64_t)rewrite->growth;
    } else if (chunk_value) {
        plan_option(rewrite, message, chunk_value);
    }
}
