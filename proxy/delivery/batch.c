#include "delivery/batch.h"

#include "delivery/retry.h"
#include "forward/batch_encoder.h"
#include "forward/entries.h"

#include <string.h>

static const struct scanner_limits limits = { UINT32_MAX, UINT64_MAX, SCANNER_DEPTH_MAX };

struct split {
    const struct message *batch;
    struct chunk_ids *ids;
    struct batch_message whole;
    struct batch_encoder encoder; /* of the next part */
    uint64_t events;              /* in the parts so far */
    unsigned count;               /* of the parts so far */
    struct message_list parts;
};

/* Makes a part of the message at the front of `bytes`: the part has the events up to the number `end`. */
static bool part_take(struct split *split, struct buffer *bytes, uint64_t end)
{
    const struct message *batch = split->batch;
    bool is_last = end == batch->events;
    unsigned count = (unsigned)(batch->count * end / batch->events);
    bool is_readable = bytes == &split->encoder.bytes;
    struct scanner scanner;
    struct rewrite rewrite;

    if (!message_scan(&scanner, &limits, bytes, 0))
        return false;
    rewrite_plan(&rewrite, &scanner, "", 0, NULL);
    const struct message_source source = {
        .length = scanner.length,
        .rewrite = &rewrite,
        .count = count - split->count,
        .events = end - split->events,
        .ack = is_last ? batch->ack : MESSAGE_OUR_ACK,
        .is_protected = batch->is_protected,
        .is_batch = is_readable && end - split->events > 1,
        .is_early_part = batch->is_early_part || (!is_last && batch->ack == MESSAGE_AGENT_ACK),
    };
    struct message *part = message_take(bytes, &source);
    if (!part)
        return false;
    retry_inherit(part, batch);
    TAILQ_INSERT_TAIL(&split->parts, part, of_queue);
    split->events = end;
    split->count = count;
    return true;
}

/* The entries of the next part are in the encoder. */
static bool part_end(struct split *split, uint64_t end)
{
    const struct message *batch = split->batch;
    uint8_t id[CHUNK_ID_VALUE_BYTES];

    if (end == batch->events)
        memcpy(id, batch->id, sizeof id); /* the id has this length: batch_is_of_husk */
    else
        chunk_ids_next(split->ids, id);
    return batch_encoder_end(&split->encoder, id) && part_take(split, &split->encoder.bytes, end);
}

/* Makes parts of up to `most` of the entries. */
static bool parts_make(struct split *split, struct buffer *entries, uint64_t most)
{
    struct entries walk;
    bool done = true;

    entries_init(&walk);
    while (entries->length && done) {
        uint64_t before = walk.count;
        size_t length;
        const uint8_t *bytes = buffer_view(entries, 0, &length);
        bool goes;
        size_t taken = entries_feed_one(&walk, bytes, length, &goes);
        if (!split->encoder.bytes.length)
            done = batch_encoder_begin(&split->encoder, &split->whole, "", 0);
        done = done && batch_encoder_append(&split->encoder, bytes, taken, walk.count - before);
        buffer_consume(entries, taken);
        if (done && (!entries->length || walk.count - split->events == most))
            done = part_end(split, walk.count);
    }
    batch_encoder_clear(&split->encoder);
    return done;
}

static void parts_free(struct message_list *parts)
{
    while (!TAILQ_EMPTY(parts)) {
        struct message *part = TAILQ_FIRST(parts);
        TAILQ_REMOVE(parts, part, of_queue);
        message_free(part);
    }
}

bool batch_split(const struct message *batch, uint64_t most, struct chunk_ids *ids,
                 struct message_list *parts)
{
    struct split split = { .batch = batch, .ids = ids, .parts = TAILQ_HEAD_INITIALIZER(split.parts) };
    struct buffer bytes, entries;
    struct scanner scanner;

    buffer_init(&bytes, batch->slices.pool);
    buffer_init(&entries, batch->slices.pool);
    batch_encoder_init(&split.encoder, batch->slices.pool);
    split.whole = (struct batch_message) { &bytes, 0, &scanner };
    bool done = message_write(batch, &bytes) && message_scan(&scanner, &limits, &bytes, 0);
    /* The tag may have grown since the batch was read: a rule has put a prefix before the tag. */
    bool is_batch = done && batch_is_of_husk(&split.whole);
    if (is_batch && batch_entries_copy(&split.whole, batch->events, &entries))
        done = parts_make(&split, &entries, most);
    else
        done = done && part_take(&split, &bytes, batch->events);
    buffer_clear(&bytes);
    buffer_clear(&entries);
    if (!done)
        parts_free(&split.parts);
    TAILQ_CONCAT(parts, &split.parts, of_queue);
    return done;
}
