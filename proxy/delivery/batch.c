#include "delivery/batch.h"

#include "delivery/retry.h"

#include <assert.h>

/* Copies the bytes, because message_take changes bytes in place, and slices are shared. */
static bool bytes_copy(const struct message *batch, struct buffer *to)
{
    if (batch->flat_length)
        return message_write(batch, to);
    for (size_t at = 0, length; at < batch->slices.length; at += length) {
        const uint8_t *piece = buffer_view(&batch->slices, at, &length);
        if (!buffer_append(to, piece, length))
            return false;
    }
    return true;
}

/* Removes the next part, of up to `most` messages, from the front of `left`, the remaining bytes of the
 * batch. NULL when out of memory. */
static struct message *part_take(struct buffer *left, const struct message *batch, unsigned most,
                                 struct chunk_ids *ids)
{
    const struct scanner_limits limits = { UINT32_MAX, batch->entry.size, SCANNER_DEPTH_MAX };
    uint8_t id[CHUNK_ID_VALUE_BYTES];
    struct scanner last;
    struct rewrite rewrite;
    struct message_source source = { .last = &last,
                                     .rewrite = &rewrite,
                                     .is_protected = batch->is_protected };

    do {
        bool is_whole = message_scan(&last, &limits, left, source.length);
        assert(is_whole); /* it was whole when the batch was made */
        (void)is_whole;
        source.length += last.length;
        source.events += last.entries;
        source.count++;
    } while (source.count < most && source.length < left->length);
    source.ack = source.length < left->length ? MESSAGE_OUR_ACK : batch->ack;
    chunk_ids_next(ids, id);
    rewrite_plan(&rewrite, &last, "", 0, id);
    return message_take(left, &source);
}

static void parts_free(struct message_list *parts)
{
    while (!TAILQ_EMPTY(parts)) {
        struct message *part = TAILQ_FIRST(parts);
        TAILQ_REMOVE(parts, part, of_queue);
        message_free(part);
    }
}

bool batch_split(const struct message *batch, unsigned most, struct chunk_ids *ids,
                 struct message_list *parts)
{
    struct message_list made = TAILQ_HEAD_INITIALIZER(made);
    struct buffer left;

    buffer_init(&left, batch->slices.pool);
    bool done = bytes_copy(batch, &left);
    while (done && left.length) {
        struct message *part = part_take(&left, batch, most, ids);
        done = part;
        if (!part)
            break;
        retry_inherit(part, batch);
        TAILQ_INSERT_TAIL(&made, part, of_queue);
    }
    buffer_clear(&left);
    if (!done)
        parts_free(&made);
    TAILQ_CONCAT(parts, &made, of_queue);
    return done;
}
