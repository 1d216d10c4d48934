/* Forward messages for tests: as bytes, and as struct message. */
#ifndef HUSK_TESTS_SUPPORT_MESSAGES_H
#define HUSK_TESTS_SUPPORT_MESSAGES_H

#include "delivery/message.h"

/* Appends [tag, 1, {"m": text}] to `to`, with {"chunk": chunk} as its option unless `chunk` is NULL. */
void messages_append(struct buffer *to, const char *tag, const char *text, const char *chunk);

/* Makes a message, or a batch when `count` is above 1, with the tag `name` and `count` events with the texts
 * "0", "1"… With MESSAGE_AGENT_ACK the chunk id of a message is `name`. The chunk id of a batch, and of a
 * message with MESSAGE_OUR_ACK, has the form of a husk's and is made of `name`. husk protects the message
 * unless it has no ack. */
struct message *messages_make(struct buffer_pool *pool, const char *name, enum message_ack ack,
                              unsigned count);

/* Fails the test unless the kept bytes of `message` equal `length` bytes at `bytes`. */
void messages_expect_bytes(const struct message *message, const void *bytes, size_t length);
/* Fails the test unless `buffer` holds `length` bytes that equal `bytes`. */
void messages_expect_buffer(const struct buffer *buffer, const void *bytes, size_t length);

#endif
