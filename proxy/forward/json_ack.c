#include "forward/json_ack.h"

#include "forward/msgpack_bytes.h"

#include <string.h>

enum { KEY_BYTES_MAX = 4, ID_HEADER_BYTES = 3 /* of a str 16 */ };

enum reader_state {
    READER_GOOD,
    READER_SHORT, /* valid so far, but incomplete */
    READER_BAD,   /* more bytes cannot change that */
};

/* After the first failure all reads fail. */
struct reader {
    const uint8_t *bytes;
    size_t length, at;
    enum reader_state state;
};

/* A string without quotes and escapes. Bytes beyond `size` are not stored. */
struct text {
    uint8_t *bytes;
    size_t size, length;
};

static void refuse(struct reader *reader)
{
    if (reader->state == READER_GOOD)
        reader->state = READER_BAD;
}

/* The next byte, which is not taken; 0: there is none. */
static uint8_t peek(struct reader *reader)
{
    if (reader->state != READER_GOOD)
        return 0;
    if (reader->at == JSON_ACK_BYTES_MAX)
        reader->state = READER_BAD;
    else if (reader->at == reader->length)
        reader->state = READER_SHORT;
    return reader->state == READER_GOOD ? reader->bytes[reader->at] : 0;
}

static uint8_t next(struct reader *reader)
{
    uint8_t byte = peek(reader);

    reader->at += reader->state == READER_GOOD;
    return byte;
}

static uint8_t peek_after_space(struct reader *reader)
{
    while (json_ack_is_space(peek(reader)))
        reader->at++;
    return peek(reader);
}

static void expect(struct reader *reader, char wanted)
{
    if (peek_after_space(reader) == (uint8_t)wanted)
        reader->at++;
    else
        refuse(reader);
}

static void text_add(struct text *text, uint8_t byte)
{
    if (text->length < text->size)
        text->bytes[text->length] = byte;
    text->length++;
}

/* ---- strings ---- */

static uint32_t hex_read(struct reader *reader)
{
    uint32_t value = 0;

    for (int i = 0; i < 4; i++) {
        uint8_t digit = next(reader);
        value <<= 4;
        if (digit >= '0' && digit <= '9')
            value |= digit - '0';
        else if ((digit | 0x20) >= 'a' && (digit | 0x20) <= 'f')
            value |= (digit | 0x20) - 'a' + 10U;
        else
            refuse(reader);
    }
    return value;
}

/* The code point of \uXXXX, or of the two such escapes of a surrogate pair; `u` is taken. */
static uint32_t code_point_read(struct reader *reader)
{
    uint32_t high = hex_read(reader), low;

    if (high < 0xd800 || high > 0xdfff)
        return high;
    if (high > 0xdbff || next(reader) != '\\' || next(reader) != 'u') {
        refuse(reader);
        return 0;
    }
    low = hex_read(reader);
    if (low < 0xdc00 || low > 0xdfff)
        refuse(reader);
    return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

/* As UTF-8. */
static void code_point_add(struct text *text, uint32_t code)
{
    if (code < 0x80) {
        text_add(text, (uint8_t)code);
        return;
    }
    if (code < 0x800) {
        text_add(text, (uint8_t)(0xc0 | code >> 6));
    } else {
        if (code < 0x10000) {
            text_add(text, (uint8_t)(0xe0 | code >> 12));
        } else {
            text_add(text, (uint8_t)(0xf0 | code >> 18));
            text_add(text, (uint8_t)(0x80 | (code >> 12 & 0x3f)));
        }
        text_add(text, (uint8_t)(0x80 | (code >> 6 & 0x3f)));
    }
    text_add(text, (uint8_t)(0x80 | (code & 0x3f)));
}

static void escape_read(struct reader *reader, struct text *text)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    uint8_t byte = next(reader);
    const char *name = byte ? strchr(names, byte) : NULL;

    if (name)
        text_add(text, (uint8_t)values[name - names]);
    else if (byte == 'u')
        code_point_add(text, code_point_read(reader));
    else
        refuse(reader);
}

static void string_read(struct reader *reader, struct text *text)
{
    expect(reader, '"');
    while (reader->state == READER_GOOD) {
        uint8_t byte = next(reader);
        if (byte == '"')
            return;
        if (byte == '\\')
            escape_read(reader, text);
        else if (byte < 0x20)
            refuse(reader);
        else
            text_add(text, byte);
    }
}

/* ---- values ---- */

static bool is_of_literal(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z') || byte == '-' ||
           byte == '+' || byte == '.';
}

static void literal_skip(struct reader *reader)
{
    if (!is_of_literal(peek(reader)))
        refuse(reader);
    while (is_of_literal(peek(reader)))
        reader->at++;
}

/* Skips a value of any type. Of arrays and objects only strings and brackets are checked. */
static void value_skip(struct reader *reader)
{
    char closers[JSON_ACK_DEPTH_MAX];
    size_t depth = 0;

    do {
        struct text nowhere = { 0 };
        uint8_t byte = peek_after_space(reader);
        if (byte == '"') {
            string_read(reader, &nowhere);
        } else if (byte == '[' || byte == '{') {
            if (depth == JSON_ACK_DEPTH_MAX)
                refuse(reader);
            else
                closers[depth++] = byte == '[' ? ']' : '}';
            reader->at++;
        } else if (depth && byte == (uint8_t)closers[depth - 1]) {
            depth--;
            reader->at++;
        } else if (depth && (byte == ',' || byte == ':')) {
            reader->at++;
        } else {
            literal_skip(reader);
        }
    } while (depth && reader->state == READER_GOOD);
}

static void id_read(struct reader *reader, struct json_ack *ack)
{
    struct text id = { ack->id + ID_HEADER_BYTES, ACK_ID_BYTES_MAX - ID_HEADER_BYTES, 0 };

    if (ack->id_length) {
        refuse(reader);
        return;
    }
    string_read(reader, &id);
    if (id.length > id.size) {
        refuse(reader);
        return;
    }
    uint8_t header[MSGPACK_HEADER_BYTES_MAX];
    ack->id_length =
        id.length + msgpack_bytes_put_header(header, MSGPACK_STR, (uint32_t)id.length, ID_HEADER_BYTES);
    memcpy(ack->id, header, ID_HEADER_BYTES);
}

static void member_read(struct reader *reader, struct json_ack *ack)
{
    uint8_t bytes[KEY_BYTES_MAX];
    struct text key = { bytes, sizeof bytes, 0 };

    string_read(reader, &key);
    expect(reader, ':');
    if (key.length == 3 && memcmp(bytes, "ack", 3) == 0)
        id_read(reader, ack);
    else
        value_skip(reader);
}

enum ack_status json_ack_parse(const uint8_t *bytes, size_t length, size_t *taken, struct json_ack *ack)
{
    struct reader reader = { .bytes = bytes, .length = length };

    *taken = 0;
    ack->id_length = 0;
    expect(&reader, '{');
    if (peek_after_space(&reader) != '}')
        member_read(&reader, ack);
    while (reader.state == READER_GOOD && peek_after_space(&reader) == ',') {
        reader.at++;
        member_read(&reader, ack);
    }
    expect(&reader, '}');
    if (reader.state != READER_GOOD)
        return reader.state == READER_SHORT ? ACK_MORE : ACK_MALFORMED;
    *taken = reader.at;
    return ack->id_length ? ACK_FOUND : ACK_NEGATIVE;
}
