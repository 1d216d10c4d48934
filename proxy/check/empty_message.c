#include "check/empty_message.h"

#include "forward/ack.h"
#include "forward/link.h"
#include "forward/msgpack_bytes.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum { WAITING_EVERY_MS = 1000 };

/* Two husks, or two checks, must not use the same id. */
static bool id_make(char id[EMPTY_MESSAGE_ID_BYTES])
{
    uint64_t random[2];

    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return false;
    snprintf(id, EMPTY_MESSAGE_ID_BYTES, "husk-check-%016" PRIx64 "%016" PRIx64, random[0], random[1]);
    return true;
}

bool empty_message_write(struct empty_message *message, const char *tag, struct buffer *out)
{
    uint8_t bytes[EMPTY_MESSAGE_TAG_BYTES_MAX + EMPTY_MESSAGE_ID_BYTES + 8 * MSGPACK_HEADER_BYTES_MAX];
    size_t length = 0;

    assert(strlen(tag) <= EMPTY_MESSAGE_TAG_BYTES_MAX);
    if (!id_make(message->id))
        return false;
    length += msgpack_bytes_put_header(bytes, MSGPACK_ARRAY, 3, 1);
    length += msgpack_bytes_put_str(bytes + length, tag);
    length += msgpack_bytes_put_header(bytes + length, MSGPACK_ARRAY, 0, 1);
    length += msgpack_bytes_put_header(bytes + length, MSGPACK_MAP, 1, 1);
    length += msgpack_bytes_put_str(bytes + length, "chunk");
    length += msgpack_bytes_put_str(bytes + length, message->id);
    return buffer_append(out, bytes, length);
}

bool empty_message_write_on_link(struct empty_message *message, const char *tag, struct buffer *out)
{
    uint8_t frame[LINK_SHORT_BYTES_MAX];

    return buffer_append(out, frame, link_write_waiting_every(frame, WAITING_EVERY_MS)) &&
           buffer_append(out, frame, link_write_sender(frame, 1)) && empty_message_write(message, tag, out);
}

static bool id_is_ours(const struct empty_message *message, const uint8_t *value, size_t length)
{
    uint8_t own[EMPTY_MESSAGE_ID_BYTES + MSGPACK_HEADER_BYTES_MAX];
    size_t own_length = msgpack_bytes_put_str(own, message->id);

    return ack_id_compare(own, own_length, value, length) != ACK_IDS_DIFFER;
}

enum empty_message_answer empty_message_judge(const struct empty_message *message, const struct buffer *in)
{
    uint8_t bytes[ACK_BYTES_MAX + 1];
    size_t length = buffer_peek(in, 0, bytes, sizeof bytes), taken;
    struct span id;

    switch (ack_parse(bytes, length, &taken, &id)) {
    case ACK_MORE:
        return ANSWER_INCOMPLETE;
    case ACK_FOUND:
        return id_is_ours(message, bytes + id.start, (size_t)(id.end - id.start)) ? ANSWER_ACK
                                                                                  : ANSWER_OTHER_ACK;
    case ACK_NEGATIVE:
        return ANSWER_REFUSED;
    case ACK_MALFORMED:
        break;
    }
    return ANSWER_FOREIGN;
}

void empty_message_skip_frames(struct buffer *in)
{
    uint8_t bytes[LINK_FRAME_BYTES_MAX];
    struct link_answer answer;
    size_t taken;

    while (link_answer_parse(bytes, buffer_peek(in, 0, bytes, sizeof bytes), &taken, &answer) == LINK_FOUND &&
           answer.ack.start == answer.ack.end)
        buffer_consume(in, taken);
}

bool empty_message_is_refused(const struct buffer *in, char *reason, size_t size)
{
    uint8_t bytes[LINK_FRAME_BYTES_MAX];
    struct link_answer answer;
    size_t taken;

    if (link_answer_parse(bytes, buffer_peek(in, 0, bytes, sizeof bytes), &taken, &answer) != LINK_FOUND ||
        answer.reason.start == answer.reason.end)
        return false;
    snprintf(reason, size, "%.*s", (int)(answer.reason.end - answer.reason.start),
             (const char *)bytes + answer.reason.start);
    return true;
}
