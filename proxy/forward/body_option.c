#include "forward/body_option.h"

#include "forward/msgpack_bytes.h"
#include "forward/shape.h"

#include <string.h>

static void option_read_compressed(struct body_option *option, const struct msgpack_item *value)
{
    option->is_unreadable = false;
    if (value->kind == MSGPACK_NIL || msgpack_item_is(value, compression_name(COMPRESSION_OFF)))
        option->compression = COMPRESSION_OFF;
    else if (msgpack_item_is(value, compression_name(COMPRESSION_GZIP)))
        option->compression = COMPRESSION_GZIP;
    else if (msgpack_item_is(value, compression_name(COMPRESSION_ZSTD)))
        option->compression = COMPRESSION_ZSTD;
    else
        option->is_unreadable = true;
}

/* Whether a value is an integer 0 in any form. */
static bool is_zero(const struct msgpack_bytes *reader, const struct msgpack_item *value)
{
    uint8_t first = reader->bytes[value->start];

    if (value->kind != MSGPACK_NUMBER || first == 0)
        return value->kind == MSGPACK_NUMBER;
    for (uint64_t i = 0; i < value->count; i++) {
        if (value->body[i])
            return false;
    }
    return shapes[first].kind == KIND_INT && value->count;
}

/* If an option has a key twice, the last one counts. */
static bool option_read_pair(struct body_option *option, struct msgpack_bytes *reader)
{
    struct msgpack_item key, value;
    size_t start = reader->at;

    if (!msgpack_bytes_next_whole(reader, &key) || !msgpack_bytes_next_whole(reader, &value))
        return false;
    if (msgpack_item_is(&key, "compressed")) {
        option_read_compressed(option, &value);
        return true;
    }
    if (msgpack_item_is(&key, "fluent_signal")) {
        option->is_log = is_zero(reader, &value);
    } else if (msgpack_item_is(&key, "size")) {
        option->has_size = true;
        option->size_at = option->length + value.start - start;
        option->size_end = option->length + reader->at - start;
    }
    memcpy(option->pairs + option->length, reader->bytes + start, reader->at - start);
    option->length += reader->at - start;
    option->count++;
    return true;
}

void body_option_read(struct body_option *option, const struct buffer *source, size_t start,
                      const struct scanner *scanner)
{
    uint8_t bytes[BODY_OPTION_BYTES_MAX];
    size_t length = (size_t)(scanner->option.end - scanner->option_header.end);
    struct msgpack_bytes reader;

    option->is_unreadable = false;
    option->is_log = true;
    option->has_size = false;
    option->compression = COMPRESSION_OFF;
    option->count = 0;
    option->length = 0;
    if (scanner->option_header.end == scanner->option_header.start)
        return; /* the option is absent or nil */
    if (length > sizeof bytes) {
        option->is_unreadable = true;
        return;
    }
    (void)buffer_peek(source, start + (size_t)scanner->option_header.end, bytes, length);
    msgpack_bytes_init(&reader, bytes, length, length);
    for (uint32_t i = 0; i < scanner->option_pairs; i++) {
        if (!option_read_pair(option, &reader)) {
            option->is_unreadable = true;
            return;
        }
    }
}

/* ---- the new option ---- */

static uint8_t *bytes_put(uint8_t *to, const uint8_t *bytes, size_t length)
{
    memcpy(to, bytes, length);
    return to + length;
}

size_t body_option_write(uint8_t *to, const struct body_option *option,
                         const struct body_option_change *change, size_t width)
{
    bool is_compressed = change->compression != COMPRESSION_OFF;
    bool corrects = change->size == BODY_SIZE_CORRECTED && option->has_size;
    bool adds = change->size != BODY_SIZE_KEPT && !option->has_size && is_compressed;
    size_t kept = corrects ? option->size_at : option->length, rest = corrects ? option->size_end : kept;
    uint8_t *at = to;

    at += msgpack_bytes_put_header(at, MSGPACK_MAP, option->count + adds + is_compressed, width);
    at = bytes_put(at, option->pairs, kept);
    if (corrects)
        at += msgpack_bytes_put_integer(at, change->count);
    at = bytes_put(at, option->pairs + rest, option->length - rest);
    if (adds) {
        at += msgpack_bytes_put_str(at, "size");
        at += msgpack_bytes_put_integer(at, change->count);
    }
    if (is_compressed) {
        at += msgpack_bytes_put_str(at, "compressed");
        at += msgpack_bytes_put_str(at, compression_name(change->compression));
    }
    return (size_t)(at - to);
}
