/* Lets the TLS handshakes of a set of credentials sign with a key in a token (SSL_PRIVATE_KEY_METHOD).
 *
 * A handshake that needs the token stops with SSL_ERROR_WANT_PRIVATE_KEY_OPERATION until its signature is
 * there. A handshake of which nobody has said how it learns this (token_signature_await) waits for the token
 * instead. */
#ifndef HUSK_TRUST_TOKEN_HANDSHAKE_H
#define HUSK_TRUST_TOKEN_HANDSHAKE_H

#include "trust/token_results.h"

#include <stdbool.h>
#include <stdint.h>

struct ssl_ctx_st;
struct ssl_st;

/* Sessions of `tls` sign with tokens. Each of them has a signature in its peer_check. */
void token_handshake_use(struct ssl_ctx_st *tls);

/* Session `ssl` signs with `key` (borrowed), whatever its SSL_CTX signs with. */
void token_handshake_choose(struct ssl_st *ssl, struct token_key *key);

/* A signature for one handshake; `key` (borrowed) must outlive it. NULL: token_handshake_choose names the
 * key, if the handshake needs one. NULL when out of memory. */
MUST_CHECK struct token_signature *token_signature_new(struct token_key *key);
/* Frees it, or leaves it to the results if a thread of the token uses it. NULL is fine. */
void token_signature_free(struct token_signature *signature);

/* When the signature is there, `on_finished` runs in the thread that calls token_results_deliver. Shares
 * `results` while the signature is on its way. */
void token_signature_await(struct token_signature *signature, struct token_results *results,
                           void (*on_finished)(void *owner), void *owner);

/* Whether the handshake waits for the token. NULL is fine. */
bool token_signature_is_awaited(const struct token_signature *signature);

/* How long the signature was on its way, in microseconds; 0: it was not. */
uint64_t token_signature_us(const struct token_signature *signature);

#endif
