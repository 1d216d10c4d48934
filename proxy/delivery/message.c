#include "delivery/message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FLAT_BYTES_MAX = 4096 };

/* Where the assembled message goes: a flat area or slices. */
struct assembly {
    uint8_t *flat; /* NULL: slices */
    struct buffer *slices;
};

static bool assembly_take(struct assembly *assembly, struct buffer *from, size_t bytes)
{
    if (!assembly->flat)
        return buffer_move(assembly->slices, from, bytes);
    buffer_peek(from, 0, assembly->flat, bytes);
    buffer_consume(from, bytes);
    assembly->flat += bytes;
    return true;
}

static bool assembly_put(struct assembly *assembly, const uint8_t *bytes, size_t length)
{
    if (!assembly->flat)
        return buffer_append(assembly->slices, bytes, length);
    memcpy(assembly->flat, bytes, length);
    assembly->flat += length;
    return true;
}

/* The bytes of `range` in order: what stays is taken, what is cut is dropped, what is new is put in. */
static bool range_assemble(struct assembly *assembly, struct buffer *incoming, struct span range,
                           const struct rewrite *rewrite)
{
    uint64_t at = range.start;

    for (unsigned i = 0; i < rewrite->count; i++) {
        const struct edit *edit = &rewrite->edits[i];
        size_t length = edit->insert.end - edit->insert.start;
        if (edit->at < range.start)
            continue;
        if (edit->remove == length) { /* in place: these bytes are nobody else's yet */
            buffer_patch(incoming, edit->at - at, rewrite->bytes + edit->insert.start, length);
            continue;
        }
        if (!assembly_take(assembly, incoming, edit->at - at))
            return false;
        buffer_consume(incoming, edit->remove);
        at = edit->at + edit->remove;
        if (!assembly_put(assembly, rewrite->bytes + edit->insert.start, length))
            return false;
    }
    return assembly_take(assembly, incoming, range.end - at);
}

bool message_move(struct buffer *out, struct buffer *incoming, struct span range,
                  const struct rewrite *rewrite)
{
    struct assembly assembly = { .slices = out };

    return range_assemble(&assembly, incoming, range, rewrite);
}

struct message *message_take(struct buffer *incoming, uint64_t length, const struct scanner *last,
                             const struct rewrite *rewrite)
{
    uint64_t before = length - last->length; /* the messages in front of the last one */
    uint64_t size = length + (uint64_t)rewrite->growth;
    size_t flat_length = size <= FLAT_BYTES_MAX ? (size_t)size : 0;
    size_t id_length = rewrite->chunk.end - rewrite->chunk.start;
    struct message *message = malloc(sizeof *message + id_length + flat_length);

    if (!message)
        return NULL;
    *message = (struct message) { .count = 1, .flat_length = flat_length, .kept = true };
    message->entry.size = size;
    message->entry.id = message->id;
    message->entry.id_length = id_length;
    message->flat = message->id + id_length;
    buffer_init(&message->slices, incoming->pool);
    struct assembly assembly = { .flat = flat_length ? message->flat : NULL, .slices = &message->slices };
    struct span whole = { 0, last->length };
    if (!assembly_take(&assembly, incoming, before) || !range_assemble(&assembly, incoming, whole, rewrite)) {
        message_free(message);
        return NULL;
    }
    if (flat_length)
        memcpy(message->id, message->flat + before + rewrite->chunk.start, id_length);
    else
        buffer_peek(&message->slices, before + rewrite->chunk.start, message->id, id_length);
    return message;
}

struct message *message_open(struct buffer_pool *pool)
{
    struct message *message = malloc(sizeof *message + SCANNER_CHUNK_BYTES_MAX);

    if (!message)
        return NULL;
    *message = (struct message) { .count = 1 };
    message->entry.id = message->id;
    buffer_init(&message->slices, pool);
    return message;
}

void message_set_id(struct message *message, const uint8_t *id, size_t length)
{
    assert(length <= SCANNER_CHUNK_BYTES_MAX);
    memcpy(message->id, id, length);
    message->entry.id_length = length;
}

void message_free(struct message *message)
{
    buffer_clear(&message->slices);
    free(message);
}

/* ---- taking a run apart ---- */

bool message_scan(struct scanner *scanner, const struct scanner_limits *limits, const struct buffer *bytes,
                  size_t at)
{
    enum scanner_status status = SCANNER_MORE;

    scanner_init(scanner, limits);
    while (at < bytes->length && status != SCANNER_END && status != SCANNER_REFUSED) {
        size_t length;
        const uint8_t *piece = buffer_view(bytes, at, &length);
        at += scanner_feed(scanner, piece, length, &status);
    }
    return status == SCANNER_END;
}

/* Not shared: taking messages changes the bytes where they are. */
bool message_copy(const struct message *run, struct buffer *to)
{
    if (run->flat_length)
        return message_write(run, to);
    for (size_t at = 0, length; at < run->slices.length; at += length) {
        const uint8_t *piece = buffer_view(&run->slices, at, &length);
        if (!buffer_append(to, piece, length))
            return false;
    }
    return true;
}

struct message *message_take_part(struct buffer *left, const struct message *run, unsigned most,
                                  const uint8_t id[CHUNK_ID_VALUE_BYTES])
{
    const struct scanner_limits limits = { UINT32_MAX, run->entry.size, SCANNER_DEPTH_MAX };
    struct scanner last;
    struct rewrite rewrite;
    size_t length = 0;
    uint64_t events = 0;
    unsigned count = 0;

    do {
        bool is_whole = message_scan(&last, &limits, left, length);
        assert(is_whole); /* as it was when the run was put together */
        (void)is_whole;
        length += last.length;
        events += last.entries;
        count++;
    } while (count < most && length < left->length);
    rewrite_plan(&rewrite, &last, "", 0, id);
    struct message *part = message_take(left, length, &last, &rewrite);
    if (!part)
        return NULL;
    part->count = count;
    part->events = events;
    part->ack = left->length ? MESSAGE_OUR_ACK : run->ack;
    part->is_protected = run->is_protected;
    part->attempts = run->attempts ? 1 : 0;
    part->arrived_ms = run->arrived_ms;
    return part;
}

/* ---- writing ---- */

bool message_write(const struct message *message, struct buffer *to)
{
    if (message->flat_length)
        return buffer_append(to, message->flat, message->flat_length);
    return buffer_share(to, &message->slices);
}
