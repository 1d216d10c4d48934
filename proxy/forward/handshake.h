/* The shared-key handshake (HELO, PING, PONG), both ends. Pure: bytes in, bytes out.
 *
 * The accepting end sends first. Digests are SHA-512 in lower-case hex. The caller provides the hash function
 * and random bytes, so this unit depends on no crypto library.
 *
 * Source: Forward Protocol Specification v1, "Handshake messages", and the behaviour of Fluentd and Fluent
 * Bit. */
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

/* The handshake borrows the options and everything in them. */
struct handshake_options {
    const char *shared_key;
    /* Our own name, at most HANDSHAKE_NAME_BYTES_MAX bytes. It must differ from the peer's name: the dialling
     * end refuses an aggregator with its own name, because an aggregator that does not know the key could
     * otherwise return our own digest. Fluentd does the same. */
    const char *hostname;
    const char *username, *password;    /* dialling end; NULL: none. The user name has the same limit */
    const struct handshake_user *users; /* accepting end; user_count 0: no user authentication */
    size_t user_count;
    handshake_sha512 *sha512;
};

enum handshake_role { HANDSHAKE_ACCEPTING, HANDSHAKE_DIALLING };

enum handshake_status {
    HANDSHAKE_MORE,    /* send the answer, then feed more */
    HANDSHAKE_DONE,    /* send the answer; the bytes after `taken` are messages */
    HANDSHAKE_REFUSED, /* send the answer (a PONG that refuses), then close; see `refusal` */
};

enum handshake_refusal {
    HANDSHAKE_NOT_REFUSED,
    HANDSHAKE_MALFORMED,    /* not the expected message; reported as soon as more bytes cannot change that */
    HANDSHAKE_WRONG_DIGEST, /* a digest of the shared key that is not 128 bytes long */
    HANDSHAKE_WRONG_KEY,    /* the peer's digest does not match the shared key */
    HANDSHAKE_WRONG_USER,   /* accepting: user name or password */
    HANDSHAKE_REJECTED,     /* dialling: the PONG of the aggregator refuses us */
    HANDSHAKE_SAME_NAME,    /* dialling: the aggregator has our own name */
};

/* Bytes to send to the peer; often none. */
struct handshake_answer {
    size_t length;
    uint8_t bytes[HANDSHAKE_MESSAGE_BYTES_MAX];
};

struct handshake {
    const struct handshake_options *options;
    enum handshake_role role;
    enum handshake_refusal refusal;
    bool keepalive; /* dialling: false when the aggregator closes after each message */
    /* For the log; printable ASCII, never a secret: the expected message (MALFORMED), the reason of the
     * aggregator (REJECTED), the user name (WRONG_USER), otherwise the host name of the peer, once known. */
    char text[HANDSHAKE_TEXT_BYTES];

    /* Private. */
    bool helo_taken;                               /* dialling: the next message is the PONG */
    uint8_t nonce[HANDSHAKE_PEER_NONCE_BYTES_MAX]; /* of the accepting end: ours or the peer's */
    size_t nonce_length;
    uint8_t auth[HANDSHAKE_NONCE_BYTES];  /* accepting: our salt for user authentication */
    char salt[2 * HANDSHAKE_NONCE_BYTES]; /* dialling: our salt for the shared key, in hex like Fluentd's */
};

/* Starts a handshake. The accepting end has its HELO in `answer`. Random bytes must not be used twice. */
enum handshake_status handshake_begin(struct handshake *handshake, enum handshake_role role,
                                      const struct handshake_options *options,
                                      const uint8_t random[HANDSHAKE_RANDOM_BYTES],
                                      struct handshake_answer *answer);

/* Reads the next message at the front of `bytes`, which are contiguous and all that was received and not yet
 * taken. *taken is the number of bytes used: 0 while the message is incomplete. A message longer than
 * HANDSHAKE_MESSAGE_BYTES_MAX is refused. A call takes at most one message. Must not be called after
 * HANDSHAKE_DONE or HANDSHAKE_REFUSED. */
enum handshake_status handshake_feed(struct handshake *handshake, const uint8_t *bytes, size_t length,
                                     size_t *taken, struct handshake_answer *answer);

#endif
