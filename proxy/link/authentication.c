#include "link/authentication.h"

#include <stdlib.h>
#include <sys/random.h>

struct authentication_run {
    struct shared_key *key;
    struct handshake handshake; /* borrows from `key` */
    uint64_t deadline_ms;
};

bool authentication_is_running(const struct authentication *authentication)
{
    return authentication->run;
}

uint64_t authentication_deadline_ms(const struct authentication *authentication)
{
    return authentication->run ? authentication->run->deadline_ms : 0;
}

void authentication_end(struct authentication *authentication)
{
    if (!authentication->run)
        return;
    shared_key_release(authentication->run->key);
    free(authentication->run);
    authentication->run = NULL;
}

const char *authentication_detail(const struct authentication *authentication)
{
    return authentication->run ? authentication->run->handshake.text : "";
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

enum end_reason authentication_begin(struct authentication *authentication, enum handshake_role role,
                                     struct shared_key_slot *slot, uint64_t deadline_ms, struct buffer *out)
{
    uint8_t random[HANDSHAKE_RANDOM_BYTES];
    struct handshake_answer helo;

    authentication->run = calloc(1, sizeof *authentication->run);
    if (!authentication->run || getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return END_NO_MEMORY;
    authentication->run->deadline_ms = deadline_ms;
    authentication->run->key = shared_key_slot_take(slot);
    (void)handshake_begin(&authentication->run->handshake, role,
                          shared_key_handshake(authentication->run->key), random, &helo);
    return buffer_append(out, helo.bytes, helo.length) ? END_NONE : END_NO_MEMORY;
}

enum end_reason authentication_advance(struct authentication *authentication, struct buffer *in,
                                       struct buffer *out)
{
    uint8_t bytes[HANDSHAKE_MESSAGE_BYTES_MAX + 1];
    struct handshake_answer answer;

    while (authentication->run && in->length) {
        size_t length = buffer_peek(in, 0, bytes, sizeof bytes), taken;
        enum handshake_status status =
            handshake_feed(&authentication->run->handshake, bytes, length, &taken, &answer);
        buffer_consume(in, taken);
        if (!buffer_append(out, answer.bytes, answer.length))
            return END_NO_MEMORY;
        if (status == HANDSHAKE_REFUSED)
            return reason_of_refusal(authentication->run->handshake.refusal);
        if (status == HANDSHAKE_DONE)
            authentication_end(authentication);
        else if (!taken)
            break;
    }
    return END_NONE;
}
