/* Joins messages with the same tag into one message in PackedForward mode, a batch:
 * [tag, bin of their entries, {"chunk": id, "size": number of entries}].
 *
 * The bytes of times and records do not change. "chunk" is the first pair of the option. A chunk id that
 * rewrite_plan adds to the message of an agent is the last pair, so that another husk can tell the two apart.
 *
 * Pure. Owns the bytes of the batch until they are moved out. */
#ifndef HUSK_FORWARD_BATCH_ENCODER_H
#define HUSK_FORWARD_BATCH_ENCODER_H

#include "base/buffer.h"
#include "base/fault.h"
#include "forward/rewriter.h"
#include "forward/scanner.h"

enum {
    BATCH_TAG_BYTES_MAX = 1024,             /* of messages that are joined, without header */
    BATCH_BYTES_MAX = 16 * 1024 * 1024,     /* longest batch of a husk: the limit of --batch-bytes */
    BATCH_EVENTS_MAX = BATCH_BYTES_MAX / 3, /* the shortest entry has three bytes */
    BATCH_FRAME_BYTES_MAX = 64, /* most bytes of a batch, without tag, prefix and the entries themselves */
};

struct batch_encoder {
    struct buffer bytes; /* from the first message on: the head, and the entries so far */
    uint64_t events;     /* entries so far */
    size_t length_at;    /* offset of the length of the body in `bytes` */
    size_t tag_length;
    uint8_t tag[BATCH_TAG_BYTES_MAX + REWRITE_PREFIX_BYTES_MAX]; /* as read, without header */
};

/* A message, not a foreign value, whose scanner is at SCANNER_END, and where it begins. All pointers are
 * borrowed. */
struct batch_message {
    const struct buffer *bytes;
    size_t start;
    const struct scanner *scanner;
};

/* The number of events in a message that may join a batch; 0: it may not. It may if it asks for no ack, if
 * its option is empty or has only the key "size", if it is not compressed, if it means the same in
 * PackedForward mode, and if no event is invalid. Reads the whole body of a message in PackedForward mode. */
uint64_t batch_events_of(const struct batch_message *message);
/* Whether the message is a batch of a husk: it can be split (batch_split). */
bool batch_is_of_husk(const struct batch_message *message);

/* Appends the entries of a batch to `to`, which is empty, inflated if they are compressed. False when these
 * are not `events` entries, or when out of memory. */
MUST_CHECK bool batch_entries_copy(const struct batch_message *batch, uint64_t events, struct buffer *to);

void batch_encoder_init(struct batch_encoder *encoder, struct buffer_pool *pool);
/* Drops the batch. */
void batch_encoder_clear(struct batch_encoder *encoder);

/* Begins a batch with the tag of `message`. Puts `prefix`, which may be empty, in front of the tag. False
 * when out of memory. */
MUST_CHECK bool batch_encoder_begin(struct batch_encoder *encoder, const struct batch_message *message,
                                    const char *prefix, size_t prefix_length);
/* Whether the message has the tag of the batch. */
bool batch_encoder_has_tag_of(const struct batch_encoder *encoder, const struct batch_message *message);
/* Appends the entries of a message with `events` events. False when out of memory: the batch is incomplete
 * then. */
MUST_CHECK bool batch_encoder_add(struct batch_encoder *encoder, const struct batch_message *message,
                                  uint64_t events);
/* Appends bytes of entries, and counts `events` of them. False when out of memory. */
MUST_CHECK bool batch_encoder_append(struct batch_encoder *encoder, const uint8_t *bytes, size_t length,
                                     uint64_t events);
/* Ends the batch: `bytes` has the whole message, whose owner is the caller from now on. False when out of
 * memory. */
MUST_CHECK bool batch_encoder_end(struct batch_encoder *encoder,
                                  const uint8_t chunk_value[CHUNK_ID_VALUE_BYTES]);

#endif
