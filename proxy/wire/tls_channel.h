/* One TLS connection over memory: bytes in, bytes out, no descriptor.
 *
 * Owns its SSL and shares its credentials. Ciphertext comes in whole slices of a read and is consumed at
 * once; records go to an area that all channels of a worker share for the length of one call. So an idle
 * channel owns no buffer of ours. TLS 1.2 (RFC 5246) and 1.3 (RFC 8446). Belongs to one thread. */
#ifndef HUSK_WIRE_TLS_CHANNEL_H
#define HUSK_WIRE_TLS_CHANNEL_H

#include "base/buffer.h"
#include "base/end_reason.h"
#include "base/metrics.h"
#include "trust/credentials.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bio_method_st;

enum {
    TLS_RECORD_BYTES = 16384,                   /* largest plaintext of a record (RFC 8446, 5.1) */
    TLS_RECORD_SEALED_BYTES = 16384 + 512,      /* and what it may become on the wire */
    TLS_IO_BYTES = 17 * TLS_RECORD_SEALED_BYTES /* a large send: what a call costs is worth it */
};

/* What the channels of one worker share: the area records are sealed into, and the way to it. */
struct tls_io {
    struct bio_method_st *method;
    const uint8_t *input; /* for the length of a call: ciphertext not yet taken */
    size_t input_length;
    size_t output_length; /* records in `output` that the caller must send before the next call */
    uint8_t *output;      /* TLS_IO_BYTES */
    uint8_t gathered[TLS_RECORD_BYTES];
};

/* False when out of memory. */
MUST_CHECK bool tls_io_init(struct tls_io *io);
void tls_io_deinit(struct tls_io *io);

/* Sessions to resume, newest first; a TLS 1.3 ticket is offered once (RFC 8446, C.4), and none to a server of
 * another name than the one it is from (RFC 8446, 4.6.1). One worker's, for all its upstreams.
 * Zero-initialise.
 */
enum { TLS_SESSIONS_MAX = 64, TLS_SESSIONS_PER_NAME = 8 };
struct tls_sessions {
    const struct credentials *of; /* the set they were made with, for comparison only */
    unsigned count;
    bool failed;  /* an offer was answered by an alert; if a full handshake then succeeds, it was the offer's
                     fault */
    bool refused; /* the server fails on them: none are kept or offered any more */
    struct tls_session_slot {
        struct ssl_session_st *session;
        char *server_name;
    } slots[TLS_SESSIONS_MAX]; /* owned; oldest first */
};

/* Forgets everything, a refusal too. A new set of credentials does so by itself. */
void tls_sessions_clear(struct tls_sessions *sessions);

struct tls_channel; /* owned by its leg */

/* A channel in the role of `credentials` (shared). `server_name` (borrowed, outlives the channel) is what the
 * server must prove; NULL in the server's role. `sessions` (borrowed, may be NULL) are offered and refilled
 * in the client's role. NULL when out of memory. */
struct tls_channel *tls_channel_new(struct tls_io *io, struct credentials *credentials,
                                    const char *server_name, struct tls_sessions *sessions);
/* NULL is fine. */
void tls_channel_free(struct tls_channel *channel);

enum tls_status {
    TLS_OPEN,   /* all input taken; more may come */
    TLS_CLOSED, /* the peer's close_notify was read: nothing more will come */
    TLS_FAILED, /* see tls_channel_failure; io->output may hold an alert to be sent */
};

/* Takes all of `bytes`: drives the handshake, then appends plaintext to `into`, at most length +
 * TLS_RECORD_BYTES of it. A client begins its handshake with no bytes at all. Whatever the call returns,
 * io->output[0..output_length) is to be sent. */
enum tls_status tls_channel_receive(struct tls_channel *channel, const uint8_t *bytes, size_t length,
                                    struct buffer *into);

/* The TCP stream ended: END_CLOSED when that is in order, else why it is not. */
enum end_reason tls_channel_end_of_input(const struct tls_channel *channel);

/* Seals from the front of `from`, as much as io->output has room for, and removes it. TLS_OPEN or TLS_FAILED.
 * Only after the handshake. */
enum tls_status tls_channel_send(struct tls_channel *channel, struct buffer *from);

/* Seals close_notify (RFC 8446, 6.1); reading goes on. Nothing before the handshake is finished. */
void tls_channel_close(struct tls_channel *channel);

bool tls_channel_is_established(const struct tls_channel *channel); /* handshake finished, peer checked */

/* The peer has shown that it accepted our certificate. A TLS 1.3 client learns that only from a session
 * ticket or data, after its own handshake is finished; in every other case this follows from the handshake.
 */
bool tls_channel_is_confirmed(const struct tls_channel *channel);

/* Call it when a client's handshake has failed. If the client offered a session and the server answered with
 * an alert, forgets all sessions and returns true: a full handshake may succeed. OpenSSL servers that request
 * client certificates and set no session id context (SSL_CTX_set_session_id_context), such as Fluentd, answer
 * so. */
bool tls_channel_drop_rejected_sessions(struct tls_channel *channel);

/* Call it when a client's handshake has succeeded. If it was a full handshake after a rejected session, no
 * session is kept or offered any more; the call that decides this returns true. */
bool tls_channel_stop_resuming(struct tls_channel *channel);

/* Why it failed, and in which words; detail may be empty, never NULL. */
enum end_reason tls_channel_failure(const struct tls_channel *channel);
const char *tls_channel_failure_detail(const struct tls_channel *channel);

/* The verified peer, or NULL before the handshake. Borrowed. */
const struct identity *tls_channel_peer(const struct tls_channel *channel);

struct tls_facts {
    enum metrics_tls_version version;
    enum metrics_cipher cipher;
    bool resumed;
};

/* Only after the handshake. */
struct tls_facts tls_channel_facts(const struct tls_channel *channel);

/* The library it is linked with, e.g. "BoringSSL API 17", and whether it offers the post-quantum group
 * X25519MLKEM768. */
const char *tls_channel_library(void);
bool tls_channel_library_is_post_quantum(void);

#endif
