#include "trust/tls_protocol.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdint.h>

static bool set_ciphers(SSL_CTX *tls, const struct tls_choice *choice)
{
    char names[512];

    tls_choice_format(TLS_CIPHERS, choice, ":", names, sizeof names);
    return SSL_CTX_set_strict_cipher_list(tls, names);
}

static bool set_groups(SSL_CTX *tls, const struct tls_choice *choice)
{
    char names[128];

    tls_choice_format(TLS_GROUPS, choice, ":", names, sizeof names);
    return SSL_CTX_set1_curves_list(tls, names);
}

/* The default is the list of BoringSSL, without SHA-1, with Ed25519 and P-521. */
static bool set_signatures(SSL_CTX *tls, const struct tls_choice *choice)
{
    return SSL_CTX_set_verify_algorithm_prefs(tls, choice->ids, choice->count) &&
           SSL_CTX_set_signing_algorithm_prefs(tls, choice->ids, choice->count);
}

/* BoringSSL chooses the TLS 1.3 ciphers. Renegotiation, compression and early data are off by default. */
bool tls_protocol_set(SSL_CTX *tls, const struct tls_choices *choices)
{
    const struct tls_choice ciphers = tls_choice_in_force(choices, TLS_CIPHERS),
                            groups = tls_choice_in_force(choices, TLS_GROUPS),
                            signatures = tls_choice_in_force(choices, TLS_SIGNATURES);

    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
    return set_ciphers(tls, &ciphers) && set_groups(tls, &groups) && set_signatures(tls, &signatures);
}

bool tls_protocol_fits_key(const struct tls_choices *choices, const EVP_PKEY *key)
{
    const struct tls_choice signatures = tls_choice_in_force(choices, TLS_SIGNATURES);
    bool fits = false;

    for (unsigned i = 0; i < signatures.count && !fits; i++)
        fits = SSL_get_signature_algorithm_key_type(signatures.ids[i]) == EVP_PKEY_id(key);
    return fits;
}
