#include "support/messages.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void string_append(struct buffer *to, const char *text)
{
    size_t length = strlen(text);
    uint8_t short_header[] = { (uint8_t)(0xa0 | length) };
    uint8_t long_header[] = { 0xdb, (uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8),
                              (uint8_t)length };

    assert_true(length < 32 ? buffer_append(to, short_header, sizeof short_header)
                            : buffer_append(to, long_header, sizeof long_header));
    assert_true(buffer_append(to, text, length));
}

void messages_append(struct buffer *to, const char *tag, const char *text, const char *chunk)
{
    assert_true(buffer_append(to, chunk ? "\x94" : "\x93", 1));
    string_append(to, tag);
    assert_true(buffer_append(to, "\x01\x81\xa1m", 4));
    string_append(to, text);
    if (!chunk)
        return;
    assert_true(buffer_append(to,
                              "\x81\xa5"
                              "chunk",
                              7));
    string_append(to, chunk);
}

struct message *messages_make(struct buffer_pool *pool, const char *name, enum message_ack ack,
                              unsigned count)
{
    static const struct scanner_limits limits = { UINT32_MAX, UINT32_MAX, SCANNER_DEPTH_MAX };
    struct scanner last;
    struct rewrite rewrite;
    struct buffer bytes;
    uint8_t random[16] = { 0 }, value[CHUNK_ID_VALUE_BYTES];
    size_t last_at = 0;

    buffer_init(&bytes, pool);
    for (unsigned i = 0; i < count; i++) {
        char text[16];
        snprintf(text, sizeof text, "%u", i);
        last_at = bytes.length;
        messages_append(&bytes, name, text, ack == MESSAGE_AGENT_ACK && i + 1 == count ? name : NULL);
    }
    memcpy(random, name, strnlen(name, sizeof random));
    chunk_id_write(value, random);
    assert_true(message_scan(&last, &limits, &bytes, last_at));
    rewrite_plan(&rewrite, &last, "", 0, ack == MESSAGE_OUR_ACK ? value : NULL);
    struct message *message = message_take(&bytes, &(struct message_source) {
                                                       .length = bytes.length,
                                                       .last = &last,
                                                       .rewrite = &rewrite,
                                                       .count = count,
                                                       .events = count,
                                                       .ack = ack,
                                                       .is_protected = ack != MESSAGE_NO_ACK,
                                                   });
    assert_non_null(message);
    assert_int_equal(bytes.length, 0);
    return message;
}

void messages_expect_buffer(const struct buffer *buffer, const void *bytes, size_t length)
{
    uint8_t *copy = malloc(buffer->length + 1);

    assert_non_null(copy);
    assert_int_equal(buffer->length, length);
    assert_int_equal(buffer_peek(buffer, 0, copy, buffer->length), length);
    if (length)
        assert_memory_equal(copy, bytes, length);
    free(copy);
}

void messages_expect_bytes(const struct message *message, const void *bytes, size_t length)
{
    struct buffer written;

    buffer_init(&written, message->slices.pool);
    assert_true(message_write(message, &written));
    messages_expect_buffer(&written, bytes, length);
    buffer_clear(&written);
}
