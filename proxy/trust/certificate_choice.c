#include "trust/certificate_choice.h"

#include "trust/server_name.h"

#include <openssl/bytestring.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdint.h>
#include <string.h>

enum { SIGNATURES_MAX = 64, NAME_TYPE_HOST = 0 };

/* What the peer can verify, and whom it asks for. */
struct request {
    uint16_t signatures[SIGNATURES_MAX]; /* none: the peer does not say */
    size_t signature_count;
    bool is_tls_1_3;
    bool has_rsa_cipher, has_ecdsa_cipher;       /* TLS 1.2 */
    char server_name[SERVER_NAME_DNS_BYTES];     /* empty: none */
    const STACK_OF(CRYPTO_BUFFER) * authorities; /* names of CAs; NULL: none */
};

void certificate_choice_deinit(struct certificate_choice *choice)
{
    for (size_t i = 0; i < choice->count; i++) {
        sk_X509_pop_free(choice->items[i].chain, X509_free);
        own_key_free(&choice->items[i].key);
    }
    *choice = (struct certificate_choice) { 0 };
}

bool certificate_choice_has_token(const struct certificate_choice *choice)
{
    bool has_token = false;

    for (size_t i = 0; i < choice->count; i++)
        has_token |= choice->items[i].key.token != NULL;
    return has_token;
}

/* ---- what a peer can verify ---- */

/* In TLS 1.3 a signature algorithm of ECDSA names the curve of the key, and PKCS#1 v1.5 is for certificates
 * only (RFC 8446, 4.2.3). */
static bool signature_fits(uint16_t id, const EVP_PKEY *key, const struct request *request)
{
    static const struct {
        uint16_t id;
        int curve;
    } curves[] = { { SSL_SIGN_ECDSA_SECP256R1_SHA256, NID_X9_62_prime256v1 },
                   { SSL_SIGN_ECDSA_SECP384R1_SHA384, NID_secp384r1 },
                   { SSL_SIGN_ECDSA_SECP521R1_SHA512, NID_secp521r1 } };
    bool is_fitting = SSL_get_signature_algorithm_key_type(id) == EVP_PKEY_id(key);

    if (!is_fitting || !request->is_tls_1_3)
        return is_fitting;
    if (EVP_PKEY_id(key) == EVP_PKEY_RSA)
        return SSL_is_signature_algorithm_rsa_pss(id);
    if (EVP_PKEY_id(key) != EVP_PKEY_EC)
        return true;
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        if (curves[i].id == id)
            return EC_GROUP_get_curve_name(EC_KEY_get0_group(EVP_PKEY_get0_EC_KEY(key))) == curves[i].curve;
    }
    return false;
}

static bool certificate_fits(const struct own_certificate *own, const struct request *request)
{
    bool is_rsa = EVP_PKEY_id(own->key.key) == EVP_PKEY_RSA, fits = request->signature_count == 0;

    if (!request->is_tls_1_3 && !(is_rsa ? request->has_rsa_cipher : request->has_ecdsa_cipher))
        return false;
    for (size_t i = 0; i < request->signature_count && !fits; i++)
        fits = signature_fits(request->signatures[i], own->key.key, request);
    return fits;
}

/* ---- which certificate is the best ---- */

/* How well the certificate answers whom the peer asks for. */
static int rank_of(const struct own_certificate *own, const struct request *request)
{
    X509 *leaf = sk_X509_value(own->chain, 0);

    if (request->server_name[0] && server_name_is_spelled(leaf, request->server_name))
        return 2;
    return request->server_name[0] && server_name_matches(leaf, request->server_name);
}

static bool is_name(const CRYPTO_BUFFER *authority, X509 *certificate)
{
    uint8_t *der = NULL;
    int length = i2d_X509_NAME(X509_get_issuer_name(certificate), &der);
    bool is_same = length > 0 && (size_t)length == CRYPTO_BUFFER_len(authority) &&
                   memcmp(der, CRYPTO_BUFFER_data(authority), (size_t)length) == 0;

    OPENSSL_free(der);
    return is_same;
}

/* Whether a certificate of the chain is from a CA that the server names (RFC 8446, 4.2.4). */
static bool is_from_one_of(const struct own_certificate *own, const STACK_OF(CRYPTO_BUFFER) * authorities)
{
    for (size_t i = 0; i < sk_X509_num(own->chain); i++) {
        for (size_t k = 0; k < sk_CRYPTO_BUFFER_num(authorities); k++) {
            if (is_name(sk_CRYPTO_BUFFER_value(authorities, k), sk_X509_value(own->chain, i)))
                return true;
        }
    }
    return false;
}

static const struct own_certificate *best_of(const struct certificate_choice *choice,
                                             const struct request *request)
{
    const struct own_certificate *best = NULL;
    int best_rank = -1;

    for (size_t i = 0; i < choice->count; i++) {
        const struct own_certificate *own = &choice->items[i];
        int rank = request->authorities ? is_from_one_of(own, request->authorities) : rank_of(own, request);
        if (rank <= best_rank || !certificate_fits(own, request))
            continue;
        best = own;
        best_rank = rank;
    }
    return best ? best : &choice->items[0];
}

static bool show(const struct own_certificate *own, SSL *ssl)
{
    bool is_good = SSL_use_certificate(ssl, sk_X509_value(own->chain, 0)) && own_key_show(&own->key, ssl) &&
                   SSL_clear_chain_certs(ssl);

    for (size_t i = 1; i < sk_X509_num(own->chain) && is_good; i++)
        is_good = SSL_add1_chain_cert(ssl, sk_X509_value(own->chain, i));
    ERR_clear_error();
    return is_good;
}

/* ---- server ---- */

static bool extension_find(const SSL_CLIENT_HELLO *hello, uint16_t type, CBS *content)
{
    const uint8_t *bytes;
    size_t length;

    if (!SSL_early_callback_ctx_extension_get(hello, type, &bytes, &length))
        return false;
    CBS_init(content, bytes, length);
    return true;
}

/* RFC 8446, 4.2.1 */
static bool offers_tls_1_3(const SSL_CLIENT_HELLO *hello)
{
    CBS content, versions;
    uint16_t version = 0;

    if (!extension_find(hello, TLSEXT_TYPE_supported_versions, &content) ||
        !CBS_get_u8_length_prefixed(&content, &versions))
        return false;
    while (version != TLS1_3_VERSION && CBS_get_u16(&versions, &version))
        ;
    return version == TLS1_3_VERSION;
}

static void signatures_read(struct request *request, const SSL_CLIENT_HELLO *hello)
{
    CBS content, list;

    if (!extension_find(hello, TLSEXT_TYPE_signature_algorithms, &content) ||
        !CBS_get_u16_length_prefixed(&content, &list))
        return;
    while (request->signature_count < SIGNATURES_MAX &&
           CBS_get_u16(&list, &request->signatures[request->signature_count]))
        request->signature_count++;
}

static void ciphers_read(struct request *request, const SSL_CLIENT_HELLO *hello)
{
    CBS list;
    uint16_t id;

    CBS_init(&list, hello->cipher_suites, hello->cipher_suites_len);
    while (CBS_get_u16(&list, &id)) {
        const SSL_CIPHER *cipher = SSL_get_cipher_by_value(id);
        int auth = cipher ? SSL_CIPHER_get_auth_nid(cipher) : NID_undef;
        request->has_rsa_cipher |= auth == NID_auth_rsa;
        request->has_ecdsa_cipher |= auth == NID_auth_ecdsa;
    }
}

/* RFC 6066, 3. A name that is no DNS name is ignored. */
static void server_name_read(struct request *request, const SSL_CLIENT_HELLO *hello)
{
    CBS content, list, name;
    uint8_t type;
    char text[SERVER_NAME_DNS_BYTES + 1] = "";

    if (!extension_find(hello, TLSEXT_TYPE_server_name, &content) ||
        !CBS_get_u16_length_prefixed(&content, &list) || !CBS_get_u8(&list, &type) ||
        type != NAME_TYPE_HOST || !CBS_get_u16_length_prefixed(&list, &name) ||
        CBS_len(&name) >= sizeof text || memchr(CBS_data(&name), '\0', CBS_len(&name)))
        return;
    memcpy(text, CBS_data(&name), CBS_len(&name));
    if (!server_name_to_dns(text, request->server_name))
        request->server_name[0] = '\0';
}

bool certificate_choice_for_client(const struct certificate_choice *choice, const SSL_CLIENT_HELLO *hello)
{
    struct request request = { .is_tls_1_3 = offers_tls_1_3(hello) };

    if (SSL_CTX_get_max_proto_version(SSL_get_SSL_CTX(hello->ssl)) < TLS1_3_VERSION)
        request.is_tls_1_3 = false;
    signatures_read(&request, hello);
    ciphers_read(&request, hello);
    server_name_read(&request, hello);
    return show(best_of(choice, &request), hello->ssl);
}

/* ---- client ---- */

bool certificate_choice_for_server(const struct certificate_choice *choice, SSL *ssl)
{
    const uint16_t *signatures;
    size_t count = SSL_get0_peer_verify_algorithms(ssl, &signatures);
    /* In TLS 1.2, the list of certificate types limits RSA and ECDSA, and BoringSSL applies it. */
    struct request request = { .is_tls_1_3 = SSL_version(ssl) == TLS1_3_VERSION,
                               .has_rsa_cipher = true,
                               .has_ecdsa_cipher = true,
                               .authorities = SSL_get0_server_requested_CAs(ssl) };

    request.signature_count = count < SIGNATURES_MAX ? count : SIGNATURES_MAX;
    memcpy(request.signatures, signatures, request.signature_count * sizeof signatures[0]);
    if (request.authorities && sk_CRYPTO_BUFFER_num(request.authorities) == 0)
        request.authorities = NULL;
    return show(best_of(choice, &request), ssl);
}
