/* The speed of the scanner by kind of message. Usage: scanner [seconds per line]
 *
 * Each stream is a few MiB of messages, which is more than the first-level cache holds. The scanner gets it
 * in slices of a segment, as in husk. */
#include "forward/scanner.h"
#include "micro/measure.h"

#include <string.h>

enum { STREAM_BYTES = 4 << 20, SLICE_BYTES = 65536, EVENTS = 400 };

struct stream {
    uint8_t *bytes;
    size_t length;
};

/* ---- writing MessagePack ------------------------------------------------------------------------------ */

enum style { COMPACT, FLUENT_BIT }; /* FLUENT_BIT: arrays and maps with 32-bit headers, whatever their size */

static void put(struct stream *stream, const void *bytes, size_t length)
{
    memcpy(stream->bytes + stream->length, bytes, length);
    stream->length += length;
}

static void put_32(struct stream *stream, uint8_t first, uint32_t number)
{
    uint8_t header[5] = { first, (uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8),
                          (uint8_t)number };

    put(stream, header, sizeof header);
}

static void put_count(struct stream *stream, enum style style, uint8_t fixed, uint8_t wide, uint32_t count)
{
    if (style == FLUENT_BIT || count > 15)
        put_32(stream, wide, count);
    else
        put(stream, &(uint8_t) { (uint8_t)(fixed + count) }, 1);
}

static void put_str(struct stream *stream, const char *text)
{
    size_t length = strlen(text);

    if (length < 32)
        put(stream, &(uint8_t) { (uint8_t)(0xa0 + length) }, 1);
    else
        put(stream, (uint8_t[]) { 0xd9, (uint8_t)length }, 2);
    put(stream, text, length);
}

/* About 250 bytes: the log line of a container with metadata. */
static void put_record(struct stream *stream, enum style style)
{
    static const char *const fields[] = {
        "log",
        "192.0.2.17 - - [12/Mar/2024:10:11:12 +0000] \"GET /api/v1/items?page=3 HTTP/1.1\" 200 5316",
        "stream",
        "stdout",
        "container_name",
        "frontend-7d9c5b6f4-x2x8k",
        "source",
        "/var/log/containers/frontend.log",
        "host",
        "node-17.eu-west.example.net",
        "level",
        "info",
    };
    enum { STRINGS = sizeof fields / sizeof *fields };

    put_count(stream, style, 0x80, 0xdf, STRINGS / 2);
    for (unsigned i = 0; i < STRINGS; i++)
        put_str(stream, fields[i]);
}

static void put_time(struct stream *stream)
{
    put(stream, (uint8_t[]) { 0xd7, 0, 0x65, 0xf0, 0x2a, 0x10, 0x1d, 0xcd, 0x65, 0x00 }, 10);
}

/* ---- the streams -------------------------------------------------------------------------------------- */

static void fill_packed(struct stream *stream, uint32_t body_bytes)
{
    while (stream->length + body_bytes + 64 < STREAM_BYTES) {
        put(stream, &(uint8_t) { 0x93 }, 1);
        put_str(stream, "kube.frontend");
        put_32(stream, 0xc6, body_bytes);
        stream->length += body_bytes;
        put(stream, &(uint8_t) { 0x81 }, 1);
        put_str(stream, "chunk");
        put_str(stream, "p8nVgtFMlJsAAAAAAAAAAA==");
    }
}

static void fill_packed_64k(struct stream *stream)
{
    fill_packed(stream, 65536);
}

static void fill_packed_1m(struct stream *stream)
{
    fill_packed(stream, 1 << 20);
}

static void fill_forward(struct stream *stream, enum style style)
{
    while (stream->length + EVENTS * (size_t)400 < STREAM_BYTES) {
        put(stream, &(uint8_t) { 0x92 }, 1);
        put_str(stream, "kube.frontend");
        put_count(stream, style, 0x90, 0xdd, EVENTS);
        for (unsigned i = 0; i < EVENTS; i++) {
            put_count(stream, style, 0x90, 0xdd, 2);
            put_time(stream);
            put_record(stream, style);
        }
    }
}

static void fill_forward_fluent_bit(struct stream *stream)
{
    fill_forward(stream, FLUENT_BIT);
}

static void fill_forward_compact(struct stream *stream)
{
    fill_forward(stream, COMPACT);
}

static void fill_message(struct stream *stream)
{
    while (stream->length + 500 < STREAM_BYTES) {
        put(stream, &(uint8_t) { 0x94 }, 1);
        put_str(stream, "docker.frontend");
        put_time(stream);
        put_record(stream, COMPACT);
        put(stream, &(uint8_t) { 0x81 }, 1);
        put_str(stream, "chunk");
        put_str(stream, "p8nVgtFMlJsAAAAAAAAAAA==");
    }
}

/* ---- measuring ---------------------------------------------------------------------------------------- */

/* Scans the stream once; returns its messages. */
static unsigned scan(const struct stream *stream)
{
    struct scanner_limits limits = { .tag_bytes = 1024, .message_bytes = 256 << 20, .depth = 64 };
    struct scanner scanner;
    unsigned messages = 0;

    scanner_init(&scanner, &limits);
    for (size_t at = 0; at < stream->length;) {
        size_t slice = stream->length - at < SLICE_BYTES ? stream->length - at : SLICE_BYTES;
        for (size_t end = at + slice; at < end;) {
            enum scanner_status status;
            at += scanner_feed(&scanner, stream->bytes + at, end - at, &status);
            messages += status == SCANNER_END;
            if (status == SCANNER_REFUSED) {
                fprintf(stderr, "refused: %s\n", scanner_refusal_name(scanner.refusal));
                exit(1);
            }
        }
    }
    return messages;
}

static void scan_batch(void *subject)
{
    scan(subject);
}

static void measure(const char *name, void (*fill)(struct stream *stream), double seconds)
{
    struct stream stream = { calloc(1, STREAM_BYTES), 0 };

    if (!stream.bytes)
        exit(1);
    fill(&stream);
    measure_run(&(struct measure) { .name = name,
                                    .batch = scan_batch,
                                    .subject = &stream,
                                    .operations = scan(&stream),
                                    .bytes = (double)stream.length },
                seconds);
    free(stream.bytes);
}

int main(int count, char **arguments)
{
    double seconds = measure_seconds(count, arguments);

    measure("PackedForward of 64 KiB (skipped)", fill_packed_64k, seconds);
    measure("PackedForward of 1 MiB (skipped)", fill_packed_1m, seconds);
    measure("Forward, 400 events, 32-bit headers", fill_forward_fluent_bit, seconds);
    measure("Forward, 400 events, compact headers", fill_forward_compact, seconds);
    measure("Message, one event", fill_message, seconds);
    return 0;
}
