/* A private key that never leaves its PKCS#11 token, with the threads that let the token sign.
 *
 * Owns the token, a session for each thread, and the queue of signatures that wait for a thread. A signature
 * that fails is tried once more, in a new session, because the token may have been taken out, or may have
 * closed its sessions. Each unfinished handshake has at most one signature, so the limits of handshakes bound
 * the queue. Any thread may use a key. */
#ifndef HUSK_TRUST_TOKEN_KEY_H
#define HUSK_TRUST_TOKEN_KEY_H

#include "trust/token_results.h"

struct evp_pkey_st;

struct token_key; /* owned by its credentials */

struct tokens;

struct token_key_options {
    struct tokens *tokens;      /* shared; NULL: there was no memory for them */
    struct token_source source; /* copied */
    unsigned sessions;          /* at least 1: how many signatures the token makes at the same time */
};

/* Opens the token, logs in, finds the key, and lets it sign once, which shows whether the key belongs to the
 * public key of the certificate. A thread of the key does this; the call waits for it up to the timeout of
 * `tokens`. A thread that comes back later frees the key; until then no other key of the module is opened. On
 * failure returns NULL and a fault that does not name the URI. */
MUST_CHECK struct token_key *token_key_load(const struct token_key_options *options,
                                            struct evp_pkey_st *public_key, struct fault *fault);
/* Makes the threads end, and waits for none: the last one closes the token and frees the key. Call it when no
 * handshake needs the key any more. NULL is fine. */
void token_key_free(struct token_key *key);

/* Queues a signature whose request is set. With results: returns false at once; a thread passes the signature
 * to the results. Without: returns true when the signature is made or has failed, and false when the token
 * has not answered within the timeout of `tokens`. After false the signature is to be withdrawn, or to come
 * with the results. */
MUST_CHECK bool token_key_sign(struct token_key *key, struct token_signature *signature);
/* Takes a signature back. False: a thread has taken it, and it is abandoned now: the thread, or the results,
 * free it. */
MUST_CHECK bool token_key_withdraw(struct token_key *key, struct token_signature *signature);

#endif
