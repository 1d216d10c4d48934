#include "wire/tls_facts.h"

#include <openssl/ssl.h>

enum { GROUP_X25519_MLKEM768 = 0x11ec }; /* draft-ietf-tls-ecdhe-mlkem; older headers lack it */

static enum metrics_cipher cipher_of(const SSL *ssl)
{
    switch (SSL_CIPHER_get_cipher_nid(SSL_get_current_cipher(ssl))) {
    case NID_aes_128_gcm:
        return METRICS_AES_128_GCM;
    case NID_aes_256_gcm:
        return METRICS_AES_256_GCM;
    case NID_chacha20_poly1305:
        return METRICS_CHACHA20_POLY1305;
    default:
        return METRICS_CIPHER_OTHER;
    }
}

static enum metrics_group group_of(const SSL *ssl)
{
    switch (SSL_get_curve_id(ssl)) {
    case GROUP_X25519_MLKEM768:
        return METRICS_X25519_MLKEM768;
    case SSL_CURVE_X25519:
        return METRICS_X25519;
    case SSL_CURVE_SECP256R1:
        return METRICS_P_256;
    case SSL_CURVE_SECP384R1:
        return METRICS_P_384;
    case SSL_CURVE_SECP521R1:
        return METRICS_P_521;
    default:
        return METRICS_GROUP_OTHER;
    }
}

struct tls_facts tls_facts_of(const SSL *ssl)
{
    return (struct tls_facts) {
        .version = SSL_version(ssl) == TLS1_3_VERSION ? METRICS_TLS_1_3 : METRICS_TLS_1_2,
        .cipher = cipher_of(ssl),
        .group = group_of(ssl),
        .resumed = SSL_session_reused(ssl),
    };
}
