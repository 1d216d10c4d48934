#include "trust/token_handshake.h"

#include "base/clock.h"
#include "trust/peer_check.h"
#include "trust/token_key.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a signature ---- */

struct token_signature *token_signature_new(struct token_key *key)
{
    struct token_signature *signature = calloc(1, sizeof *signature);

    if (signature)
        signature->key = key;
    return signature;
}

void token_signature_free(struct token_signature *signature)
{
    if (!signature)
        return;
    if (signature->is_awaited && !token_key_withdraw(signature->key, signature))
        return;
    if (signature->is_awaited)
        token_results_release(signature->results);
    free(signature);
}

void token_signature_await(struct token_signature *signature, struct token_results *results,
                           void (*on_finished)(void *owner), void *owner)
{
    signature->results = results;
    signature->on_finished = on_finished;
    signature->owner = owner;
}

bool token_signature_is_awaited(const struct token_signature *signature)
{
    return signature && signature->is_awaited;
}

uint64_t token_signature_us(const struct token_signature *signature)
{
    return signature->duration_us;
}

/* ---- what BoringSSL calls ---- */

static struct peer_check *check_of(SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

static enum ssl_private_key_result_t signature_fail(struct peer_check *check, const char *text)
{
    check->reason = END_TOKEN_FAILED;
    snprintf(check->detail, sizeof check->detail, "%.*s", PEER_CHECK_DETAIL_BYTES - 1, text);
    return ssl_private_key_failure;
}

static enum ssl_private_key_result_t on_complete(SSL *ssl, uint8_t *to, size_t *length, size_t capacity)
{
    struct peer_check *check = check_of(ssl);
    const struct token_signature *signature = check->signature;

    if (signature->is_awaited)
        return ssl_private_key_retry;
    if (!signature->is_made)
        return signature_fail(check, signature->fault.text);
    if (signature->output.length > capacity)
        return signature_fail(check, "the signature of the token is too long");
    memcpy(to, signature->output.bytes, signature->output.length);
    *length = signature->output.length;
    return ssl_private_key_success;
}

static enum ssl_private_key_result_t on_sign(SSL *ssl, uint8_t *to, size_t *length, size_t capacity,
                                             uint16_t algorithm, const uint8_t *bytes, size_t count)
{
    struct peer_check *check = check_of(ssl);
    struct token_signature *signature = check->signature;

    if (!token_request_set(&signature->request, algorithm, bytes, count))
        return signature_fail(check, "out of memory");
    signature->begun_us = clock_monotonic_us();
    signature->is_awaited = true;
    if (signature->results)
        token_results_share(signature->results);
    signature->is_awaited = !token_key_sign(signature->key, signature);
    if (signature->is_awaited && !signature->results)
        return signature_fail(check, "the token does not answer");
    return on_complete(ssl, to, length, capacity);
}

/* Only RSA key exchange decrypts, which no cipher of husk does. */
static enum ssl_private_key_result_t on_decrypt(SSL *ssl, uint8_t *to, size_t *length, size_t capacity,
                                                const uint8_t *bytes, size_t count)
{
    (void)ssl, (void)to, (void)length, (void)capacity, (void)bytes, (void)count;
    return ssl_private_key_failure;
}

static const SSL_PRIVATE_KEY_METHOD method = { on_sign, on_decrypt, on_complete };

void token_handshake_use(struct ssl_ctx_st *tls)
{
    SSL_CTX_set_private_key_method(tls, &method);
}

void token_handshake_choose(struct ssl_st *ssl, struct token_key *key)
{
    check_of(ssl)->signature->key = key;
    SSL_set_private_key_method(ssl, &method);
}
