#include "forward/msgpack_bytes.h"

#include <assert.h>
#include <string.h>

/* The meaning of a first byte 0xc0 … 0xdf. */
struct format {
    uint8_t kind;
    uint8_t count_bytes; /* width of the count after the first byte */
    uint8_t body_bytes;  /* bytes of the body that the count does not include */
};

static const struct format formats[32] = {
    { MSGPACK_NIL, 0, 0 },    { MSGPACK_RESERVED, 0, 0 }, { MSGPACK_BOOL, 0, 0 },   { MSGPACK_BOOL, 0, 0 },
    { MSGPACK_BIN, 1, 0 },    { MSGPACK_BIN, 2, 0 },      { MSGPACK_BIN, 4, 0 },    { MSGPACK_EXT, 1, 1 },
    { MSGPACK_EXT, 2, 1 },    { MSGPACK_EXT, 4, 1 },      { MSGPACK_NUMBER, 0, 4 }, { MSGPACK_NUMBER, 0, 8 },
    { MSGPACK_NUMBER, 0, 1 }, { MSGPACK_NUMBER, 0, 2 },   { MSGPACK_NUMBER, 0, 4 }, { MSGPACK_NUMBER, 0, 8 },
    { MSGPACK_NUMBER, 0, 1 }, { MSGPACK_NUMBER, 0, 2 },   { MSGPACK_NUMBER, 0, 4 }, { MSGPACK_NUMBER, 0, 8 },
    { MSGPACK_EXT, 0, 2 },    { MSGPACK_EXT, 0, 3 },      { MSGPACK_EXT, 0, 5 },    { MSGPACK_EXT, 0, 9 },
    { MSGPACK_EXT, 0, 17 },   { MSGPACK_STR, 1, 0 },      { MSGPACK_STR, 2, 0 },    { MSGPACK_STR, 4, 0 },
    { MSGPACK_ARRAY, 2, 0 },  { MSGPACK_ARRAY, 4, 0 },    { MSGPACK_MAP, 2, 0 },    { MSGPACK_MAP, 4, 0 },
};

void msgpack_bytes_init(struct msgpack_bytes *reader, const uint8_t *bytes, size_t length, size_t limit)
{
    *reader = (struct msgpack_bytes) { .bytes = bytes, .length = length, .limit = limit };
}

bool msgpack_bytes_refuse(struct msgpack_bytes *reader)
{
    reader->state = MSGPACK_BYTES_BAD;
    return false;
}

/* Takes the next `count` bytes; NULL when not all of them are there. */
static const uint8_t *take(struct msgpack_bytes *reader, uint64_t count)
{
    const uint8_t *bytes;

    if (count > reader->limit - reader->at) {
        reader->state = MSGPACK_BYTES_BAD;
        return NULL;
    }
    if (count > reader->length - reader->at) {
        reader->state = MSGPACK_BYTES_SHORT;
        return NULL;
    }
    bytes = reader->bytes + reader->at;
    reader->at += (size_t)count;
    return bytes;
}

/* Decodes a first byte below 0xc0 or above 0xdf, which is the whole header. */
static void item_set_short(struct msgpack_item *item, uint8_t first)
{
    if (first >= 0x80 && first <= 0x8f) {
        item->kind = MSGPACK_MAP;
        item->count = first & 0x0f;
    } else if (first >= 0x90 && first <= 0x9f) {
        item->kind = MSGPACK_ARRAY;
        item->count = first & 0x0f;
    } else if (first >= 0xa0 && first <= 0xbf) {
        item->kind = MSGPACK_STR;
        item->count = first & 0x1f;
    } else {
        item->kind = MSGPACK_NUMBER;
        item->count = 0;
    }
}

/* Decodes a first byte 0xc0 … 0xdf and the count after it, if there is one. */
static bool item_set_long(struct msgpack_bytes *reader, struct msgpack_item *item, uint8_t first)
{
    const struct format *format = &formats[first - 0xc0];
    const uint8_t *bytes;
    uint64_t count = 0;

    if (format->kind == MSGPACK_RESERVED)
        return msgpack_bytes_refuse(reader);
    bytes = take(reader, format->count_bytes);
    if (!bytes)
        return false;
    for (unsigned i = 0; i < format->count_bytes; i++)
        count = count << 8 | bytes[i];
    item->kind = (enum msgpack_kind)format->kind;
    item->count = format->kind == MSGPACK_BOOL ? first & 1U : count + format->body_bytes;
    return true;
}

bool msgpack_bytes_next(struct msgpack_bytes *reader, struct msgpack_item *item)
{
    const uint8_t *first;

    if (reader->state != MSGPACK_BYTES_GOOD)
        return false;
    item->start = reader->at;
    first = take(reader, 1);
    if (!first)
        return false;
    if (*first < 0xc0 || *first > 0xdf)
        item_set_short(item, *first);
    else if (!item_set_long(reader, item, *first))
        return false;

    switch (item->kind) {
    case MSGPACK_NUMBER:
    case MSGPACK_STR:
    case MSGPACK_BIN:
    case MSGPACK_EXT:
        item->body = take(reader, item->count);
        return item->body != NULL;
    default:
        item->body = NULL;
        return true;
    }
}

bool msgpack_bytes_expect(struct msgpack_bytes *reader, enum msgpack_kind kind, struct msgpack_item *item)
{
    if (!msgpack_bytes_next(reader, item))
        return false;
    return item->kind == kind || msgpack_bytes_refuse(reader);
}

bool msgpack_bytes_expect_text(struct msgpack_bytes *reader, struct msgpack_item *item)
{
    if (!msgpack_bytes_next(reader, item))
        return false;
    return item->kind == MSGPACK_STR || item->kind == MSGPACK_BIN || msgpack_bytes_refuse(reader);
}

bool msgpack_bytes_next_whole(struct msgpack_bytes *reader, struct msgpack_item *item)
{
    struct msgpack_item inner;
    struct msgpack_item *now = item;
    uint64_t pending = 1; /* values still missing; each has at least one byte, so the limit bounds them */

    while (pending) {
        if (!msgpack_bytes_next(reader, now))
            return false;
        pending--;
        if (now->kind == MSGPACK_ARRAY)
            pending += now->count;
        else if (now->kind == MSGPACK_MAP)
            pending += 2 * now->count;
        if (pending > reader->limit - reader->at)
            return msgpack_bytes_refuse(reader);
        now = &inner;
    }
    return true;
}

bool msgpack_bytes_integer(const struct msgpack_bytes *reader, const struct msgpack_item *item,
                           uint64_t *value)
{
    uint8_t first = reader->bytes[item->start];
    bool is_signed = first >= 0xd0 && first <= 0xd3;

    *value = 0;
    if (first <= 0x7f) {
        *value = first;
        return true;
    }
    if (!(first >= 0xcc && first <= 0xd3) || (is_signed && item->body[0] & 0x80))
        return false;
    for (uint64_t i = 0; i < item->count; i++)
        *value = *value << 8 | item->body[i];
    return true;
}

bool msgpack_item_is(const struct msgpack_item *item, const char *text)
{
    return (item->kind == MSGPACK_STR || item->kind == MSGPACK_BIN) && item->count == strlen(text) &&
           memcmp(item->body, text, item->count) == 0;
}

/* The largest count in a header of `width` bytes; -1 when no such header exists. */
static int64_t count_max(enum msgpack_kind kind, size_t width)
{
    switch (width) {
    case 1:
        return kind == MSGPACK_STR ? 31 : kind == MSGPACK_BIN ? -1 : 15;
    case 2:
        return kind == MSGPACK_STR || kind == MSGPACK_BIN ? UINT8_MAX : -1;
    case 3:
        return UINT16_MAX;
    case 5:
        return UINT32_MAX;
    default:
        return -1;
    }
}

/* The first byte of a header of `width` bytes, without the count. */
static uint8_t first_byte(enum msgpack_kind kind, size_t width)
{
    unsigned wider = width == 5 ? 1 : 0; /* array32 and map32 are one above array16 and map16 */

    switch (kind) {
    case MSGPACK_STR:
        return width == 1 ? 0xa0 : (uint8_t)(0xd9 + (width - 1) / 2);
    case MSGPACK_BIN:
        return (uint8_t)(0xc4 + (width - 1) / 2);
    case MSGPACK_ARRAY:
        return width == 1 ? 0x90 : (uint8_t)(0xdc + wider);
    default:
        assert(kind == MSGPACK_MAP);
        return width == 1 ? 0x80 : (uint8_t)(0xde + wider);
    }
}

size_t msgpack_bytes_put_header(uint8_t to[MSGPACK_HEADER_BYTES_MAX], enum msgpack_kind kind, uint32_t count,
                                size_t width_min)
{
    size_t width = width_min ? width_min : 1;

    assert(width <= MSGPACK_HEADER_BYTES_MAX);
    while (count > count_max(kind, width))
        width++;
    to[0] = first_byte(kind, width);
    if (width == 1)
        to[0] |= (uint8_t)count;
    for (size_t i = 1; i < width; i++)
        to[i] = (uint8_t)(count >> 8 * (width - 1 - i));
    return width;
}

size_t msgpack_bytes_put_integer(uint8_t to[MSGPACK_INTEGER_BYTES_MAX], uint64_t value)
{
    unsigned exponent = 0; /* the value takes 1 << exponent bytes after the first one */
    size_t width;

    if (value <= 0x7f) {
        to[0] = (uint8_t)value;
        return 1;
    }
    while (exponent < 3 && value >> (8U << exponent))
        exponent++;
    width = 1U << exponent;
    to[0] = (uint8_t)(0xcc + exponent);
    for (size_t i = 0; i < width; i++)
        to[1 + i] = (uint8_t)(value >> 8 * (width - 1 - i));
    return 1 + width;
}

size_t msgpack_bytes_put_str(uint8_t *to, const char *text)
{
    size_t length = strlen(text);
    size_t header = msgpack_bytes_put_header(to, MSGPACK_STR, (uint32_t)length, 1);

    for (size_t i = 0; i < length; i++)
        to[header + i] = (uint8_t)text[i];
    return header + length;
}
