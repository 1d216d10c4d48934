#include "load/messages.h"

#include "forward/msgpack_bytes.h"
#include "load/load.h"

#include <assert.h>
#include <string.h>

enum { EVENT_BYTES = 256, WIDE = 5 };

struct writer {
    uint8_t *at;
};

static void put(struct writer *writer, const void *bytes, size_t length)
{
    memcpy(writer->at, bytes, length);
    writer->at += length;
}

/* `width`: minimum bytes of the header. */
static void put_header(struct writer *writer, enum msgpack_kind kind, size_t count, size_t width)
{
    writer->at += msgpack_bytes_put_header(writer->at, kind, (uint32_t)count, width);
}

static void put_text(struct writer *writer, const char *text)
{
    put_header(writer, MSGPACK_STR, strlen(text), 1);
    put(writer, text, strlen(text));
}

static void put_time(struct writer *writer)
{
    put(writer, (const uint8_t[]) { 0xd7, 0, 0x65, 0xf0, 0x2a, 0x10, 0x1d, 0xcd, 0x65, 0 }, 10);
}

/* A str up to `end` with a header of WIDE bytes. The text is random, so that it compresses little. */
static void put_filling(struct writer *writer, const uint8_t *end)
{
    uint64_t state = 88172645463325252u;

    put_header(writer, MSGPACK_STR, (size_t)(end - writer->at) - WIDE, WIDE);
    while (writer->at < end) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *writer->at++ = (uint8_t)(' ' + (state & 63));
    }
}

/* The log line of a container with metadata, up to `end`. */
static void put_record(struct writer *writer, const uint8_t *end, size_t width)
{
    put_header(writer, MSGPACK_MAP, 4, width);
    put_text(writer, "stream");
    put_text(writer, "stdout");
    put_text(writer, "level");
    put_text(writer, "info");
    put_text(writer, "host");
    put_text(writer, "node-17.example.net");
    put_text(writer, "log");
    put_filling(writer, end);
}

static uint32_t put_events(struct writer *writer, const uint8_t *end)
{
    size_t space = (size_t)(end - writer->at) - WIDE;
    size_t count = space / EVENT_BYTES > 1 ? space / EVENT_BYTES : 1;
    const uint8_t *start;

    put_header(writer, MSGPACK_ARRAY, count, WIDE);
    start = writer->at;
    for (size_t i = 1; i <= count; i++) {
        put_header(writer, MSGPACK_ARRAY, 2, WIDE);
        put_time(writer);
        put_record(writer, i == count ? end : start + i * EVENT_BYTES, WIDE);
    }
    return (uint32_t)count;
}

enum message_kind message_kind_named(const char *name)
{
    static const char *const names[] = { "single", "events", "packed" };

    for (enum message_kind kind = 0; kind < sizeof names / sizeof *names; kind++)
        if (!strcmp(name, names[kind]))
            return kind;
    load_fail("%s: not a kind of message", name);
}

struct message message_make(enum message_kind kind, size_t length, enum message_ack ack)
{
    static const uint8_t option[] = { 0x81, 0xa5, 'c', 'h', 'u', 'n', 'k', 0xa0 + MESSAGE_ID_BYTES };
    size_t option_bytes = ack == MESSAGE_WITH_ID ? sizeof option + MESSAGE_ID_BYTES : 0;
    struct message message = { load_allocate(1, length), .length = length, .events = 1 };
    struct writer writer = { message.bytes };
    const uint8_t *end = message.bytes + length - option_bytes;

    assert(length >= MESSAGE_BYTES_MIN);
    put_header(&writer, MSGPACK_ARRAY, (kind == MESSAGE_SINGLE ? 3 : 2) + (option_bytes != 0), 1);
    put_text(&writer, "bench.frontend");
    if (kind == MESSAGE_SINGLE) {
        put_time(&writer);
        put_record(&writer, end, 1);
    } else if (kind == MESSAGE_EVENTS) {
        message.events = put_events(&writer, end);
    } else {
        put_filling(&writer, end);
    }
    if (option_bytes) {
        put(&writer, option, sizeof option);
        message.id_at = length - MESSAGE_ID_BYTES;
        message_set_number(&message, 0);
    }
    return message;
}

void message_set_number(struct message *message, uint64_t number)
{
    for (uint8_t *digit = message->bytes + message->length; digit-- > message->bytes + message->id_at;) {
        *digit = (uint8_t)('0' + number % 10);
        number /= 10;
    }
}

uint64_t message_number(const uint8_t id[MESSAGE_ID_BYTES])
{
    uint64_t number = 0;

    for (size_t i = 0; i < MESSAGE_ID_BYTES; i++)
        number = number * 10 + (uint64_t)(id[i] - '0');
    return number;
}
