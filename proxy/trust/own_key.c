#include "trust/own_key.h"

#include "trust/certificate.h"
#include "trust/passphrase.h"
#include "trust/private_key.h"
#include "trust/token_handshake.h"
#include "trust/token_key.h"
#include "trust/token_uri.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

static EVP_PKEY *file_load(const struct credentials_options *options, struct fault *fault)
{
    struct passphrase passphrase;
    EVP_PKEY *key = NULL;

    if (passphrase_load(&passphrase, options->passphrase_env, options->passphrase_file, fault))
        key = private_key_load(options->key_file, &passphrase, fault);
    else
        fault_wrap(fault, "the key's passphrase");
    passphrase_wipe(&passphrase);
    return key;
}

static bool file_matches(EVP_PKEY *key, X509 *certificate, const struct credentials_options *options,
                         struct fault *fault)
{
    char name[CERTIFICATE_NAME_BYTES];

    ERR_clear_error();
    bool is_match = X509_check_private_key(certificate, key) == 1;
    ERR_clear_error();
    if (is_match)
        return true;
    certificate_describe(certificate, name);
    fault_set(fault, "%s: the private key does not match certificate %s of %s", options->key_file, name,
              options->cert_file);
    return false;
}

static struct token_key *token_key_find(const struct credentials_options *options, EVP_PKEY *public_key,
                                        struct fault *fault)
{
    const struct token_key_options token = {
        .tokens = options->tokens,
        .source = { options->key_file, options->passphrase_env, options->passphrase_file },
        .sessions = options->key_sessions ? options->key_sessions : 1,
    };

    if (!token_uri_check(options->key_file, fault)) /* nor is it told: it may contain the PIN */
        return NULL;
    struct token_key *key = token_key_load(&token, public_key, fault);
    if (!key)
        fault_wrap(fault, "%s", options->key_file);
    return key;
}

bool own_key_load(struct own_key *key, const struct credentials_options *options, struct x509_st *certificate,
                  struct fault *fault)
{
    if (!token_uri_is(options->key_file))
        return (key->key = file_load(options, fault)) && file_matches(key->key, certificate, options, fault);
    key->key = X509_get_pubkey(certificate);
    if (key->key)
        return (key->token = token_key_find(options, key->key, fault)) != NULL;
    ERR_clear_error();
    fault_set(fault, "%s: the key of the certificate cannot be read", options->cert_file);
    return false;
}

void own_key_free(struct own_key *key)
{
    token_key_free(key->token);
    EVP_PKEY_free(key->key);
    *key = (struct own_key) { 0 };
}

bool own_key_use(const struct own_key *key, struct ssl_ctx_st *tls)
{
    if (!key->token)
        return SSL_CTX_use_PrivateKey(tls, key->key);
    token_handshake_use(tls);
    return true;
}

bool own_key_show(const struct own_key *key, struct ssl_st *ssl)
{
    if (!key->token) {
        SSL_set_private_key_method(ssl, NULL); /* it would come before the key */
        return SSL_use_PrivateKey(ssl, key->key);
    }
    token_handshake_choose(ssl, key->token);
    return true;
}
