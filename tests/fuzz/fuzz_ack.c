/* The readers of acks, in MessagePack and in JSON, over any bytes. The verdict is reached at one byte and
 * does not change with more bytes. msgpack-c and yajl find the same id in an accepted ack. An ack written
 * with that id is read again. */
#include "forward/json_ack.h"

#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_tree.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void expect(bool right)
{
    if (!right)
        abort();
}

typedef enum ack_status parser(const uint8_t *bytes, size_t length, size_t *taken);

static enum ack_status parse_msgpack(const uint8_t *bytes, size_t length, size_t *taken)
{
    struct span id;

    return ack_parse(bytes, length, taken, &id);
}

static enum ack_status parse_json(const uint8_t *bytes, size_t length, size_t *taken)
{
    struct json_ack ack;

    return json_ack_parse(bytes, length, taken, &ack);
}

static void check_cuts(parser *parse, const uint8_t *bytes, size_t length, size_t limit)
{
    size_t step = length < 256 ? 1 : 13;
    enum ack_status decided = ACK_MORE;
    size_t decided_taken = 0;

    for (size_t cut = 0; cut <= length; cut += step) {
        size_t taken;
        enum ack_status status = parse(bytes, cut, &taken);
        bool is_answer = status == ACK_FOUND || status == ACK_NEGATIVE;

        expect(is_answer ? taken > 0 && taken <= cut && taken <= limit : taken == 0);
        expect(decided == ACK_MORE || (status == decided && taken == decided_taken));
        expect(status != ACK_MORE || cut < limit);
        decided = status;
        decided_taken = taken;
    }
}

static void check_against_msgpack(const uint8_t *bytes, size_t taken, const struct span *id)
{
    msgpack_unpacked unpacked;
    size_t end = 0;
    unsigned found = 0;

    msgpack_unpacked_init(&unpacked);
    if (msgpack_unpack_next(&unpacked, (const char *)bytes, taken, &end) == MSGPACK_UNPACK_SUCCESS) {
        expect(end == taken && unpacked.data.type == MSGPACK_OBJECT_MAP);
        for (uint32_t i = 0; i < unpacked.data.via.map.size; i++) {
            const msgpack_object_kv *pair = &unpacked.data.via.map.ptr[i];

            if ((pair->key.type != MSGPACK_OBJECT_STR && pair->key.type != MSGPACK_OBJECT_BIN) ||
                pair->key.via.str.size != 3 || memcmp(pair->key.via.str.ptr, "ack", 3) != 0)
                continue;
            found++;
            expect(pair->val.type == MSGPACK_OBJECT_STR || pair->val.type == MSGPACK_OBJECT_BIN);
            expect(pair->val.via.str.size < id->end - id->start);
            expect(memcmp(pair->val.via.str.ptr, bytes + id->end - pair->val.via.str.size,
                          pair->val.via.str.size) == 0);
        }
        expect(found == 1);
    }
    msgpack_unpacked_destroy(&unpacked);
}

/* yajl accepts less: it checks all values, and that strings are UTF-8. */
static void check_against_yajl(const uint8_t *bytes, size_t taken, const struct json_ack *ack)
{
    const char *path[] = { "ack", NULL };
    const uint8_t *id = ack->id + ack_id_body(ack->id, ack->id_length);
    size_t id_length = ack->id_length - (size_t)(id - ack->id);
    char text[JSON_ACK_BYTES_MAX + 1], error[8];

    memcpy(text, bytes, taken);
    text[taken] = '\0';
    yajl_val tree = memchr(text, 0, taken) ? NULL : yajl_tree_parse(text, error, sizeof error);
    if (!tree)
        return;
    const char *value = YAJL_GET_STRING(yajl_tree_get(tree, path, yajl_t_string));
    expect(value && (memchr(id, 0, id_length) || /* yajl's strings end at a 0 */
                     (strlen(value) == id_length && memcmp(value, id, id_length) == 0)));
    yajl_tree_free(tree);
}

static void check_json_again(const struct json_ack *ack)
{
    char text[JSON_ACK_BYTES_MAX];
    size_t at = (size_t)snprintf(text, sizeof text, "{\"ack\":\""), taken;
    struct json_ack again;

    for (size_t i = ack_id_body(ack->id, ack->id_length); i < ack->id_length; i++) {
        if (ack->id[i] < 0x80)
            at += (size_t)snprintf(text + at, sizeof text - at, "\\u%04X", ack->id[i]);
        else
            text[at++] = (char)ack->id[i];
    }
    at += (size_t)snprintf(text + at, sizeof text - at, "\"}");
    expect(json_ack_parse((const uint8_t *)text, at, &taken, &again) == ACK_FOUND && taken == at);
    expect(ack_id_compare(ack->id, ack->id_length, again.id, again.id_length) == ACK_IDS_EQUAL);
}

static void check_json(const uint8_t *bytes, size_t length)
{
    struct json_ack ack;
    size_t taken;

    check_cuts(parse_json, bytes, length, JSON_ACK_BYTES_MAX);
    if (json_ack_parse(bytes, length, &taken, &ack) != ACK_FOUND)
        return;
    check_against_yajl(bytes, taken, &ack);
    check_json_again(&ack);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    size_t taken, taken_again;
    struct span id, id_again;
    uint8_t written[ACK_BYTES_MAX];

    if (length && json_ack_begins(*bytes))
        check_json(bytes, length);
    check_cuts(parse_msgpack, bytes, length, ACK_BYTES_MAX);
    if (ack_parse(bytes, length, &taken, &id) != ACK_FOUND)
        return 0;
    check_against_msgpack(bytes, taken, &id);
    taken = ack_write(written, bytes + id.start, id.end - id.start);
    expect(ack_parse(written, taken, &taken_again, &id_again) == ACK_FOUND && taken_again == taken);
    expect(ack_id_compare(bytes + id.start, id.end - id.start, written + id_again.start,
                          id_again.end - id_again.start) == ACK_IDS_EQUAL);
    return 0;
}
