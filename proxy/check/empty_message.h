/* A Forward message without events, and its ack: shows that an aggregator takes messages and acknowledges
 * them, and stores nothing. Pure, except for random bytes of the chunk id. */
#ifndef HUSK_CHECK_EMPTY_MESSAGE_H
#define HUSK_CHECK_EMPTY_MESSAGE_H

#include "base/buffer.h"
#include "base/fault.h"

#include <stdbool.h>

enum { EMPTY_MESSAGE_TAG_BYTES_MAX = 1024, EMPTY_MESSAGE_ID_BYTES = 48 };

struct empty_message {
    char id[EMPTY_MESSAGE_ID_BYTES]; /* the chunk id, text */
};

/* Appends [tag, [], {"chunk": id}] to `out`, with a new id. `tag`: at most EMPTY_MESSAGE_TAG_BYTES_MAX bytes.
 * False when out of memory. */
MUST_CHECK bool empty_message_write(struct empty_message *message, const char *tag, struct buffer *out);

/* The same with the frames of the link in front (docs/link.md), which name a sender. */
MUST_CHECK bool empty_message_write_on_link(struct empty_message *message, const char *tag,
                                            struct buffer *out);

enum empty_message_answer {
    ANSWER_INCOMPLETE,
    ANSWER_ACK,       /* of this message */
    ANSWER_OTHER_ACK, /* of another message */
    ANSWER_REFUSED,   /* a map without "ack" */
    ANSWER_FOREIGN    /* no answer to a message */
};

/* What the first bytes of `in` say. Removes nothing. */
enum empty_message_answer empty_message_judge(const struct empty_message *message, const struct buffer *in);

/* On the link: removes frames that answer no message. */
void empty_message_skip_frames(struct buffer *in);
/* On the link, of ANSWER_ACK: copies why the husk refuses the message, cut to size. False: it does not. */
bool empty_message_is_refused(const struct buffer *in, char *reason, size_t size);

#endif
