#include "forward/ack.h"

#include "forward/msgpack_bytes.h"

#include <assert.h>
#include <string.h>

enum ack_status ack_parse(const uint8_t *bytes, size_t length, size_t *taken, struct span *id)
{
    struct msgpack_bytes reader;
    struct msgpack_item map, key, value;
    uint64_t found = 0;

    *taken = 0;
    *id = (struct span) { 0 };
    msgpack_bytes_init(&reader, bytes, length, ACK_BYTES_MAX);
    if (msgpack_bytes_expect(&reader, MSGPACK_MAP, &map)) {
        /* a key may be of any type, also a map or array */
        for (uint64_t i = 0; i < map.count && msgpack_bytes_next_whole(&reader, &key); i++) {
            if (!msgpack_item_is(&key, "ack")) {
                msgpack_bytes_next_whole(&reader, &value);
            } else if (msgpack_bytes_expect_text(&reader, &value)) {
                *id = (struct span) { value.start, reader.at };
                if (++found > 1 || id->end - id->start > ACK_ID_BYTES_MAX)
                    msgpack_bytes_refuse(&reader);
            }
        }
    }
    if (reader.state == MSGPACK_BYTES_SHORT)
        return ACK_MORE;
    if (reader.state == MSGPACK_BYTES_BAD)
        return ACK_MALFORMED;
    *taken = reader.at;
    return found ? ACK_FOUND : ACK_NEGATIVE;
}

size_t ack_write(uint8_t bytes[ACK_BYTES_MAX], const uint8_t *id_value, size_t id_length)
{
    static const uint8_t front[ACK_FRONT_BYTES] = { 0x81, 0xa3, 'a', 'c', 'k' };

    assert(id_length <= ACK_ID_BYTES_MAX);
    memcpy(bytes, front, sizeof front);
    memcpy(bytes + sizeof front, id_value, id_length);
    return sizeof front + id_length;
}

/* Reads an id value that must have no bytes after it. */
static bool id_read(struct msgpack_item *id, const uint8_t *value, size_t length)
{
    struct msgpack_bytes reader;

    msgpack_bytes_init(&reader, value, length, length);
    return msgpack_bytes_expect_text(&reader, id) && reader.at == length;
}

size_t ack_id_body(const uint8_t *value, size_t length)
{
    struct msgpack_item id;

    return id_read(&id, value, length) ? length - id.count : length;
}

enum ack_id_match ack_id_compare(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length)
{
    struct msgpack_item a_id, b_id;

    if (!id_read(&a_id, a, a_length) || !id_read(&b_id, b, b_length) || a_id.count != b_id.count ||
        memcmp(a_id.body, b_id.body, a_id.count) != 0)
        return ACK_IDS_DIFFER;
    return a_id.kind == b_id.kind ? ACK_IDS_EQUAL : ACK_IDS_SAME_BYTES;
}
