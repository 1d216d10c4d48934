#include "delivery/message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FLAT_BYTES_MAX = 4096 };

/* Where the bytes of a message are put: a flat area or slices. */
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

/* Moves the bytes of `range` to the assembly and applies the edits of `rewrite`. */
static bool range_assemble(struct assembly *assembly, struct buffer *incoming, struct span range,
                           const struct rewrite *rewrite)
{
    uint64_t at = range.start;

    for (unsigned i = 0; i < rewrite->count; i++) {
        const struct edit *edit = &rewrite->edits[i];
        size_t length = edit->insert.end - edit->insert.start;
        if (edit->at < range.start)
            continue;
        if (edit->remove == length) { /* in place: no other buffer shares these bytes yet */
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

struct message *message_take(struct buffer *incoming, const struct message_source *source)
{
    const struct rewrite *rewrite = source->rewrite;
    uint64_t size = source->length + (uint64_t)rewrite->growth;
    unsigned flat_length = size <= FLAT_BYTES_MAX ? (unsigned)size : 0;
    size_t id_length = rewrite->chunk.end - rewrite->chunk.start;
    struct message *message = malloc(sizeof *message + id_length + flat_length);

    if (!message)
        return NULL;
    *message = (struct message) {
        .entry = { .id = message->id, .id_length = id_length, .size = size },
        .ack = source->ack,
        .count = source->count,
        .events = source->events,
        .is_batch = source->is_batch,
        .is_early_part = source->is_early_part,
        .is_protected = source->is_protected,
        .is_kept = true,
        .flat_length = flat_length,
        .flat = message->id + id_length,
    };
    buffer_init(&message->slices, incoming->pool);
    struct assembly assembly = { .flat = flat_length ? message->flat : NULL, .slices = &message->slices };
    struct span whole = { 0, source->length };
    if (!range_assemble(&assembly, incoming, whole, rewrite)) {
        message_free(message);
        return NULL;
    }
    if (flat_length)
        memcpy(message->id, message->flat + rewrite->chunk.start, id_length);
    else
        buffer_peek(&message->slices, rewrite->chunk.start, message->id, id_length);
    return message;
}

void message_free(struct message *message)
{
    buffer_clear(&message->slices);
    free(message);
}

bool message_write(const struct message *message, struct buffer *to)
{
    if (message->flat_length)
        return buffer_append(to, message->flat, message->flat_length);
    return buffer_share(to, &message->slices);
}

void message_discard_bytes(struct message *message)
{
    message->is_kept = false;
    buffer_clear(&message->slices);
}

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

/* ---- a message that grows while it is cut through ---- */

struct message *message_open(struct buffer_pool *pool, enum message_protection protection)
{
    bool is_protected = protection == MESSAGE_PROTECTED;
    struct message *message = malloc(sizeof *message + SCANNER_CHUNK_BYTES_MAX);

    if (!message)
        return NULL;
    *message = (struct message) {
        .entry = { .id = message->id },
        .count = 1,
        .is_protected = is_protected,
        .is_kept = is_protected,
    };
    buffer_init(&message->slices, pool);
    return message;
}

bool message_grow(struct message *message, const struct buffer *piece)
{
    message->entry.size += piece->length;
    return !message->is_kept || buffer_share(&message->slices, piece);
}

void message_keep(struct message *message)
{
    message->is_kept = true;
}

void message_unprotect(struct message *message)
{
    message->is_protected = false;
    message_discard_bytes(message);
}

void message_complete(struct message *message, const struct message_summary *summary)
{
    assert(summary->id_length <= SCANNER_CHUNK_BYTES_MAX);
    memcpy(message->id, summary->id, summary->id_length);
    message->entry.id_length = summary->id_length;
    message->events = summary->events;
    message->ack = summary->ack;
}

struct message *message_make_empty(const struct buffer *bytes, size_t start, const struct scanner *scanner,
                                   unsigned count)
{
    const struct span *chunk = &scanner->chunk;
    size_t id_length = (size_t)(chunk->end - chunk->start);
    struct message *message = malloc(sizeof *message + id_length);

    if (!message)
        return NULL;
    *message = (struct message) {
        .entry = { .id = message->id, .id_length = id_length },
        .ack = scanner_asks_ack(scanner) ? MESSAGE_AGENT_ACK : MESSAGE_NO_ACK,
        .count = count,
    };
    buffer_init(&message->slices, bytes->pool);
    buffer_peek(bytes, start + (size_t)chunk->start, message->id, id_length);
    return message;
}
