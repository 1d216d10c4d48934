/* The lower bound: the least work that a user-space TLS proxy can do. It copies between two sockets, and
 * seals in records of 16 KiB (AES-128-GCM) or opens such records. It blocks, with two threads for each
 * connection. It has no handshakes, certificates, limits or counters, and keeps sockets open until it ends.
 *
 * usage: floor seal|open PORT UPSTREAM_PORT. `seal`: plain downstream, sealed upstream; `open`: the reverse.
 */
#include "load/load.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/aead.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    RECORD_BYTES = 16384,
    HEADER_BYTES = 5, /* as in TLS: type, version, length */
    TAG_BYTES = 16,
    NONCE_BYTES = 12,
    SEALED_BYTES = LOAD_BUFFER_BYTES + LOAD_BUFFER_BYTES / RECORD_BYTES * (HEADER_BYTES + TAG_BYTES),
};

/* One direction of a connection. */
struct direction {
    int from, to;
    size_t (*transform)(struct direction *direction, size_t length);
    EVP_AEAD_CTX aead;
    uint64_t records; /* the nonce */
    size_t held;      /* bytes of an incomplete record at the front of `input` */
    uint8_t input[SEALED_BYTES], output[SEALED_BYTES];
};

static void next_nonce(struct direction *direction, uint8_t nonce[NONCE_BYTES])
{
    memset(nonce, 0, NONCE_BYTES);
    memcpy(nonce, &direction->records, sizeof direction->records);
    direction->records++;
}

static size_t seal(struct direction *direction, size_t length)
{
    uint8_t nonce[NONCE_BYTES], *out = direction->output;

    for (size_t at = 0; at < length; at += RECORD_BYTES) {
        size_t plain = length - at < RECORD_BYTES ? length - at : RECORD_BYTES, sealed = plain + TAG_BYTES;
        const uint8_t header[HEADER_BYTES] = { 23, 3, 3, (uint8_t)(sealed >> 8), (uint8_t)sealed };
        next_nonce(direction, nonce);
        memcpy(out, header, HEADER_BYTES);
        out += HEADER_BYTES;
        if (!EVP_AEAD_CTX_seal(&direction->aead, out, &sealed, sealed, nonce, NONCE_BYTES,
                               direction->input + at, plain, header, HEADER_BYTES))
            load_fail("cannot seal");
        out += sealed;
    }
    return (size_t)(out - direction->output);
}

static size_t open_records(struct direction *direction, size_t length)
{
    uint8_t nonce[NONCE_BYTES], *out = direction->output;
    size_t at = 0;

    while (length - at >= HEADER_BYTES) {
        const uint8_t *header = direction->input + at;
        size_t sealed = (size_t)header[3] << 8 | header[4], plain;
        if (length - at - HEADER_BYTES < sealed)
            break;
        next_nonce(direction, nonce);
        if (!EVP_AEAD_CTX_open(&direction->aead, out, &plain, sealed, nonce, NONCE_BYTES,
                               header + HEADER_BYTES, sealed, header, HEADER_BYTES))
            load_fail("cannot open");
        out += plain;
        at += HEADER_BYTES + sealed;
    }
    direction->held = length - at;
    memmove(direction->input, direction->input + at, direction->held);
    return (size_t)(out - direction->output);
}

static void *carry(void *argument)
{
    struct direction *direction = argument;
    ssize_t length;

    while ((length = recv(direction->from, direction->input + direction->held,
                          LOAD_BUFFER_BYTES - direction->held, 0)) > 0)
        load_write_all(direction->to, direction->output,
                       direction->transform(direction, direction->held + (size_t)length));
    shutdown(direction->to, SHUT_WR);
    EVP_AEAD_CTX_cleanup(&direction->aead);
    free(direction);
    return NULL;
}

static void start_direction(int from, int to, size_t (*transform)(struct direction *, size_t))
{
    static const uint8_t key[16] = "no secret at all";
    struct direction *direction = load_allocate(1, sizeof *direction);
    pthread_t thread;

    direction->from = from;
    direction->to = to;
    direction->transform = transform;
    if (!EVP_AEAD_CTX_init(&direction->aead, EVP_aead_aes_128_gcm(), key, sizeof key, TAG_BYTES, NULL) ||
        pthread_create(&thread, NULL, carry, direction))
        load_fail("cannot start a direction");
    pthread_detach(thread);
}

int main(int count, char **arguments)
{
    if (count != 4)
        load_fail("usage: floor seal|open PORT UPSTREAM_PORT");
    int listener = load_listen((uint16_t)load_number(arguments[2], 1));
    uint16_t upstream = (uint16_t)load_number(arguments[3], 1);
    int seals = !strcmp(arguments[1], "seal");

    for (;;) {
        const struct timeval forever = { 0 };
        struct pollfd waiting = { .fd = listener, .events = POLLIN };
        poll(&waiting, 1, -1);
        int agent = accept4(listener, NULL, NULL, SOCK_CLOEXEC), outlet;
        if (agent < 0)
            continue;
        outlet = load_connect(upstream);
        setsockopt(outlet, IPPROTO_TCP, TCP_CONGESTION, "reno", strlen("reno")); /* like husk on loopback */
        setsockopt(outlet, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever);
        setsockopt(outlet, SOL_SOCKET, SO_SNDTIMEO, &forever, sizeof forever);
        start_direction(agent, outlet, seals ? seal : open_records);
        start_direction(outlet, agent, seals ? open_records : seal);
    }
}
