#include "support/messages.h"

#include "forward/batch_encoder.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct scanner_limits limits = { UINT32_MAX, UINT32_MAX, SCANNER_DEPTH_MAX };

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

/* [name, bin of `count` entries, {"chunk": a husk's id, "size": count}] */
static void batch_append(struct buffer *to, const char *name, const uint8_t *id, unsigned count)
{
    struct buffer single;
    struct batch_encoder encoder;
    struct scanner scanner;
    const struct batch_message message = { &single, 0, &scanner };

    batch_encoder_init(&encoder, to->pool);
    for (unsigned i = 0; i < count; i++) {
        char text[16];
        snprintf(text, sizeof text, "%u", i);
        buffer_init(&single, to->pool);
        messages_append(&single, name, text, NULL);
        assert_true(message_scan(&scanner, &limits, &single, 0));
        assert_true(i || batch_encoder_begin(&encoder, &message, "", 0));
        assert_true(batch_encoder_add(&encoder, &message, 1));
        buffer_clear(&single);
    }
    assert_true(batch_encoder_end(&encoder, id));
    assert_true(buffer_move(to, &encoder.bytes, encoder.bytes.length));
}

struct message *messages_make(struct buffer_pool *pool, const char *name, enum message_ack ack,
                              unsigned count)
{
    struct scanner scanner;
    struct rewrite rewrite;
    struct buffer bytes;
    uint8_t random[16] = { 0 }, value[CHUNK_ID_VALUE_BYTES];

    buffer_init(&bytes, pool);
    memcpy(random, name, strnlen(name, sizeof random));
    chunk_id_write(value, random);
    if (count > 1)
        batch_append(&bytes, name, value, count);
    else
        messages_append(&bytes, name, "0", ack == MESSAGE_AGENT_ACK ? name : NULL);
    assert_true(message_scan(&scanner, &limits, &bytes, 0));
    rewrite_plan(&rewrite, &scanner, "", 0, ack == MESSAGE_OUR_ACK ? value : NULL);
    struct message *message = message_take(&bytes, &(struct message_source) {
                                                       .length = bytes.length,
                                                       .rewrite = &rewrite,
                                                       .count = count,
                                                       .events = count,
                                                       .ack = ack,
                                                       .is_protected = ack != MESSAGE_NO_ACK,
                                                       .is_batch = count > 1,
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
