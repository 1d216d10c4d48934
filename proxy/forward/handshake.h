/* The shared-key handshake: HELO, PING, PONG; both ends of it. Pure: bytes in, bytes out.
 *
 * The accepting side speaks first, and only then does the agent send. Digests are SHA-512 in lower-case hex;
 * the hash function and random bytes are given by the caller, so that nothing here knows a crypto library.
 * Source: Forward Protocol Specification v1, "Handshake messages", and what Fluentd and Fluent Bit make of
 * it. */
#ifndef HUSK_FORWARD_HANDSHAKE_H
#define HUSK_FORWARD_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HANDSHAKE_MESSAGE_BYTES_MAX = 8192,
    HANDSHAKE_NAME_BYTES_MAX = 255, /* of our own host name and user name */
    HANDSHAKE_NONCE_BYTES = 16,     /* of our own nonces and salts */
    HANDSHAKE_PEER_NONCE_BYTES_MAX = 256,
    HANDSHAKE_RANDOM_BYTES = 3 * HANDSHAKE_NONCE_BYTES,
    HANDSHAKE_DIGEST_BYTES = 64,
    HANDSHAKE_TEXT_BYTES = 128,
};

/* SHA-512 of the concatenation of `count` pieces. */
struct handshake_piece {
    const void *bytes;
    size_t length;
};
typedef void handshake_sha512(const struct handshake_piece *pieces, size_t count,
                              uint8_t digest[HANDSHAKE_DIGEST_BYTES]);

struct handshake_user {
    const char *name, *password;
};

/* All borrowed; they outlive the handshake. */
struct handshake_options {
    const char *shared_key;
    /* What we call ourselves, not longer than HANDSHAKE_NAME_BYTES_MAX. It must differ from what the peer
     * calls itself: the dialling side refuses an aggregator of its own name, since one that does not know the
     * key could otherwise send our own digest back to us. Fluentd refuses it too. */
    const char *hostname;
    const char *username, *password;    /* dialling side; NULL: none. The name has the same limit */
    const struct handshake_user *users; /* accepting side; user_count 0: no user authentication */
    size_t user_count;
    handshake_sha512 *sha512;
};

enum handshake_role { HANDSHAKE_ACCEPTING, HANDSHAKE_DIALLING };

enum handshake_status {
    HANDSHAKE_MORE,    /* send what is in `out`, then feed more */
    HANDSHAKE_DONE,    /* send what is in `out`; bytes after `taken` are messages */
    HANDSHAKE_REFUSED, /* send what is in `out` (a PONG that says no), then end; see refusal */
};

enum handshake_refusal {
    HANDSHAKE_NOT_REFUSED,
    HANDSHAKE_MALFORMED,    /* not the message that was expected; said as soon as no further byte can help */
    HANDSHAKE_WRONG_DIGEST, /* a digest of the shared key that is not 128 bytes long */
    HANDSHAKE_WRONG_KEY,    /* the peer's digest does not match the shared key */
    HANDSHAKE_WRONG_USER,   /* accepting: user name or password */
    HANDSHAKE_REJECTED,     /* dialling: the aggregator's PONG says no */
    HANDSHAKE_SAME_NAME,    /* dialling: the aggregator calls itself what we call ourselves */
};

struct handshake {
    const struct handshake_options *options;
    enum handshake_role role;
    enum handshake_refusal refusal;
    bool keepalive; /* dialling: false when the aggregator will close after each message */
    /* For the log, printable ASCII, never a secret: what was expected (MALFORMED), the aggregator's reason
     * (REJECTED), the user name (WRONG_USER), otherwise the peer's host name, once known. */
    char text[HANDSHAKE_TEXT_BYTES];

    /* Inside (private). */
    bool helo_taken;                               /* dialling: the PONG is next */
    uint8_t nonce[HANDSHAKE_PEER_NONCE_BYTES_MAX]; /* the accepting side's, ours or the peer's */
    size_t nonce_length;
    uint8_t auth[HANDSHAKE_NONCE_BYTES];  /* accepting: our salt for user authentication */
    char salt[2 * HANDSHAKE_NONCE_BYTES]; /* dialling: our salt for the shared key, in hex as Fluentd's */
};

/* The accepting side's HELO is in `out` at once. The random bytes may not be used again. */
enum handshake_status handshake_begin(struct handshake *handshake, enum handshake_role role,
                                      const struct handshake_options *options,
                                      const uint8_t random[HANDSHAKE_RANDOM_BYTES],
                                      uint8_t out[HANDSHAKE_MESSAGE_BYTES_MAX], size_t *out_length);

/* Reads the next message at the front of `bytes` (contiguous, everything received and not yet taken). *taken
 * is how much of it was used: 0 while it is not whole. Longer than HANDSHAKE_MESSAGE_BYTES_MAX is refused. At
 * most one message is taken, and not one after HANDSHAKE_DONE or HANDSHAKE_REFUSED. */
enum handshake_status handshake_feed(struct handshake *handshake, const uint8_t *bytes, size_t length,
                                     size_t *taken, uint8_t out[HANDSHAKE_MESSAGE_BYTES_MAX],
                                     size_t *out_length);

#endif
