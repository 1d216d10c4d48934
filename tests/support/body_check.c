#include "support/body_check.h"

#include "support/scan_check.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

void body_check_fill(struct buffer *buffer, const uint8_t *bytes, size_t length, const size_t *cuts,
                     size_t cut_count)
{
    struct buffer source;
    size_t at = 0;

    buffer_init(&source, buffer->pool);
    for (size_t i = 0; i <= cut_count; i++) {
        size_t end = i < cut_count ? cuts[i] : length;
        bool done = end == at || (buffer_append(&source, bytes + at, end - at) &&
                                  buffer_move(buffer, &source, end - at) && buffer_append(&source, "-", 1));
        /* The byte between two slices is consumed, so that they do not join. */
        buffer_consume(&source, source.length);
        if (!done)
            abort();
        at = end;
    }
}

bool body_check_scan(struct scanner *scanner, const struct buffer *buffer, size_t start)
{
    const struct scanner_limits limits = { .tag_bytes = 1024,
                                           .message_bytes = BODY_CHECK_BYTES_MAX,
                                           .depth = SCANNER_DEPTH_MAX };
    enum scanner_status status = SCANNER_MORE;

    scanner_init(scanner, &limits);
    for (size_t at = start; at < buffer->length && status != SCANNER_END && status != SCANNER_REFUSED;) {
        size_t length;
        const uint8_t *piece = buffer_view(buffer, at, &length);
        at += scanner_feed(scanner, piece, length, &status);
    }
    return status == SCANNER_END && !scanner->is_foreign;
}

void body_check_gather(struct bytes *to, const struct buffer *buffer)
{
    if (buffer->length > sizeof to->at)
        abort();
    to->length = buffer_peek(buffer, 0, to->at, buffer->length);
}

/* ---- the body, read by others ---- */

static bool gunzip_all(struct bytes *plain, const uint8_t *from, size_t length)
{
    z_stream stream = { 0 };
    int status = Z_STREAM_END;

    if (inflateInit2(&stream, MAX_WBITS + 16) != Z_OK)
        abort();
    stream.next_in = (z_const Bytef *)from;
    stream.avail_in = (uInt)length;
    stream.next_out = plain->at;
    stream.avail_out = sizeof plain->at;
    while (stream.avail_in && status == Z_STREAM_END) {
        (void)inflateReset(&stream);
        status = inflate(&stream, Z_FINISH);
    }
    plain->length = sizeof plain->at - stream.avail_out;
    inflateEnd(&stream);
    return status == Z_STREAM_END;
}

static size_t header_bytes(uint8_t first)
{
    switch (first) {
    case 0xc4:
    case 0xd9:
        return 2;
    case 0xc5:
    case 0xda:
    case 0xdc:
        return 3;
    case 0xc6:
    case 0xdb:
    case 0xdd:
        return 5;
    default:
        return 1;
    }
}

bool body_check_plain(struct bytes *plain, const struct bytes *message, const struct scanner *scanner,
                      enum compression method)
{
    const uint8_t *from = message->at + scanner->body.start + header_bytes(message->at[scanner->body.start]);
    size_t length = (size_t)(message->at + scanner->body.end - from);

    if (method == COMPRESSION_GZIP)
        return gunzip_all(plain, from, length);
    if (method == COMPRESSION_ZSTD) {
        plain->length = ZSTD_decompress(plain->at, sizeof plain->at, from, length);
        return !ZSTD_isError(plain->length);
    }
    memcpy(plain->at, from, length);
    plain->length = length;
    return true;
}

/* The bytes of the value at `at`; the value was read before. */
static size_t value_bytes(const struct bytes *plain, size_t at)
{
    size_t taken;

    (void)scan_oracle_entry(plain->at + at, plain->length - at, &taken);
    return taken;
}

static void add(struct bytes *to, const uint8_t *from, size_t length)
{
    if (length > sizeof to->at - to->length)
        abort();
    memcpy(to->at + to->length, from, length);
    to->length += length;
}

/* Whether the time at `at` is the one of a marker, in any form of EventTime. */
static bool is_marker_time(const uint8_t *time)
{
    unsigned header = *time == 0xd7 ? 1 : *time == 0xc7 ? 2 : *time == 0xc8 ? 3 : *time == 0xc9 ? 5 : 0;
    bool is_eight = header && (header == 1 || time[header - 1] == 8);

    for (unsigned i = 1; i + 1 < header; i++)
        is_eight = is_eight && time[i] == 0;
    return is_eight && time[header] == 0 && memcmp(time + header + 1, "\xff\xff\xff", 3) == 0 &&
           time[header + 4] >= 0xfe;
}

/* Adds the valid entry at `at`, of `length` bytes. */
static void entry_add(struct bytes *to, const struct bytes *plain, size_t at,
                      const struct body_options *options, struct body_check_counts *counts)
{
    size_t time = at + header_bytes(plain->at[at]), end = at + value_bytes(plain, at);
    uint8_t first = plain->at[time];
    bool is_pair = first >> 4 == 9 || first == 0xdc || first == 0xdd;
    size_t inner = time + (is_pair ? header_bytes(first) : 0), record = time + value_bytes(plain, time);

    counts->with_metadata += is_pair;
    if (is_pair && options->strip_metadata && is_marker_time(plain->at + inner)) {
        counts->left_out++;
        return;
    }
    counts->left++;
    if (!is_pair || !options->strip_metadata) {
        add(to, plain->at + at, end - at);
        return;
    }
    add(to, plain->at + at, time - at);
    add(to, plain->at + inner, value_bytes(plain, inner));
    add(to, plain->at + record, end - record);
}

bool body_check_filter(struct bytes *to, const struct bytes *plain, const struct body_options *options,
                       struct body_check_counts *counts)
{
    size_t taken;

    to->length = 0;
    *counts = (struct body_check_counts) { 0 };
    for (size_t at = 0; at < plain->length; at += taken) {
        enum event_fault fault = scan_oracle_entry(plain->at + at, plain->length - at, &taken);
        if (!taken || (fault != EVENT_FAULT_COUNT && !options->skip_invalid))
            return false;
        if (fault == EVENT_FAULT_COUNT)
            entry_add(to, plain, at, options, counts);
        else
            counts->left_out++;
    }
    return true;
}

/* ---- the frame, read by msgpack-c ---- */

static bool text_is(const msgpack_object *object, const char *text)
{
    size_t length = strlen(text);

    if (object->type == MSGPACK_OBJECT_STR)
        return object->via.str.size == length && memcmp(object->via.str.ptr, text, length) == 0;
    return object->type == MSGPACK_OBJECT_BIN && object->via.bin.size == length &&
           memcmp(object->via.bin.ptr, text, length) == 0;
}

static bool same(const msgpack_object *a, const msgpack_object *b)
{
    msgpack_sbuffer packed[2];

    for (unsigned i = 0; i < 2; i++) {
        msgpack_packer packer;
        msgpack_sbuffer_init(&packed[i]);
        msgpack_packer_init(&packer, &packed[i], msgpack_sbuffer_write);
        msgpack_pack_object(&packer, i ? *b : *a);
    }
    bool is_same =
        packed[0].size == packed[1].size && memcmp(packed[0].data, packed[1].data, packed[0].size) == 0;
    msgpack_sbuffer_destroy(&packed[0]);
    msgpack_sbuffer_destroy(&packed[1]);
    return is_same;
}

/* The map of the option; without pairs when there is no option. */
static msgpack_object_map option_of(const msgpack_object *message)
{
    const msgpack_object_array *array = &message->via.array;

    if (array->size < 3 || array->ptr[2].type != MSGPACK_OBJECT_MAP)
        return (msgpack_object_map) { 0 };
    return array->ptr[2].via.map;
}

/* The last value of a key; NULL: none. */
static const msgpack_object *pair_of(const msgpack_object_map *map, const char *key)
{
    const msgpack_object *value = NULL;

    for (uint32_t i = 0; i < map->size; i++) {
        if (text_is(&map->ptr[i].key, key))
            value = &map->ptr[i].val;
    }
    return value;
}

static enum compression compression_of(const msgpack_object_map *map)
{
    const msgpack_object *value = pair_of(map, "compressed");

    if (!value || !(value->type == MSGPACK_OBJECT_STR || value->type == MSGPACK_OBJECT_BIN))
        return COMPRESSION_OFF;
    return text_is(value, "gzip")   ? COMPRESSION_GZIP
           : text_is(value, "zstd") ? COMPRESSION_ZSTD
                                    : COMPRESSION_OFF;
}

/* All old pairs except "compressed" in order, with the new value of "size", then the added pairs. */
static const char *option_difference(const msgpack_object_map *before, const msgpack_object_map *after,
                                     const struct body_check_counts *counts, bool is_compressed)
{
    const msgpack_object *size = pair_of(after, "size"), *old_size = pair_of(before, "size");
    bool counts_changed = counts->left_out > 0;
    uint32_t at = 0;

    for (uint32_t i = 0; i < before->size; i++) {
        if (text_is(&before->ptr[i].key, "compressed"))
            continue;
        bool is_new = counts_changed && &before->ptr[i].val == old_size;
        if (at >= after->size || !same(&before->ptr[i].key, &after->ptr[at].key) ||
            (!is_new && !same(&before->ptr[i].val, &after->ptr[at].val)))
            return "a pair of the option";
        at++;
    }
    if ((!old_size && is_compressed) || (old_size && counts_changed)) {
        if (!size || size->type != MSGPACK_OBJECT_POSITIVE_INTEGER || size->via.u64 != counts->left)
            return "size";
        at += !old_size;
    }
    if (is_compressed && (at >= after->size || !text_is(&after->ptr[at++].key, "compressed")))
        return "compressed";
    return after->size == at ? NULL : "the number of pairs";
}

static const char *frame_difference(const msgpack_object *before, const msgpack_object *after,
                                    const struct body_result *result, const struct body_check_counts *counts)
{
    msgpack_object_map option_before = option_of(before), option_after = option_of(after);
    bool is_compressed = compression_of(&option_after) != COMPRESSION_OFF;

    if (!same(&before->via.array.ptr[0], &after->via.array.ptr[0]))
        return "the tag";
    if (result->is_compressed) {
        if (after->via.array.ptr[1].type != MSGPACK_OBJECT_BIN)
            return "a compressed body that is no bin";
        return option_difference(&option_before, &option_after, counts, true);
    }
    if (before->via.array.ptr[1].type != after->via.array.ptr[1].type)
        return "the body's type";
    if (before->via.array.size != after->via.array.size)
        return "the number of elements";
    if (counts->left_out && pair_of(&option_before, "size"))
        return option_difference(&option_before, &option_after, counts, is_compressed);
    return before->via.array.size < 3 || same(&before->via.array.ptr[2], &after->via.array.ptr[2])
               ? NULL
               : "the option";
}

static const char *body_difference(const struct bytes *before, const struct bytes *after,
                                   const struct body_options *options, const enum compression method[2],
                                   struct body_check_counts *counts)
{
    struct bytes *plain = malloc(3 * sizeof *plain);
    struct scanner scanner[2];
    struct buffer_pool pool = { 0 };
    const char *difference = NULL;

    for (unsigned i = 0; i < 2 && !difference; i++) {
        const struct bytes *message = i ? after : before;
        struct buffer buffer;
        buffer_init(&buffer, &pool);
        body_check_fill(&buffer, message->at, message->length, NULL, 0);
        if (!body_check_scan(&scanner[i], &buffer, 0) || scanner[i].length != message->length)
            difference = "it is no message any more";
        else if (!body_check_plain(&plain[i], message, &scanner[i], method[i]))
            difference = "its body cannot be inflated";
        buffer_clear(&buffer);
    }
    buffer_pool_deinit(&pool);
    if (!difference && body_check_filter(&plain[2], &plain[0], options, counts) &&
        (plain[2].length != plain[1].length || memcmp(plain[2].at, plain[1].at, plain[1].length) != 0))
        difference = "the entries";
    free(plain);
    return difference;
}

const char *body_check_difference(const struct bytes *before, const struct bytes *after,
                                  const struct body_result *result, const struct body_options *options)
{
    const struct bytes *messages[] = { before, after };
    msgpack_unpacked unpacked[2];
    enum compression method[2];
    const char *difference = NULL;
    struct body_check_counts counts = { 0 };

    msgpack_unpacked_init(&unpacked[0]);
    msgpack_unpacked_init(&unpacked[1]);
    for (unsigned i = 0; i < 2; i++) {
        size_t at = 0;
        if (msgpack_unpack_next(&unpacked[i], (const char *)messages[i]->at, messages[i]->length, &at) !=
            MSGPACK_UNPACK_SUCCESS) {
            difference = i ? "msgpack-c cannot read it any more" : NULL;
            goto out; /* what msgpack-c could not read before is not for it to judge */
        }
        msgpack_object_map option = option_of(&unpacked[i].data);
        method[i] = compression_of(&option);
    }
    difference = body_difference(before, after, options, method, &counts);
    if (!difference)
        difference = frame_difference(&unpacked[0].data, &unpacked[1].data, result, &counts);
    if (!difference && !counts.with_metadata && result->is_stripped)
        difference = "nothing was to be stripped";
    if (!difference &&
        (method[0] != COMPRESSION_OFF || result->is_compressed) != (method[1] != COMPRESSION_OFF))
        difference = "what it is compressed by";
out:
    msgpack_unpacked_destroy(&unpacked[0]);
    msgpack_unpacked_destroy(&unpacked[1]);
    return difference;
}
