#include "base/utf8.h"

#include <string.h>

/* By first byte: the number of following bytes, and the range of the second byte (RFC 3629, section 4). */
static const struct utf8_range {
    uint8_t first, last;
    uint8_t following;
    uint8_t second_min, second_max;
} ranges[] = {
    { 0x00, 0x7f, 0, 0x00, 0x00 }, { 0xc2, 0xdf, 1, 0x80, 0xbf }, { 0xe0, 0xe0, 2, 0xa0, 0xbf },
    { 0xe1, 0xec, 2, 0x80, 0xbf }, { 0xed, 0xed, 2, 0x80, 0x9f }, { 0xee, 0xef, 2, 0x80, 0xbf },
    { 0xf0, 0xf0, 3, 0x90, 0xbf }, { 0xf1, 0xf3, 3, 0x80, 0xbf }, { 0xf4, 0xf4, 3, 0x80, 0x8f },
};

static const struct utf8_range *range_of(uint8_t first)
{
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        if (first >= ranges[i].first && first <= ranges[i].last)
            return &ranges[i];
    }
    return NULL;
}

size_t utf8_character_bytes(const char *text, size_t length)
{
    const uint8_t *bytes = (const uint8_t *)text;
    const struct utf8_range *range = range_of(bytes[0]);

    if (!range || range->following >= length)
        return 0;
    if (range->following && (bytes[1] < range->second_min || bytes[1] > range->second_max))
        return 0;
    for (size_t i = 2; i <= range->following; i++) {
        if (bytes[i] < 0x80 || bytes[i] > 0xbf)
            return 0;
    }
    return range->following + 1U;
}

uint32_t utf8_code_point(const char *text, size_t bytes)
{
    static const uint8_t masks[] = { 0x7f, 0x1f, 0x0f, 0x07 }; /* bits of the first byte, by length */
    uint32_t point = (uint8_t)text[0] & masks[bytes - 1];

    for (size_t i = 1; i < bytes; i++)
        point = point << 6 | ((uint8_t)text[i] & 0x3f);
    return point;
}

bool utf8_is_valid(const char *text, size_t length)
{
    for (size_t at = 0; at < length;) {
        size_t bytes = utf8_character_bytes(text + at, length - at);
        if (!bytes)
            return false;
        at += bytes;
    }
    return true;
}

bool utf8_is_hidden(uint32_t point)
{
    static const struct {
        uint32_t first, last;
    } hidden[] = { { 0x00, 0x1f },     { 0x7f, 0x9f },     { 0x61c, 0x61c },   { 0x200b, 0x200f },
                   { 0x2028, 0x202e }, { 0x2060, 0x2069 }, { 0xfeff, 0xfeff }, { 0xe0000, 0xe007f } };

    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++) {
        if (point >= hidden[i].first && point <= hidden[i].last)
            return true;
    }
    return false;
}

void utf8_clean(char *text)
{
    size_t to = 0, bytes;

    for (size_t from = 0; text[from]; from += bytes ? bytes : 1) {
        bytes = utf8_character_bytes(text + from, strnlen(text + from, 4));
        if (!bytes || utf8_is_hidden(utf8_code_point(text + from, bytes))) {
            text[to++] = '?';
            continue;
        }
        memmove(text + to, text + from, bytes);
        to += bytes;
    }
    text[to] = '\0';
}
