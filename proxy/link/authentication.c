#include "link/authentication.h"

#include <stdlib.h>
#include <sys/random.h>

bool greeting_lasts(const struct greeting *greeting)
{
    return greeting->handshake;
}

void greeting_end(struct greeting *greeting)
{
    free(greeting->handshake);
    greeting->handshake = NULL;
}

const char *greeting_detail(const struct greeting *greeting)
{
    return greeting->handshake ? greeting->handshake->text : "";
}

static enum end_reason reason_of_refusal(enum handshake_refusal refusal)
{
    switch (refusal) {
    case HANDSHAKE_WRONG_DIGEST:
    case HANDSHAKE_WRONG_KEY:
        return END_KEY_WRONG;
    case HANDSHAKE_WRONG_USER:
        return END_KEY_USER;
    case HANDSHAKE_REJECTED:
        return END_KEY_REJECTED;
    case HANDSHAKE_SAME_NAME:
        return END_KEY_SAME_NAME;
    default:
        return END_KEY_MALFORMED;
    }
}

enum end_reason greeting_begin(struct greeting *greeting, enum handshake_role role,
                               const struct handshake_options *options, struct buffer *out)
{
    uint8_t random[HANDSHAKE_RANDOM_BYTES], helo[HANDSHAKE_MESSAGE_BYTES_MAX];
    size_t length;

    greeting->handshake = calloc(1, sizeof *greeting->handshake);
    if (!greeting->handshake || getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return END_NO_MEMORY;
    (void)handshake_begin(greeting->handshake, role, options, random, helo, &length);
    return buffer_append(out, helo, length) ? END_NONE : END_NO_MEMORY;
}

enum end_reason greeting_advance(struct greeting *greeting, struct buffer *in, struct buffer *out)
{
    uint8_t bytes[HANDSHAKE_MESSAGE_BYTES_MAX + 1], answer[HANDSHAKE_MESSAGE_BYTES_MAX];

    while (greeting->handshake && in->length) {
        size_t length = buffer_peek(in, 0, bytes, sizeof bytes), taken, answer_length;
        enum handshake_status status =
            handshake_feed(greeting->handshake, bytes, length, &taken, answer, &answer_length);
        buffer_consume(in, taken);
        if (!buffer_append(out, answer, answer_length))
            return END_NO_MEMORY;
        if (status == HANDSHAKE_REFUSED)
            return reason_of_refusal(greeting->handshake->refusal);
        if (status == HANDSHAKE_DONE)
            greeting_end(greeting);
        else if (!taken)
            break;
    }
    return END_NONE;
}
