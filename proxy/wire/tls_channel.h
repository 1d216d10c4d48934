/* One TLS connection over memory: bytes in, bytes out, no descriptor. TLS 1.2 (RFC 5246) and 1.3 (RFC 8446).
 *
 * Owns its SSL and shares its credentials. Consumes all ciphertext that one read brings in, and writes
 * records to an area that all channels of a worker share during one call: an idle channel owns no buffer of
 * ours. Belongs to one thread. */
#ifndef HUSK_WIRE_TLS_CHANNEL_H
#define HUSK_WIRE_TLS_CHANNEL_H

#include "base/buffer.h"
#include "base/end_reason.h"
#include "trust/certificate_facts.h"
#include "trust/credentials.h"
#include "wire/flight.h"
#include "wire/spoken.h"
#include "wire/tls_facts.h"
#include "wire/tls_io.h"
#include "wire/tls_sessions.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_channel; /* owned by its leg */

/* Opens a channel in the role of `credentials` (shared). `server_name` (copied) is
 * the name that the server must prove; NULL for a server, and for a client whose credentials ignore the name.
 * A client with a name offers `sessions` (borrowed, may be NULL) and adds new ones. Returns NULL when out of
 * memory. */
struct tls_channel *tls_channel_new(struct tls_io *io, struct credentials *credentials,
                                    const char *server_name, struct tls_sessions *sessions);
/* NULL is fine. */
void tls_channel_free(struct tls_channel *channel);

/* `on_ready` runs when the channel goes on after it has waited for our private key (TLS_KEY_READY). `owner`
 * is borrowed. Call it before the first tls_channel_receive. */
void tls_channel_on_ready(struct tls_channel *channel, void (*on_ready)(void *owner), void *owner);

/* A handshake that needs a signature of a token stops until the signature is there. */
enum tls_key_state {
    TLS_KEY_UNUSED,  /* the channel does not wait */
    TLS_KEY_AWAITED, /* what the peer sends is held until on_ready runs: tls_channel_hold */
    TLS_KEY_READY,   /* the token has signed, or failed: call tls_channel_receive without bytes */
};
enum tls_key_state tls_channel_key_state(const struct tls_channel *channel);

/* While TLS_KEY_AWAITED: how many bytes tls_channel_hold still takes. */
size_t tls_channel_hold_space(const struct tls_channel *channel);
/* While TLS_KEY_AWAITED: keeps bytes of the peer, at least one, until the handshake goes on. False: out of
 * memory (tls_channel_failure). */
MUST_CHECK bool tls_channel_hold(struct tls_channel *channel, const uint8_t *bytes, size_t length);

/* While TLS_KEY_READY: how long the signature has taken, in microseconds. */
uint64_t tls_channel_key_us(const struct tls_channel *channel);

enum tls_status {
    TLS_OPEN,   /* all input is consumed; more may come */
    TLS_CLOSED, /* close_notify was read: the peer sends no more */
    TLS_FAILED, /* see tls_channel_failure; io->output may hold an alert to send */
};

/* Consumes all of `bytes`, not while TLS_KEY_AWAITED: drives the handshake, then appends plaintext to `into`,
 * at most length + TLS_RECORD_BYTES. A client starts its handshake with a call without bytes. Whatever the
 * result, the caller sends io->output[0..output_length). */
enum tls_status tls_channel_receive(struct tls_channel *channel, const uint8_t *bytes, size_t length,
                                    struct buffer *into);

/* The meaning of the end of the TCP stream: END_CLOSED when the peer has sent close_notify, else the reason
 * to report. */
enum end_reason tls_channel_end_of_input(const struct tls_channel *channel);

/* Seals bytes from the front of `from` while they fit in io->output, and removes them. TLS_OPEN or
 * TLS_FAILED. Only after the handshake. */
enum tls_status tls_channel_send(struct tls_channel *channel, struct buffer *from);

/* Seals close_notify (RFC 8446, 6.1); reading goes on. Does nothing before the handshake is finished. */
void tls_channel_close(struct tls_channel *channel);

/* Judges the peer of a live channel by `credentials` (borrowed, of the same role): its chain, validity,
 * revocation, strength, server name and policy. The chain is the one that the peer sent, or that its session
 * contains. END_NONE, or why a new handshake would be refused: then tls_channel_failure_detail describes the
 * reason. The channel goes on in both cases. Only after the handshake. */
MUST_CHECK enum end_reason tls_channel_judge(struct tls_channel *channel, struct credentials *credentials);

/* The first end of a certificate of the connection, in seconds since the epoch: of our own chain, as it was
 * shown to the peer, or of the peer's chain with its CA, as it was verified last. A certificate of ours that
 * had ended before the handshake does not count: the peer has accepted it. Of several certificates of ours
 * the first end counts. 0: none. Only after the handshake. */
int64_t tls_channel_not_after(const struct tls_channel *channel);
/* Makes tls_channel_failure_detail say which side's certificate ends at tls_channel_not_after. */
void tls_channel_describe_end(struct tls_channel *channel);

/* Whether the peer was shown the certificate and the chain of `credentials`. */
bool tls_channel_shows(const struct tls_channel *channel, const struct credentials *credentials);

bool tls_channel_is_established(const struct tls_channel *channel); /* handshake finished, peer checked */

/* True when the peer is known to have accepted our certificate. A TLS 1.3 client learns this after its own
 * handshake is finished, from a session ticket or data; in all other cases the finished handshake shows
 * it. */
bool tls_channel_is_confirmed(const struct tls_channel *channel);

/* Call it when a client's handshake has failed. If the client offered a session and the server answered with
 * an alert, forgets all sessions and returns true: a full handshake may succeed. OpenSSL servers that request
 * client certificates and set no session id context (SSL_CTX_set_session_id_context), such as Fluentd, answer
 * so. */
bool tls_channel_drop_rejected_sessions(struct tls_channel *channel);

/* Call it when a client's handshake has succeeded. If it was a full handshake after a rejected session, no
 * session is kept or offered any more; the call that decides this returns true. */
bool tls_channel_stop_resuming(struct tls_channel *channel);

/* Why the channel failed, and a description for the log, which may be empty but is never NULL. A judgement
 * against the peer leaves a description, too. */
enum end_reason tls_channel_failure(const struct tls_channel *channel);
const char *tls_channel_failure_detail(const struct tls_channel *channel);

/* Whether the peer has ended the channel by the alert access_denied: our certificate is valid for the peer,
 * but its policy does not admit us (RFC 8446, 6.2). */
bool tls_channel_is_denied(const struct tls_channel *channel);

/* Whether an intermediate may be missing in the chain of the peer: see peer_check.lacks_issuer. */
bool tls_channel_lacks_issuer(const struct tls_channel *channel);

/* The OCSP response of the server that the log is to tell about: see peer_check.bad_staple. */
enum ocsp_status tls_channel_bad_staple(const struct tls_channel *channel);

/* What the peer speaks on the connection: SPOKEN_TLS, or another protocol after END_NOT_TLS. */
enum spoken tls_channel_spoken(const struct tls_channel *channel);

/* How far the handshake is. */
struct tls_progress {
    size_t bytes_received; /* of the peer, while the handshake was unfinished */
    unsigned flights_sent; /* answers to the peer; RFC 8446, 2: a server sends at most two */
};
struct tls_progress tls_channel_progress(const struct tls_channel *channel);

/* After a failure: what the bytes of the same call say that came after the failure. The caller reads on from
 * there. */
struct flight tls_channel_flight(const struct tls_channel *channel);

/* The verified peer, or NULL before the handshake, and of a peer without certificate. Borrowed. */
const struct identity *tls_channel_peer(const struct tls_channel *channel);

/* How many certificates the peer has shown: its own, and those after it. Only after the handshake. */
size_t tls_channel_peer_chain_length(const struct tls_channel *channel);
/* What the certificate at index `at` says; 0: the peer's own. Only after the handshake. */
void tls_channel_describe_peer(const struct tls_channel *channel, size_t at, struct certificate_facts *facts);

/* Only after the handshake. */
enum tls_peer_protocol tls_channel_peer_protocol(const struct tls_channel *channel);

/* Only after the handshake. */
struct tls_facts tls_channel_facts(const struct tls_channel *channel);

#endif
