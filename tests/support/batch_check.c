#include "support/batch_check.h"

#include "support/body_check.h"

#include <msgpack.h>
#include <string.h>

static const uint8_t chunk_value[] = "\xb8"
                                     "0123456789012345678901~1";
static const struct scanner_limits limits = { 2048, 2 * BATCH_CHECK_BYTES_MAX, 64 };

struct run {
    struct batch_check *check;
    struct buffer_pool pool;
    struct buffer stream;
    struct batch_encoder encoder;
    size_t first_at;             /* of the first message that is joined */
    msgpack_sbuffer expected;    /* the entries that the batch must have, packed by msgpack-c */
    bool is_too_deep;            /* for msgpack-c */
    const struct scanner *first; /* NULL: none is joined yet */
    struct scanner first_scanner;
};

static void stream_fill(struct run *run)
{
    const struct batch_check *check = run->check;
    static size_t cuts[BATCH_CHECK_BYTES_MAX];
    size_t count = 0;

    for (size_t at = check->slice_bytes; at < check->length; at += check->slice_bytes)
        cuts[count++] = at;
    body_check_fill(&run->stream, check->bytes, check->length, cuts, count);
}

/* False when no message begins at `at`. */
static bool scan(struct scanner *scanner, const struct buffer *buffer, size_t at)
{
    enum scanner_status status = SCANNER_MORE;

    scanner_init(scanner, &limits);
    while (at < buffer->length && status != SCANNER_END && status != SCANNER_REFUSED) {
        size_t length;
        const uint8_t *piece = buffer_view(buffer, at, &length);
        at += scanner_feed(scanner, piece, length, &status);
    }
    return status == SCANNER_END;
}

static void entry_expect(struct run *run, const msgpack_object *time, const msgpack_object *record)
{
    msgpack_packer packer;

    msgpack_packer_init(&packer, &run->expected, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, 2);
    msgpack_pack_object(&packer, *time);
    msgpack_pack_object(&packer, *record);
}

/* Packs each of the concatenated values again, in msgpack-c's form. False when the last one is cut. msgpack-c
 * fails at what is nested too deeply for it: the rest is not compared then. */
static bool entries_expect(struct run *run, const char *bytes, size_t length)
{
    msgpack_unpacked unpacked;
    size_t at = 0;
    bool done = true;

    msgpack_unpacked_init(&unpacked);
    while (at < length && done) {
        msgpack_packer packer;
        msgpack_unpack_return result = msgpack_unpack_next(&unpacked, bytes, length, &at);
        done = result != MSGPACK_UNPACK_CONTINUE;
        run->is_too_deep |= done && result != MSGPACK_UNPACK_SUCCESS;
        if (result != MSGPACK_UNPACK_SUCCESS)
            break;
        msgpack_packer_init(&packer, &run->expected, msgpack_sbuffer_write);
        msgpack_pack_object(&packer, unpacked.data);
    }
    msgpack_unpacked_destroy(&unpacked);
    return done;
}

/* The entries of the message at `at` of the stream, by msgpack-c. */
static bool message_expect(struct run *run, size_t at, size_t length)
{
    msgpack_unpacked unpacked;
    size_t from = 0;
    bool done = true;

    msgpack_unpacked_init(&unpacked);
    if (msgpack_unpack_next(&unpacked, (const char *)run->check->bytes + at, length, &from) !=
        MSGPACK_UNPACK_SUCCESS) {
        msgpack_unpacked_destroy(&unpacked);
        run->is_too_deep = true;
        return true;
    }
    const msgpack_object *elements = unpacked.data.via.array.ptr;
    if (elements[1].type == MSGPACK_OBJECT_STR || elements[1].type == MSGPACK_OBJECT_BIN) {
        done = entries_expect(run, elements[1].via.bin.ptr, elements[1].via.bin.size);
    } else if (elements[1].type == MSGPACK_OBJECT_ARRAY) {
        for (uint32_t i = 0; i < elements[1].via.array.size; i++)
            entry_expect(run, elements[1].via.array.ptr[i].via.array.ptr,
                         elements[1].via.array.ptr[i].via.array.ptr + 1);
    } else {
        entry_expect(run, &elements[1], &elements[2]);
    }
    msgpack_unpacked_destroy(&unpacked);
    return done;
}

/* Joins the message if it may join. */
static const char *message_join(struct run *run, const struct scanner *scanner, size_t at)
{
    const struct batch_message message = { &run->stream, at, scanner };
    uint64_t events = batch_events_of(&message);

    if (!events)
        return NULL;
    if (!run->first) {
        run->first_scanner = *scanner;
        run->first = &run->first_scanner;
        run->first_at = at;
        if (!batch_encoder_begin(&run->encoder, &message, run->check->prefix, strlen(run->check->prefix)))
            return "memory";
    }
    size_t length = (size_t)(scanner->tag.end - scanner->tag.start);
    bool is_same = length == run->first->tag.end - run->first->tag.start &&
                   memcmp(run->check->bytes + at + scanner->tag.start,
                          run->check->bytes + run->first_at + run->first->tag.start, length) == 0;
    if (batch_encoder_has_tag_of(&run->encoder, &message) != is_same)
        return "tags";
    if (!is_same)
        return NULL;
    run->check->joined++;
    run->check->events += events;
    if (!message_expect(run, at, (size_t)scanner->length))
        return "a message that msgpack-c does not read is joined";
    return batch_encoder_add(&run->encoder, &message, events) ? NULL : "memory";
}

static const char *messages_join(struct run *run)
{
    struct scanner scanner;
    const char *difference = NULL;

    for (size_t at = 0; at < run->check->length && !difference; at += (size_t)scanner.length) {
        if (!scan(&scanner, &run->stream, at))
            break;
        if (!scanner.is_foreign)
            difference = message_join(run, &scanner, at);
    }
    return difference;
}

/* [prefix + tag, bin, {"chunk": id, "size": events}] */
static const char *batch_difference(struct run *run, const msgpack_object *batch)
{
    const msgpack_object *elements = batch->via.array.ptr;
    size_t prefix_length = strlen(run->check->prefix);
    size_t tag_length = (size_t)(run->first->tag.end - run->first->tag.start);

    if (batch->type != MSGPACK_OBJECT_ARRAY || batch->via.array.size != 3 ||
        elements[0].type != MSGPACK_OBJECT_STR || elements[1].type != MSGPACK_OBJECT_BIN ||
        elements[2].type != MSGPACK_OBJECT_MAP || elements[2].via.map.size != 2)
        return "shape";
    if (elements[0].via.str.size != prefix_length + tag_length ||
        memcmp(elements[0].via.str.ptr, run->check->prefix, prefix_length) != 0 ||
        memcmp(elements[0].via.str.ptr + prefix_length,
               run->check->bytes + run->first_at + run->first->tag.start, tag_length) != 0)
        return "tag";
    const msgpack_object *chunk = &elements[2].via.map.ptr[0].val, *size = &elements[2].via.map.ptr[1].val;
    if (chunk->type != MSGPACK_OBJECT_STR || chunk->via.str.size != CHUNK_ID_BYTES ||
        memcmp(chunk->via.str.ptr, chunk_value + 1, CHUNK_ID_BYTES) != 0)
        return "chunk";
    if (size->type != MSGPACK_OBJECT_POSITIVE_INTEGER || size->via.u64 != run->check->events)
        return "size";
    msgpack_sbuffer expected = run->expected;
    msgpack_sbuffer_init(&run->expected);
    bool is_same = entries_expect(run, elements[1].via.bin.ptr, elements[1].via.bin.size) &&
                   expected.size == run->expected.size &&
                   (!expected.size || memcmp(expected.data, run->expected.data, expected.size) == 0);
    msgpack_sbuffer_destroy(&expected);
    return is_same || run->is_too_deep ? NULL : "entries";
}

static const char *batch_check(struct run *run)
{
    static uint8_t bytes[2 * BATCH_CHECK_BYTES_MAX];
    struct scanner scanner;
    msgpack_unpacked unpacked;
    size_t at = 0;

    size_t length = buffer_peek(&run->encoder.bytes, 0, bytes, sizeof bytes);
    const struct batch_message batch = { &run->encoder.bytes, 0, &scanner };
    if (!scan(&scanner, &run->encoder.bytes, 0) || scanner.length != length)
        return "the scanner does not find the batch";
    if (scanner.length > BATCH_FRAME_BYTES_MAX + strlen(run->check->prefix) + run->encoder.tag_length +
                             (scanner.body.end - scanner.body.start))
        return "BATCH_FRAME_BYTES_MAX";
    if (batch_is_of_husk(&batch) != (run->check->events > 1))
        return "batch_is_of_husk";
    msgpack_unpacked_init(&unpacked);
    const char *difference =
        msgpack_unpack_next(&unpacked, (const char *)bytes, length, &at) == MSGPACK_UNPACK_SUCCESS
            ? batch_difference(run, &unpacked.data)
            : "msgpack-c does not read the batch";
    msgpack_unpacked_destroy(&unpacked);
    return difference;
}

const char *batch_check_run(struct batch_check *check)
{
    struct run run = { .check = check };

    check->joined = 0;
    check->events = 0;
    buffer_init(&run.stream, &run.pool);
    batch_encoder_init(&run.encoder, &run.pool);
    msgpack_sbuffer_init(&run.expected);
    stream_fill(&run);
    const char *difference = messages_join(&run);
    if (!difference && run.first)
        difference = batch_encoder_end(&run.encoder, chunk_value) ? batch_check(&run) : "memory";
    msgpack_sbuffer_destroy(&run.expected);
    batch_encoder_clear(&run.encoder);
    buffer_clear(&run.stream);
    buffer_pool_deinit(&run.pool);
    return difference;
}
