/* The ack reader over any bytes. The verdict is reached at one byte and does not change with more bytes.
 * msgpack-c finds the same id in an accepted ack. An ack written with that id is read again. */
#include "forward/ack.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void expect(bool right)
{
    if (!right)
        abort();
}

static void check_cuts(const uint8_t *bytes, size_t length)
{
    size_t step = length < 256 ? 1 : 13;
    enum ack_status decided = ACK_MORE;
    size_t decided_taken = 0;

    for (size_t cut = 0; cut <= length; cut += step) {
        size_t taken;
        struct span id;
        enum ack_status status = ack_parse(bytes, cut, &taken, &id);

        expect(status == ACK_FOUND ? taken > 0 && taken <= cut && taken <= ACK_BYTES_MAX : taken == 0);
        expect(decided == ACK_MORE || (status == decided && taken == decided_taken));
        expect(status != ACK_MORE || cut < ACK_BYTES_MAX);
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

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    size_t taken, taken_again;
    struct span id, id_again;
    uint8_t written[ACK_BYTES_MAX];

    check_cuts(bytes, length);
    if (ack_parse(bytes, length, &taken, &id) != ACK_FOUND)
        return 0;
    check_against_msgpack(bytes, taken, &id);
    taken = ack_write(written, bytes + id.start, id.end - id.start);
    expect(ack_parse(written, taken, &taken_again, &id_again) == ACK_FOUND && taken_again == taken);
    expect(ack_id_equal(bytes + id.start, id.end - id.start, written + id_again.start,
                        id_again.end - id_again.start));
    return 0;
}
