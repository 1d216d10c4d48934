/* Both ends of the handshake over any bytes. The answers do not depend on how the input is cut; they are
 * MessagePack and fit; the text for the log is printable.
 *
 * The first byte of an input chooses the end, and whether there are users. Every digest is 128 zeros, so that
 * a fuzzer can produce it. */
#include "forward/handshake.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* The result of a connection. */
struct outcome {
    enum handshake_status status;
    enum handshake_refusal refusal;
    char text[HANDSHAKE_TEXT_BYTES];
    bool keepalive;
    size_t taken, sent;
    uint8_t out[2 * HANDSHAKE_MESSAGE_BYTES_MAX];
};

static void expect(bool right)
{
    if (!right)
        abort();
}

static void sha512(const struct handshake_piece *pieces, size_t count, uint8_t digest[HANDSHAKE_DIGEST_BYTES])
{
    volatile uint8_t sum = 0; /* reads every byte, so that a sanitizer checks the bounds */

    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < pieces[i].length; j++)
            sum = sum ^ ((const uint8_t *)pieces[i].bytes)[j];
    }
    memset(digest, 0, HANDSHAKE_DIGEST_BYTES);
}

static void check_answer(const struct handshake_answer *answer)
{
    msgpack_unpacked unpacked;
    size_t end = 0;

    expect(answer->length <= HANDSHAKE_MESSAGE_BYTES_MAX);
    if (answer->length == 0)
        return;
    msgpack_unpacked_init(&unpacked);
    expect(msgpack_unpack_next(&unpacked, (const char *)answer->bytes, answer->length, &end) ==
           MSGPACK_UNPACK_SUCCESS);
    expect(end == answer->length && unpacked.data.type == MSGPACK_OBJECT_ARRAY);
    msgpack_unpacked_destroy(&unpacked);
}

static void run(struct outcome *outcome, uint8_t choice, const uint8_t *bytes, size_t length, size_t step)
{
    static const struct handshake_user users[] = { { "agent", "password" }, { "", "" } };
    const struct handshake_options options = { .shared_key = "key",
                                               .hostname = "husk",
                                               .username = choice & 2 ? "agent" : NULL,
                                               .password = "password",
                                               .users = users,
                                               .user_count = choice & 2 ? 2 : 0,
                                               .sha512 = sha512 };
    const uint8_t random[HANDSHAKE_RANDOM_BYTES] = { 1, 2, 3 };
    struct handshake handshake;
    struct handshake_answer answer;

    memset(outcome, 0, sizeof *outcome);
    outcome->status = handshake_begin(&handshake, choice & 1 ? HANDSHAKE_ACCEPTING : HANDSHAKE_DIALLING,
                                      &options, random, &answer);
    check_answer(&answer);
    for (size_t here = step < length ? step : length;;) {
        size_t taken;

        outcome->status =
            handshake_feed(&handshake, bytes + outcome->taken, here - outcome->taken, &taken, &answer);
        expect(taken <= here - outcome->taken && taken <= HANDSHAKE_MESSAGE_BYTES_MAX);
        expect(outcome->status != HANDSHAKE_MORE || taken > 0 || answer.length == 0);
        check_answer(&answer);
        memcpy(outcome->out + outcome->sent, answer.bytes, answer.length);
        outcome->sent += answer.length;
        outcome->taken += taken;
        if (outcome->status != HANDSHAKE_MORE)
            break;
        if (taken > 0)
            continue; /* the next message may have arrived already */
        if (here == length)
            break;
        here = length - here > step ? here + step : length;
    }
    outcome->refusal = handshake.refusal;
    outcome->keepalive = handshake.keepalive;
    memcpy(outcome->text, handshake.text, sizeof outcome->text);
    expect(memchr(outcome->text, '\0', sizeof outcome->text) != NULL);
    for (const char *at = outcome->text; *at; at++)
        expect(*at >= 0x20 && *at <= 0x7e);
    expect((outcome->status == HANDSHAKE_REFUSED) == (outcome->refusal != HANDSHAKE_NOT_REFUSED));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct outcome whole, grown;

    if (length == 0)
        return 0;
    run(&whole, bytes[0], bytes + 1, length - 1, length);
    run(&grown, bytes[0], bytes + 1, length - 1, 1 + bytes[0] / 16);
    expect(whole.status == grown.status && whole.refusal == grown.refusal && whole.taken == grown.taken);
    expect(whole.keepalive == grown.keepalive && strcmp(whole.text, grown.text) == 0);
    expect(whole.sent == grown.sent && memcmp(whole.out, grown.out, whole.sent) == 0);
    return 0;
}
