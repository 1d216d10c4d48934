#include "relay/message.h"

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

/* The message's bytes in order: what stays is taken, what is cut is dropped, what is new is put in. */
static bool message_assemble(struct assembly *assembly, struct buffer *incoming, uint64_t length,
                             const struct rewrite *rewrite)
{
    uint64_t at = 0;

    for (unsigned i = 0; i < rewrite->count; i++) {
        const struct edit *edit = &rewrite->edits[i];
        if (!assembly_take(assembly, incoming, edit->at - at))
            return false;
        buffer_consume(incoming, edit->remove);
        at = edit->at + edit->remove;
        if (!assembly_put(assembly, rewrite->bytes + edit->insert.start,
                          edit->insert.end - edit->insert.start))
            return false;
    }
    return assembly_take(assembly, incoming, length - at);
}

struct message *message_take(struct buffer *incoming, const struct scanner *scanner,
                             const struct rewrite *rewrite)
{
    uint64_t size = scanner->length + (uint64_t)rewrite->growth;
    size_t flat_length = size <= FLAT_BYTES_MAX ? (size_t)size : 0;
    size_t id_length = rewrite->chunk.end - rewrite->chunk.start;
    struct message *message = malloc(sizeof *message + id_length + flat_length);

    if (!message)
        return NULL;
    *message = (struct message) { .flat_length = flat_length, .kept = true };
    message->entry.size = size;
    message->entry.id = message->id;
    message->entry.id_length = id_length;
    message->flat = message->id + id_length;
    buffer_init(&message->slices, incoming->pool);
    struct assembly assembly = { .flat = flat_length ? message->flat : NULL, .slices = &message->slices };
    if (!message_assemble(&assembly, incoming, scanner->length, rewrite)) {
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
