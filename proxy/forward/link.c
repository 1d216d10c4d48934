#include "forward/link.h"

#include "forward/msgpack_bytes.h"

#include <assert.h>
#include <string.h>

enum value_kind {
    VALUE_ID,      /* str or bin */
    VALUE_TEXT,    /* str */
    VALUE_INTEGER, /* integer, not negative */
    VALUE_WINDOW,  /* integer, not negative, or nil for UINT64_MAX */
};

/* A key that a frame may have; a table of keys ends with one without a name. `min` and `max` are inclusive:
 * of an integer, or of the length in bytes of an id (header included) or text. */
struct key {
    const char *name;
    enum value_kind kind;
    uint64_t min, max;
};

struct value {
    bool present;
    uint64_t integer;
    struct span span; /* of an id with its header, of a text without */
};

enum { REQUEST_SENDER, REQUEST_GONE, REQUEST_WAITING_EVERY, REQUEST_KEYS };

static const struct key request_keys[] = {
    [REQUEST_SENDER] = { "sender", VALUE_INTEGER, 0, UINT64_MAX },
    [REQUEST_GONE] = { "gone", VALUE_INTEGER, 0, UINT64_MAX },
    [REQUEST_WAITING_EVERY] = { "waiting_every_ms", VALUE_INTEGER, 1, UINT32_MAX },
    [REQUEST_KEYS] = { 0 },
};

enum {
    ANSWER_ACK,
    ANSWER_REFUSED,
    ANSWER_REASON,
    ANSWER_WAITING,
    ANSWER_SENDER,
    ANSWER_WINDOW,
    ANSWER_LINK,
    ANSWER_GOAWAY,
    ANSWER_KEYS
};

static const struct key answer_keys[] = {
    [ANSWER_ACK] = { "ack", VALUE_ID, 1, ACK_ID_BYTES_MAX },
    [ANSWER_REFUSED] = { "refused", VALUE_INTEGER, 1, UINT64_MAX },
    [ANSWER_REASON] = { "reason", VALUE_TEXT, 1, LINK_TEXT_BYTES_MAX },
    [ANSWER_WAITING] = { "waiting", VALUE_TEXT, 0, LINK_TEXT_BYTES_MAX },
    [ANSWER_SENDER] = { "sender", VALUE_INTEGER, 0, UINT64_MAX },
    [ANSWER_WINDOW] = { "window", VALUE_WINDOW, 0, UINT64_MAX },
    [ANSWER_LINK] = { "link", VALUE_INTEGER, 1, UINT64_MAX },
    [ANSWER_GOAWAY] = { "goaway", VALUE_TEXT, 0, LINK_TEXT_BYTES_MAX },
    [ANSWER_KEYS] = { 0 },
};

/* The index of the key with this name; the index of the end when there is none. */
static size_t key_find(const struct key *keys, const struct msgpack_item *name)
{
    size_t i = 0;

    while (keys[i].name && !(name->kind == MSGPACK_STR && msgpack_item_is(name, keys[i].name)))
        i++;
    return i;
}

/* Reads the value of a known key. A value that the key does not allow is refused. */
static void value_read(struct msgpack_bytes *reader, const struct key *key, struct value *value)
{
    struct msgpack_item item;
    uint64_t size = 0; /* what the minimum and maximum of the key bound */
    bool fits = false;

    if (value->present) {
        msgpack_bytes_refuse(reader);
        return;
    }
    if (!msgpack_bytes_next(reader, &item))
        return;
    value->present = true;
    value->span = (struct span) { item.start, reader->at };
    switch (key->kind) {
    case VALUE_ID:
        fits = item.kind == MSGPACK_STR || item.kind == MSGPACK_BIN;
        size = value->span.end - value->span.start;
        break;
    case VALUE_TEXT:
        fits = item.kind == MSGPACK_STR;
        size = item.count;
        value->span.start = reader->at - item.count;
        break;
    case VALUE_WINDOW:
    case VALUE_INTEGER:
        fits = msgpack_bytes_integer(reader, &item, &size);
        if (key->kind == VALUE_WINDOW && item.kind == MSGPACK_NIL) {
            fits = true;
            size = UINT64_MAX;
        }
        value->integer = size;
        break;
    }
    if (!fits || size < key->min || size > key->max)
        msgpack_bytes_refuse(reader);
}

/* Reads a frame with these keys and skips all others. False: see the reader's state. */
static bool frame_read(struct msgpack_bytes *reader, const struct key *keys, struct value *values)
{
    struct msgpack_item map, item;

    if (!msgpack_bytes_expect(reader, MSGPACK_MAP, &map))
        return false;
    for (uint64_t pairs = map.count; pairs; pairs--) {
        size_t i;

        if (2 * pairs > reader->limit - reader->at)
            return msgpack_bytes_refuse(reader);
        /* a key may be of any kind, also a map or array */
        if (!msgpack_bytes_next_whole(reader, &item))
            return false;
        i = key_find(keys, &item);
        if (keys[i].name)
            value_read(reader, &keys[i], &values[i]);
        else
            msgpack_bytes_next_whole(reader, &item);
    }
    return reader->state == MSGPACK_BYTES_GOOD;
}

/* Reads a frame from bytes. `values` are zero, one for each key. */
static enum link_status frame_parse(const uint8_t *bytes, size_t length, size_t *taken,
                                    const struct key *keys, struct value *values)
{
    struct msgpack_bytes reader;

    *taken = 0;
    msgpack_bytes_init(&reader, bytes, length, LINK_FRAME_BYTES_MAX);
    if (frame_read(&reader, keys, values)) {
        *taken = reader.at;
        return LINK_FOUND;
    }
    return reader.state == MSGPACK_BYTES_SHORT ? LINK_MORE : LINK_REFUSED;
}

enum link_status link_request_parse(const uint8_t *bytes, size_t length, size_t *taken,
                                    struct link_request *request)
{
    struct value values[REQUEST_KEYS] = { 0 };
    enum link_status status = frame_parse(bytes, length, taken, request_keys, values);

    *request = (struct link_request) { 0 };
    if (status == LINK_FOUND) {
        *request = (struct link_request) {
            .names_sender = values[REQUEST_SENDER].present,
            .names_gone = values[REQUEST_GONE].present,
            .sender = values[REQUEST_SENDER].integer,
            .gone = values[REQUEST_GONE].integer,
            .waiting_every_ms = (uint32_t)values[REQUEST_WAITING_EVERY].integer,
        };
    }
    return status;
}

/* Whether the frame has every key that its other keys need. */
static bool answer_is_complete(const struct value values[ANSWER_KEYS])
{
    if (values[ANSWER_REFUSED].present && !(values[ANSWER_ACK].present && values[ANSWER_REASON].present))
        return false;
    if (values[ANSWER_LINK].present && !values[ANSWER_ACK].present)
        return false;
    return values[ANSWER_SENDER].present || !values[ANSWER_WINDOW].present;
}

enum link_status link_answer_parse(const uint8_t *bytes, size_t length, size_t *taken,
                                   struct link_answer *answer)
{
    struct value values[ANSWER_KEYS] = { 0 };
    enum link_status status = frame_parse(bytes, length, taken, answer_keys, values);

    *answer = (struct link_answer) { 0 };
    if (status != LINK_FOUND)
        return status;
    if (!answer_is_complete(values)) {
        *taken = 0;
        return LINK_REFUSED;
    }
    *answer = (struct link_answer) {
        .ack = values[ANSWER_ACK].span,
        .refused = values[ANSWER_REFUSED].integer,
        .reason = values[ANSWER_REASON].span,
        .waiting = values[ANSWER_WAITING].span,
        .goaway = values[ANSWER_GOAWAY].span,
        .is_waiting = values[ANSWER_WAITING].present,
        .is_goaway = values[ANSWER_GOAWAY].present,
        .names_sender = values[ANSWER_SENDER].present,
        .names_window = values[ANSWER_WINDOW].present,
        .sender = values[ANSWER_SENDER].integer,
        .window = values[ANSWER_WINDOW].integer,
        .version = values[ANSWER_LINK].integer,
    };
    return LINK_FOUND;
}

static size_t put_integer(uint8_t *to, const char *key, uint64_t value)
{
    size_t length = msgpack_bytes_put_str(to, key);

    return length + msgpack_bytes_put_integer(to + length, value);
}

static size_t put_text(uint8_t *to, const char *key, const char *text)
{
    size_t length = msgpack_bytes_put_str(to, key);

    assert(strlen(text) <= LINK_TEXT_BYTES_MAX);
    return length + msgpack_bytes_put_str(to + length, text);
}

size_t link_write_waiting_every(uint8_t to[LINK_SHORT_BYTES_MAX], uint32_t ms)
{
    assert(ms > 0);
    to[0] = 0x81;
    return 1 + put_integer(to + 1, request_keys[REQUEST_WAITING_EVERY].name, ms);
}

size_t link_write_sender(uint8_t to[LINK_SHORT_BYTES_MAX], uint64_t sender)
{
    to[0] = 0x81;
    return 1 + put_integer(to + 1, request_keys[REQUEST_SENDER].name, sender);
}

size_t link_write_gone(uint8_t to[LINK_SHORT_BYTES_MAX], uint64_t sender)
{
    to[0] = 0x81;
    return 1 + put_integer(to + 1, request_keys[REQUEST_GONE].name, sender);
}

size_t link_write_waiting(uint8_t to[LINK_SHORT_BYTES_MAX], const char *text)
{
    to[0] = 0x81;
    return 1 + put_text(to + 1, answer_keys[ANSWER_WAITING].name, text);
}

size_t link_write_goaway(uint8_t to[LINK_SHORT_BYTES_MAX], const char *text)
{
    to[0] = 0x81;
    return 1 + put_text(to + 1, answer_keys[ANSWER_GOAWAY].name, text);
}

size_t link_write_window(uint8_t to[LINK_SHORT_BYTES_MAX], uint64_t sender, uint64_t window)
{
    size_t length = 1;

    to[0] = 0x82;
    length += put_integer(to + length, answer_keys[ANSWER_SENDER].name, sender);
    if (window < UINT64_MAX)
        return length + put_integer(to + length, answer_keys[ANSWER_WINDOW].name, window);
    length += msgpack_bytes_put_str(to + length, answer_keys[ANSWER_WINDOW].name);
    to[length++] = 0xc0;
    return length;
}

size_t link_write_ack(uint8_t to[LINK_ACK_BYTES_MAX], const struct link_ack *ack)
{
    size_t length = ack_write(to, ack->id, ack->id_length);

    /* ack_write has written a map of one pair. */
    if (ack->sender != LINK_NO_SENDER) {
        to[0]++;
        length += put_integer(to + length, answer_keys[ANSWER_SENDER].name, ack->sender);
    }
    if (ack->refused) {
        to[0] += 2;
        length += put_integer(to + length, answer_keys[ANSWER_REFUSED].name, ack->refused);
        length += put_text(to + length, answer_keys[ANSWER_REASON].name, ack->reason);
    }
    if (ack->version) {
        to[0]++;
        length += put_integer(to + length, answer_keys[ANSWER_LINK].name, ack->version);
    }
    return length;
}
