/* The readers of the link's frames over any bytes. The verdict is reached at one byte and does not change
 * with more bytes. msgpack-c and a second reading of docs/link.md reach the same verdict and find the same
 * values. Frames written with these values are read again.
 *
 * The first byte of an input chooses the direction. */
#include "forward/link.h"
#include "forward/msgpack_bytes.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* What a reader says of an input. */
struct result {
    bool is_request;
    enum link_status status;
    size_t taken;
    struct link_request request;
    struct link_answer answer;
};

static void expect(bool right)
{
    if (!right)
        abort();
}

static struct result parse(bool is_request, const uint8_t *bytes, size_t length)
{
    struct result result = { .is_request = is_request };

    result.status = is_request ? link_request_parse(bytes, length, &result.taken, &result.request)
                               : link_answer_parse(bytes, length, &result.taken, &result.answer);
    return result;
}

static void check_cuts(bool is_request, const uint8_t *bytes, size_t length)
{
    size_t step = length < 256 ? 1 : 13;
    struct result decided = { .status = LINK_MORE };

    for (size_t cut = 0; cut <= length; cut += step) {
        struct result now = parse(is_request, bytes, cut);

        expect(now.status == LINK_FOUND ? now.taken > 0 && now.taken <= cut : now.taken == 0);
        expect(decided.status == LINK_MORE || (now.status == decided.status && now.taken == decided.taken));
        expect(now.status != LINK_MORE || cut < LINK_FRAME_BYTES_MAX);
        decided = now;
    }
    if (decided.status == LINK_FOUND) {
        expect(decided.taken <= LINK_FRAME_BYTES_MAX && link_is_frame(bytes[0]));
        expect(parse(is_request, bytes, decided.taken - 1).status == LINK_MORE);
        expect(parse(is_request, bytes, decided.taken).status == LINK_FOUND);
    }
}

/* What msgpack-c finds for a key at the top of a frame. */
struct field {
    const msgpack_object *value; /* NULL: the frame does not have the key */
    const char *start;           /* of the value, with its header */
    unsigned count;
};

static struct field field_find(const msgpack_object_map *map, const char *name)
{
    struct field field = { 0 };

    for (uint32_t i = 0; i < map->size; i++) {
        const msgpack_object *key = &map->ptr[i].key;

        if (key->type != MSGPACK_OBJECT_STR || key->via.str.size != strlen(name) ||
            memcmp(key->via.str.ptr, name, strlen(name)) != 0)
            continue;
        field = (struct field) { &map->ptr[i].val, key->via.str.ptr + key->via.str.size, field.count + 1 };
    }
    return field;
}

/* These say whether a field is absent, or stands once with a value that docs/link.md allows. */
static bool integer_is_legal(struct field field, uint64_t min, uint64_t max)
{
    return !field.value || (field.count == 1 && field.value->type == MSGPACK_OBJECT_POSITIVE_INTEGER &&
                            field.value->via.u64 >= min && field.value->via.u64 <= max);
}

static bool window_is_legal(struct field field)
{
    return integer_is_legal(field, 0, UINT64_MAX) ||
           (field.count == 1 && field.value->type == MSGPACK_OBJECT_NIL);
}

static bool text_is_legal(struct field field, size_t min)
{
    return !field.value ||
           (field.count == 1 && field.value->type == MSGPACK_OBJECT_STR && field.value->via.str.size >= min &&
            field.value->via.str.size <= LINK_TEXT_BYTES_MAX);
}

static bool id_is_legal(struct field field)
{
    return !field.value ||
           (field.count == 1 &&
            (field.value->type == MSGPACK_OBJECT_STR || field.value->type == MSGPACK_OBJECT_BIN) &&
            field.value->via.str.ptr + field.value->via.str.size - field.start <= ACK_ID_BYTES_MAX);
}

static bool request_is_legal(const msgpack_object_map *map)
{
    return integer_is_legal(field_find(map, "sender"), 0, UINT64_MAX) &&
           integer_is_legal(field_find(map, "gone"), 0, UINT64_MAX) &&
           integer_is_legal(field_find(map, "waiting_every_ms"), 1, UINT32_MAX);
}

static bool answer_is_legal(const msgpack_object_map *map)
{
    struct field ack = field_find(map, "ack"), refused = field_find(map, "refused");
    struct field reason = field_find(map, "reason"), window = field_find(map, "window");
    struct field sender = field_find(map, "sender");

    return id_is_legal(ack) && integer_is_legal(refused, 1, UINT64_MAX) && text_is_legal(reason, 1) &&
           text_is_legal(field_find(map, "waiting"), 0) && text_is_legal(field_find(map, "goaway"), 0) &&
           integer_is_legal(sender, 0, UINT64_MAX) &&
           integer_is_legal(field_find(map, "link"), 1, UINT64_MAX) && window_is_legal(window) &&
           (!refused.value || (ack.value && reason.value)) && (!window.value || sender.value) &&
           (!field_find(map, "link").value || ack.value);
}

/* Whether the reader says the same of a field as msgpack-c. */
static void expect_integer(struct field field, uint64_t value)
{
    if (!field.value)
        expect(value == 0);
    else if (field.value->type == MSGPACK_OBJECT_NIL)
        expect(value == UINT64_MAX);
    else
        expect(value == field.value->via.u64);
}

/* The span ends with the text of the field, and begins at most `header` bytes before the text. */
static void expect_text(struct field field, const uint8_t *bytes, struct span span, size_t header)
{
    size_t size = field.value ? field.value->via.str.size : 0;

    expect(span.start <= span.end && span.end - span.start >= size && span.end - span.start <= size + header);
    expect(size == 0 || memcmp(field.value->via.str.ptr, bytes + span.end - size, size) == 0);
}

static void check_values(const struct result *result, const uint8_t *bytes, const msgpack_object_map *map)
{
    const struct link_request *request = &result->request;
    const struct link_answer *answer = &result->answer;
    struct field sender = field_find(map, "sender");

    expect_integer(sender, result->is_request ? request->sender : answer->sender);
    expect((request->names_sender || answer->names_sender) == (sender.value != NULL));
    if (result->is_request) {
        expect_integer(field_find(map, "gone"), request->gone);
        expect(request->names_gone == (field_find(map, "gone").value != NULL));
        expect_integer(field_find(map, "waiting_every_ms"), request->waiting_every_ms);
        return;
    }
    expect_text(field_find(map, "ack"), bytes, answer->ack, MSGPACK_HEADER_BYTES_MAX);
    expect((answer->ack.end > 0) == (field_find(map, "ack").value != NULL));
    expect_integer(field_find(map, "refused"), answer->refused);
    expect_text(field_find(map, "reason"), bytes, answer->reason, 0);
    expect_text(field_find(map, "waiting"), bytes, answer->waiting, 0);
    expect(answer->is_waiting == (field_find(map, "waiting").value != NULL));
    expect_text(field_find(map, "goaway"), bytes, answer->goaway, 0);
    expect(answer->is_goaway == (field_find(map, "goaway").value != NULL));
    expect_integer(field_find(map, "link"), answer->version);
    expect_integer(field_find(map, "window"), answer->window);
    expect(answer->names_window == (field_find(map, "window").value != NULL));
}

/* msgpack-c allocates all elements of an array or map when it reads their number. */
static bool has_large_counts(const uint8_t *bytes, size_t length)
{
    return memchr(bytes, 0xdd, length) || memchr(bytes, 0xdf, length);
}

static void check_against_msgpack(const struct result *result, const uint8_t *bytes, size_t length)
{
    msgpack_unpacked unpacked;
    size_t end = 0;

    if (result->status == LINK_MORE || (result->status == LINK_REFUSED && has_large_counts(bytes, length)))
        return;
    msgpack_unpacked_init(&unpacked);
    if (msgpack_unpack_next(&unpacked, (const char *)bytes, length, &end) == MSGPACK_UNPACK_SUCCESS) {
        const msgpack_object_map *map = &unpacked.data.via.map;
        bool is_legal = unpacked.data.type == MSGPACK_OBJECT_MAP && end <= LINK_FRAME_BYTES_MAX &&
                        (result->is_request ? request_is_legal(map) : answer_is_legal(map));

        expect((result->status == LINK_FOUND) == is_legal);
        if (is_legal) {
            expect(end == result->taken);
            check_values(result, bytes, map);
        }
    }
    msgpack_unpacked_destroy(&unpacked);
}

static void expect_bytes(const uint8_t *bytes, struct span span, const void *expected, size_t length)
{
    expect(span.end - span.start == length && memcmp(bytes + span.start, expected, length) == 0);
}

/* The text of a span up to its first NUL: a writer takes a string. */
static const char *text_of(const uint8_t *bytes, struct span span, char text[LINK_TEXT_BYTES_MAX + 1])
{
    memcpy(text, bytes + span.start, span.end - span.start);
    text[span.end - span.start] = '\0';
    return text;
}

static struct result parse_written(bool is_request, const uint8_t *written, size_t length, size_t length_max)
{
    struct result result = parse(is_request, written, length);

    expect(length <= length_max && result.status == LINK_FOUND && result.taken == length);
    return result;
}

static void check_written_request(const struct link_request *request)
{
    uint8_t written[LINK_SHORT_BYTES_MAX];
    struct link_request again;

    again = parse_written(true, written, link_write_sender(written, request->sender), sizeof written).request;
    expect(again.names_sender && !again.names_gone && again.sender == request->sender);
    again = parse_written(true, written, link_write_gone(written, request->gone), sizeof written).request;
    expect(again.names_gone && !again.names_sender && again.gone == request->gone);
    if (request->waiting_every_ms == 0)
        return;
    again = parse_written(true, written, link_write_waiting_every(written, request->waiting_every_ms),
                          sizeof written)
                .request;
    expect(again.waiting_every_ms == request->waiting_every_ms);
}

static void check_written_answer(const uint8_t *bytes, const struct link_answer *answer)
{
    uint8_t written[LINK_ACK_BYTES_MAX];
    const uint8_t *id = bytes + answer->ack.start;
    size_t id_length = answer->ack.end - answer->ack.start, length;
    char text[LINK_TEXT_BYTES_MAX + 1];
    struct link_answer again;

    length = link_write_window(written, answer->sender, answer->window);
    again = parse_written(false, written, length, LINK_SHORT_BYTES_MAX).answer;
    expect(again.names_sender && again.sender == answer->sender);
    expect(again.names_window && again.window == answer->window);

    length = link_write_waiting(written, text_of(bytes, answer->waiting, text));
    again = parse_written(false, written, length, LINK_SHORT_BYTES_MAX).answer;
    expect(again.is_waiting);
    expect_bytes(written, again.waiting, text, strlen(text));

    length = link_write_goaway(written, text_of(bytes, answer->goaway, text));
    again = parse_written(false, written, length, LINK_SHORT_BYTES_MAX).answer;
    expect(again.is_goaway && !again.is_waiting);
    expect_bytes(written, again.goaway, text, strlen(text));

    text_of(bytes, answer->reason, text);
    if (answer->refused == 0 || !*text)
        return;
    const struct link_ack ack = {
        id,   id_length,       answer->names_sender ? answer->sender : LINK_NO_SENDER, answer->refused,
        text, answer->version,
    };
    length = link_write_ack(written, &ack);
    again = parse_written(false, written, length, sizeof written).answer;
    expect(again.refused == answer->refused);
    expect(again.version == answer->version);
    expect(again.names_sender == (ack.sender != LINK_NO_SENDER) &&
           (!again.names_sender || again.sender == ack.sender));
    expect_bytes(written, again.reason, text, strlen(text));
    expect_bytes(written, again.ack, id, id_length);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct result result;

    if (length == 0)
        return 0;
    check_cuts(bytes[0] & 1, bytes + 1, length - 1);
    result = parse(bytes[0] & 1, bytes + 1, length - 1);
    check_against_msgpack(&result, bytes + 1, length - 1);
    if (result.status == LINK_FOUND && result.is_request)
        check_written_request(&result.request);
    else if (result.status == LINK_FOUND)
        check_written_answer(bytes + 1, &result.answer);
    return 0;
}
