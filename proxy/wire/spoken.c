#include "wire/spoken.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

enum { SYSLOG_DIGITS_MAX = 3, SYSLOG_LENGTH_DIGITS_MAX = 7 };

/* `length` bytes at the front of a stream. Only the bits in `last_mask` of the last byte count. */
struct pattern {
    const char *bytes;
    size_t length;
    uint8_t last_mask;
    enum spoken spoken;
};

#define TEXT(text, spoken)        { text, sizeof(text) - 1, 0xff, spoken }
#define BITS(bytes, mask, spoken) { bytes, sizeof(bytes) - 1, mask, spoken }
#define COUNT_OF(array)           (sizeof(array) / sizeof *(array))

/* The first pattern that matches counts: a HELO also looks like a message with the tag "HELO". */
static const struct pattern patterns[] = {
    TEXT("\x16\x03", SPOKEN_TLS),
    TEXT("\x15\x03", SPOKEN_TLS),
    BITS("\x92\xa4HELO\x80", 0xf0, SPOKEN_HELO),
    BITS("\x92\xa0", 0xe0, SPOKEN_FORWARD), /* the tag: fixstr */
    BITS("\x92\xd8", 0xfc, SPOKEN_FORWARD), /* str 8, 16, 32 */
    BITS("\x92\xc4", 0xfc, SPOKEN_FORWARD), /* bin 8, 16, 32 */
    TEXT("\x93", SPOKEN_FORWARD),           /* Fluentd writes this byte alone */
    TEXT("\x94", SPOKEN_FORWARD),
    TEXT("\xc0", SPOKEN_FORWARD),
    TEXT("\x96\xa4PING", SPOKEN_PING),
    BITS("\xdc\x00\x00", 0xf8, SPOKEN_FORWARD), /* an array of 0 to 7 elements */
    BITS("\xdd\x00\x00\x00\x00", 0xf8, SPOKEN_FORWARD),
    TEXT("\x80", SPOKEN_ACK), /* Vector: an empty map for a message that it refuses */
    TEXT("{", SPOKEN_JSON),
    TEXT("[", SPOKEN_JSON),
    TEXT("GET ", SPOKEN_HTTP_REQUEST),
    TEXT("HEAD ", SPOKEN_HTTP_REQUEST),
    TEXT("POST ", SPOKEN_HTTP_REQUEST),
    TEXT("PUT ", SPOKEN_HTTP_REQUEST),
    TEXT("DELETE ", SPOKEN_HTTP_REQUEST),
    TEXT("OPTIONS ", SPOKEN_HTTP_REQUEST),
    TEXT("PATCH ", SPOKEN_HTTP_REQUEST),
    TEXT("CONNECT ", SPOKEN_HTTP_REQUEST),
    TEXT("TRACE ", SPOKEN_HTTP_REQUEST),
    TEXT("PRI * HTTP/2.0", SPOKEN_HTTP_REQUEST),
    TEXT("HTTP/", SPOKEN_HTTP_RESPONSE),
    TEXT("PROXY ", SPOKEN_PROXY),
    TEXT("\r\n\r\n\0\r\nQUIT\n", SPOKEN_PROXY),
    TEXT("SSH-", SPOKEN_SSH),
};

/* The first key of a map. */
static const struct pattern keys[] = {
    TEXT("\xa3"
         "ack",
         SPOKEN_ACK),
    TEXT("\xb0waiting_every_ms", SPOKEN_LINK),
    TEXT("\xa6sender", SPOKEN_LINK),
    TEXT("\xa4gone", SPOKEN_LINK),
};

_Static_assert(sizeof "\x81\xb0waiting_every_ms" - 1 <= SPOKEN_BYTES_MAX, "the longest pattern fits");

/* Whether the bytes and the pattern are equal as far as both go. */
static bool pattern_agrees(const struct pattern *pattern, const uint8_t *bytes, size_t length)
{
    size_t last = pattern->length - 1;

    if (length <= last)
        return memcmp(bytes, pattern->bytes, length) == 0;
    return memcmp(bytes, pattern->bytes, last) == 0 &&
           (bytes[last] & pattern->last_mask) == (uint8_t)pattern->bytes[last];
}

static enum spoken pattern_find(const struct pattern *table, size_t count, const uint8_t *bytes,
                                size_t length)
{
    for (size_t i = 0; i < count; i++) {
        if (pattern_agrees(&table[i], bytes, length))
            return length < table[i].length ? SPOKEN_UNCLEAR : table[i].spoken;
    }
    return SPOKEN_OTHER;
}

/* The number of decimal digits at the front. */
static size_t digit_count(const uint8_t *bytes, size_t length)
{
    size_t count = 0;

    while (count < length && bytes[count] >= '0' && bytes[count] <= '9')
        count++;
    return count;
}

/* "<34>" or "<34>1", perhaps after a length: "117 <34>1". */
static enum spoken syslog_find(const uint8_t *bytes, size_t length)
{
    size_t digits = digit_count(bytes, length), at = digits ? digits + 1 : 0;

    if (digits > SYSLOG_LENGTH_DIGITS_MAX || (digits && digits < length && bytes[digits] != ' '))
        return SPOKEN_OTHER;
    if (at >= length)
        return SPOKEN_UNCLEAR;
    if (bytes[at++] != '<')
        return SPOKEN_OTHER;
    digits = digit_count(bytes + at, length - at);
    at += digits;
    if (digits > SYSLOG_DIGITS_MAX)
        return SPOKEN_OTHER;
    if (at == length)
        return SPOKEN_UNCLEAR;
    return digits && bytes[at] == '>' ? SPOKEN_SYSLOG : SPOKEN_OTHER;
}

enum spoken spoken_of(const uint8_t *bytes, size_t length)
{
    if (!length)
        return SPOKEN_NOTHING;
    enum spoken spoken = pattern_find(patterns, COUNT_OF(patterns), bytes, length);
    if (spoken == SPOKEN_OTHER && (bytes[0] & 0xf0) == 0x80)
        spoken = pattern_find(keys, COUNT_OF(keys), bytes + 1, length - 1);
    return spoken == SPOKEN_OTHER ? syslog_find(bytes, length) : spoken;
}

const char *spoken_name(enum spoken spoken)
{
    static const char *const names[SPOKEN_COUNT] = {
        [SPOKEN_NOTHING] = "nothing",
        [SPOKEN_UNCLEAR] = "unclear",
        [SPOKEN_TLS] = "tls",
        [SPOKEN_HELO] = "helo",
        [SPOKEN_FORWARD] = "forward",
        [SPOKEN_PING] = "ping",
        [SPOKEN_ACK] = "ack",
        [SPOKEN_LINK] = "link",
        [SPOKEN_HTTP_REQUEST] = "http_request",
        [SPOKEN_HTTP_RESPONSE] = "http_response",
        [SPOKEN_JSON] = "json",
        [SPOKEN_PROXY] = "proxy",
        [SPOKEN_SYSLOG] = "syslog",
        [SPOKEN_SSH] = "ssh",
        [SPOKEN_OTHER] = "other",
    };

    assert(spoken < SPOKEN_COUNT);
    return names[spoken];
}
