/* The floor: the least a user-space TLS proxy can do. Copies between two sockets, and seals what it sends in
 * records of 16 KiB (AES-128-GCM), or opens what it has read; blocking, two threads for each connection.
 * There are no handshakes, no certificates, no limits, no counters, and sockets stay open until it ends.
 *
 * usage: floor seal|open PORT UPSTREAM_PORT. `seal`: plain here, sealed upstream; `open`: the mirror. */
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
struct way {
    int from, to;
    size_t (*transform)(struct way *way, size_t length);
    EVP_AEAD_CTX aead;
    uint64_t records; /* the nonce */
    size_t held;      /* bytes at the front of `input` of a record that is not whole yet */
    uint8_t input[SEALED_BYTES], output[SEALED_BYTES];
};

static void next_nonce(struct way *way, uint8_t nonce[NONCE_BYTES])
{
    memset(nonce, 0, NONCE_BYTES);
    memcpy(nonce, &way->records, sizeof way->records);
    way->records++;
}

static size_t seal(struct way *way, size_t length)
{
    uint8_t nonce[NONCE_BYTES], *out = way->output;

    for (size_t at = 0; at < length; at += RECORD_BYTES) {
        size_t plain = length - at < RECORD_BYTES ? length - at : RECORD_BYTES, sealed = plain + TAG_BYTES;
        const uint8_t header[HEADER_BYTES] = { 23, 3, 3, (uint8_t)(sealed >> 8), (uint8_t)sealed };
        next_nonce(way, nonce);
        memcpy(out, header, HEADER_BYTES);
        out += HEADER_BYTES;
        if (!EVP_AEAD_CTX_seal(&way->aead, out, &sealed, sealed, nonce, NONCE_BYTES, way->input + at, plain,
                               header, HEADER_BYTES))
            load_fail("cannot seal");
        out += sealed;
    }
    return (size_t)(out - way->output);
}

static size_t open_records(struct way *way, size_t length)
{
    uint8_t nonce[NONCE_BYTES], *out = way->output;
    size_t at = 0;

    while (length - at >= HEADER_BYTES) {
        const uint8_t *header = way->input + at;
        size_t sealed = (size_t)header[3] << 8 | header[4], plain;
        if (length - at - HEADER_BYTES < sealed)
            break;
        next_nonce(way, nonce);
        if (!EVP_AEAD_CTX_open(&way->aead, out, &plain, sealed, nonce, NONCE_BYTES, header + HEADER_BYTES,
                               sealed, header, HEADER_BYTES))
            load_fail("cannot open");
        out += plain;
        at += HEADER_BYTES + sealed;
    }
    way->held = length - at;
    memmove(way->input, way->input + at, way->held);
    return (size_t)(out - way->output);
}

static void *carry(void *argument)
{
    struct way *way = argument;
    ssize_t length;

    while ((length = recv(way->from, way->input + way->held, LOAD_BUFFER_BYTES - way->held, 0)) > 0)
        load_write_all(way->to, way->output, way->transform(way, way->held + (size_t)length));
    shutdown(way->to, SHUT_WR);
    EVP_AEAD_CTX_cleanup(&way->aead);
    free(way);
    return NULL;
}

static void start_way(int from, int to, size_t (*transform)(struct way *, size_t))
{
    static const uint8_t key[16] = "no secret at all";
    struct way *way = load_allocate(1, sizeof *way);
    pthread_t thread;

    way->from = from;
    way->to = to;
    way->transform = transform;
    if (!EVP_AEAD_CTX_init(&way->aead, EVP_aead_aes_128_gcm(), key, sizeof key, TAG_BYTES, NULL) ||
        pthread_create(&thread, NULL, carry, way))
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
        setsockopt(outlet, IPPROTO_TCP, TCP_CONGESTION, "reno",
                   strlen("reno")); /* as husk does on loopback */
        setsockopt(outlet, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever);
        setsockopt(outlet, SOL_SOCKET, SO_SNDTIMEO, &forever, sizeof forever);
        start_way(agent, outlet, seals ? seal : open_records);
        start_way(outlet, agent, seals ? open_records : seal);
    }
}
