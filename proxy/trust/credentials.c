#include "trust/credentials.h"

#include "base/clock.h"
#include "trust/certificate.h"
#include "trust/certificate_file.h"
#include "trust/library_error.h"
#include "trust/passphrase.h"
#include "trust/private_key.h"
#include "trust/revocation.h"
#include "trust/server_name.h"
#include "trust/strength.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    CA_NAMES_BYTES_MAX = 16 * 1024, /* every client accepts this in one handshake message */
    CLIENT_CHAIN_BYTES_MAX = 32 * 1024,
    TICKET_CHAIN_BYTES_MAX = 15 * 1024, /* BoringSSL clients accept 16 KiB in a message after the handshake */
};

typedef int (*new_session_callback)(struct ssl_st *, struct ssl_session_st *);

struct credentials {
    atomic_uint references;
    SSL_CTX *tls; /* its app data points to this set */
    STACK_OF(X509) * cas;
    struct revocation *revocation;
    struct peer_policy policy; /* shared: what `rules` point to, if they have a policy */
    struct peer_check_rules rules;
    struct validity validity;
    uint8_t own_digest[CERTIFICATE_DIGEST_BYTES]; /* of our certificate and its chain */
    bool speaks_link;
    _Atomic new_session_callback on_new_session;
};

/* The contents of the files, until they are in the SSL_CTX. */
struct material {
    STACK_OF(X509) * chain; /* leaf first */
    EVP_PKEY *key;
    STACK_OF(X509) * cas;
    struct revocation *revocation;
};

static void material_free(struct material *material)
{
    sk_X509_pop_free(material->chain, X509_free);
    EVP_PKEY_free(material->key);
    sk_X509_pop_free(material->cas, X509_free);
    revocation_free(material->revocation);
}

/* ---- loading ---- */

static EVP_PKEY *load_key(const struct credentials_options *options, struct fault *fault)
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

static bool check_key_matches(const struct material *material, const struct credentials_options *options,
                              struct fault *fault)
{
    X509 *leaf = sk_X509_value(material->chain, 0);
    char name[CERTIFICATE_NAME_BYTES];

    ERR_clear_error();
    bool is_match = X509_check_private_key(leaf, material->key) == 1;
    ERR_clear_error();
    if (is_match)
        return true;
    certificate_describe(leaf, name);
    fault_set(fault, "%s: the private key does not match certificate %s of %s", options->key_file, name,
              options->cert_file);
    return false;
}

/* Only a warning: the peer verifies the usage, and some peers do not. */
static void warn_of_wrong_usage(X509 *leaf, const struct credentials_options *options, struct log *log)
{
    bool is_client = options->role == TLS_CLIENT;

    if (!X509_check_purpose(leaf, is_client ? X509_PURPOSE_SSL_CLIENT : X509_PURPOSE_SSL_SERVER, 0))
        log_say(log, LOG_WARN, "%s: the certificate is not meant for a TLS %s: peers will refuse it",
                options->cert_file, is_client ? "client" : "server");
    ERR_clear_error();
}

/* A self-signed certificate is not trusted because of its signature. */
static bool is_strong(X509 *certificate, char flaw[STRENGTH_FLAW_BYTES])
{
    bool is_self_signed = X509_check_issued(certificate, certificate) == X509_V_OK;

    return is_self_signed ? strength_check_key(certificate, flaw) : strength_check(certificate, flaw);
}

typedef bool (*weakness_check)(X509 *certificate, char flaw[STRENGTH_FLAW_BYTES]);

static void warn_of_weakness(const STACK_OF(X509) * certificates, weakness_check check, const char *path,
                             struct log *log)
{
    char name[CERTIFICATE_NAME_BYTES], flaw[STRENGTH_FLAW_BYTES];

    for (size_t i = 0; i < sk_X509_num(certificates); i++) {
        X509 *certificate = sk_X509_value(certificates, i);
        if (check(certificate, flaw))
            continue;
        certificate_describe(certificate, name);
        log_say(log, LOG_WARN, "%s: certificate %s %s, which is weak", path, name, flaw);
    }
}

static bool authorities_load(struct material *material, const char *path, struct fault *fault)
{
    struct pem_file file;
    bool is_loaded = certificate_file_read(&file, path, fault) &&
                     (material->cas = certificate_file_cas(&file, fault)) &&
                     (material->revocation = revocation_load(&file, fault));

    pem_file_wipe(&file);
    return is_loaded;
}

static bool material_load(struct material *material, const struct credentials_options *options,
                          struct fault *fault)
{
    return (material->chain = certificate_file_load_chain(options->cert_file, fault)) &&
           (material->key = load_key(options, fault)) && check_key_matches(material, options, fault) &&
           authorities_load(material, options->ca_file, fault);
}

/* Logs what the user should know about a set. Call it only for a loaded set: a failed reload is repeated, and
 * its lines would be repeated, too. */
static void set_describe(const struct credentials *credentials, const STACK_OF(X509) * chain,
                         const struct credentials_options *options, struct log *log)
{
    private_key_warn_if_shared(options->key_file, log);
    warn_of_wrong_usage(sk_X509_value(chain, 0), options, log);
    warn_of_weakness(chain, is_strong, options->cert_file, log);
    warn_of_weakness(credentials->cas, strength_check_key, options->ca_file, log);
    if (revocation_list_count(credentials->revocation))
        log_say(log, LOG_INFO, "%s: revocation lists: %zu", options->ca_file,
                revocation_list_count(credentials->revocation));
    if (options->allow_weak)
        log_say(log, LOG_WARN,
                "--allow-weak-certificates: peers whose certificates can be forged are accepted");
}

/* ---- the SSL_CTX ---- */

/* Our ALPN protocols, best first, each after its length (RFC 7301, 3.1). */
static const uint8_t own_protocols[] = "\x0b"
                                       "husk-link/1"
                                       "\x04"
                                       "husk";
enum { LINK_NAME_BYTES = 12, FORWARD_NAME_BYTES = 5 };

/* A ticket contains the client's chain. If the chain is too long for a message, no ticket is sent, and the
 * client cannot resume. */
static void omit_long_ticket(SSL *ssl)
{
    const STACK_OF(CRYPTO_BUFFER) *chain = SSL_get0_peer_certificates(ssl);
    size_t bytes = 0;

    for (size_t i = 0; i < sk_CRYPTO_BUFFER_num(chain); i++)
        bytes += CRYPTO_BUFFER_len(sk_CRYPTO_BUFFER_value(chain, i));
    if (bytes > TICKET_CHAIN_BYTES_MAX)
        SSL_set_options(ssl, SSL_OP_NO_TICKET);
}

/* The check comes from the SSL, the rules from its SSL_CTX. */
static enum ssl_verify_result_t on_verify(SSL *ssl, uint8_t *alert)
{
    const struct credentials *credentials = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    STACK_OF(X509) *chain = SSL_get_peer_full_cert_chain(ssl);

    if (SSL_is_server(ssl))
        omit_long_ticket(ssl);
    return peer_check_verify(credentials_check_of(ssl), &credentials->rules, chain, alert)
               ? ssl_verify_ok
               : ssl_verify_invalid;
}

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct credentials *credentials = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    new_session_callback callback = atomic_load(&credentials->on_new_session);

    return callback ? callback(ssl, session) : 0;
}

static uint16_t protocol_version(enum tls_version version)
{
    return version == TLS_VERSION_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION;
}

/* P-521 only because of TLS 1.2, where a certificate with such a key needs the group (RFC 8422, 5.1.1). */
static bool set_groups(SSL_CTX *tls)
{
#ifdef SSL_GROUP_X25519_MLKEM768
    static const uint16_t groups[] = { SSL_GROUP_X25519_MLKEM768, SSL_GROUP_X25519, SSL_GROUP_SECP256R1,
                                       SSL_GROUP_SECP384R1, SSL_GROUP_SECP521R1 };

    return SSL_CTX_set1_group_ids(tls, groups, sizeof groups / sizeof groups[0]);
#else
    static const int groups[] = { NID_X25519, NID_X9_62_prime256v1, NID_secp384r1, NID_secp521r1 };

    return SSL_CTX_set1_curves(tls, groups, sizeof groups / sizeof groups[0]);
#endif
}

/* The list of BoringSSL, without SHA-1, with Ed25519 and P-521. */
static bool set_signature_algorithms(SSL_CTX *tls)
{
    static const uint16_t algorithms[] = {
        SSL_SIGN_ECDSA_SECP256R1_SHA256, SSL_SIGN_ED25519,
        SSL_SIGN_RSA_PSS_RSAE_SHA256,    SSL_SIGN_RSA_PKCS1_SHA256,
        SSL_SIGN_ECDSA_SECP384R1_SHA384, SSL_SIGN_RSA_PSS_RSAE_SHA384,
        SSL_SIGN_RSA_PKCS1_SHA384,       SSL_SIGN_RSA_PSS_RSAE_SHA512,
        SSL_SIGN_RSA_PKCS1_SHA512,       SSL_SIGN_ECDSA_SECP521R1_SHA512,
    };

    return SSL_CTX_set_verify_algorithm_prefs(tls, algorithms, sizeof algorithms / sizeof algorithms[0]);
}

/* BoringSSL chooses the TLS 1.3 ciphers. Renegotiation, compression and early data are off by default. */
static bool set_protocol(SSL_CTX *tls, const struct credentials_options *options)
{
    static const char ciphers[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                                  "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                                  "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
    return SSL_CTX_set_min_proto_version(tls, protocol_version(options->min_version)) &&
           SSL_CTX_set_max_proto_version(tls, protocol_version(options->max_version)) &&
           SSL_CTX_set_strict_cipher_list(tls, ciphers) && set_groups(tls) && set_signature_algorithms(tls);
}

static bool set_own_certificate(SSL_CTX *tls, const struct material *material)
{
    if (!SSL_CTX_use_certificate(tls, sk_X509_value(material->chain, 0)) ||
        !SSL_CTX_use_PrivateKey(tls, material->key))
        return false;
    for (size_t i = 1; i < sk_X509_num(material->chain); i++) {
        if (!SSL_CTX_add1_chain_cert(tls, sk_X509_value(material->chain, i)))
            return false;
    }
    return true;
}

/* A server sends the names of its CAs, so that a client can choose a certificate. This is optional (RFC 8446,
 * 4.2.4; RFC 5246, 7.4.4), and is left out if the list is so long that the handshake would fail. */
static bool set_ca_names(SSL_CTX *tls, const STACK_OF(X509) * cas, const struct credentials_options *options,
                         struct log *log)
{
    size_t bytes = 0;

    for (size_t i = 0; i < sk_X509_num(cas); i++) {
        int length = i2d_X509_NAME(X509_get_subject_name(sk_X509_value(cas, i)), NULL);
        if (length < 0)
            return false;
        bytes += (size_t)length;
    }
    if (bytes > CA_NAMES_BYTES_MAX) {
        log_say(log, LOG_INFO, "%s: clients are not told the names of its %zu CAs: %zu bytes are too many",
                options->ca_file, sk_X509_num(cas), bytes);
        return true;
    }
    for (size_t i = 0; i < sk_X509_num(cas); i++) {
        if (!SSL_CTX_add_client_CA(tls, sk_X509_value(cas, i)))
            return false;
    }
    return true;
}

/* The part of own_protocols that a set offers or accepts. */
static const uint8_t *protocols_of(const struct credentials *credentials, unsigned *length)
{
    *length = FORWARD_NAME_BYTES + (credentials->speaks_link ? LINK_NAME_BYTES : 0);
    return own_protocols + LINK_NAME_BYTES + FORWARD_NAME_BYTES - *length;
}

/* If the client offers none of our protocols, ALPN is not answered; the handshake goes on. */
static int on_alpn(SSL *ssl, const uint8_t **chosen, uint8_t *chosen_length, const uint8_t *offered,
                   unsigned offered_length, void *argument)
{
    unsigned length;
    const uint8_t *own = protocols_of(argument, &length);
    uint8_t *found;
    int result = SSL_select_next_proto(&found, chosen_length, own, length, offered, offered_length);

    (void)ssl;
    *chosen = found;
    return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

/* Two husks recognise each other by ALPN. */
static bool set_alpn(SSL_CTX *tls, enum tls_role role, struct credentials *credentials)
{
    unsigned length;
    const uint8_t *own = protocols_of(credentials, &length);

    if (role == TLS_CLIENT)
        return SSL_CTX_set_alpn_protos(tls, own, length) == 0;
    SSL_CTX_set_alpn_select_cb(tls, on_alpn, credentials);
    return true;
}

/* A server stores no sessions: they travel in tickets, encrypted with keys that BoringSSL rotates. A ticket
 * contains the client's chain, so the length of the chain is limited. A client verifies a resumed server as
 * it verifies a new one. */
static bool set_sessions(SSL_CTX *tls, enum tls_role role)
{
    static const uint8_t session_context[] = "husk";

    if (role == TLS_SERVER) {
        SSL_CTX_set_max_cert_list(tls, CLIENT_CHAIN_BYTES_MAX);
        SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
        return SSL_CTX_set_session_id_context(tls, session_context, sizeof session_context - 1);
    }
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(tls, on_new_session);
    SSL_CTX_set_reverify_on_resume(tls, 1);
    return true;
}

static bool tls_create(struct credentials *credentials, const struct material *material,
                       const struct credentials_options *options, struct log *log)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_method());

    credentials->tls = tls;
    credentials->speaks_link = options->speaks_link;
    if (!tls || !SSL_CTX_set_app_data(tls, credentials) || !set_protocol(tls, options) ||
        !set_own_certificate(tls, material) ||
        !certificate_digest_chain(material->chain, credentials->own_digest) ||
        (options->role == TLS_SERVER && !set_ca_names(tls, credentials->cas, options, log)) ||
        !set_sessions(tls, options->role) || !set_alpn(tls, options->role, credentials))
        return false;
    SSL_CTX_set_custom_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, on_verify);
    credentials->rules = (struct peer_check_rules) {
        .role = options->role,
        .allow_cn_as_name = options->allow_cn_as_name,
        .allow_weak = options->allow_weak,
        .policy = options->policy ? &credentials->policy : NULL,
        .trusted_cas = credentials->cas,
        .revocation = credentials->revocation,
    };
    return true;
}

/* ---- the set ---- */

struct credentials *credentials_load(const struct credentials_options *options, struct log *log,
                                     struct fault *fault)
{
    struct credentials *credentials = calloc(1, sizeof *credentials);
    struct material material = { 0 };

    assert(options->cert_file && options->key_file && options->ca_file);
    if (!credentials) {
        fault_set(fault, "%s: out of memory", options->cert_file);
        return NULL;
    }
    atomic_init(&credentials->references, 1);
    if (options->policy)
        credentials->policy = peer_policy_share(options->policy);
    if (!material_load(&material, options, fault))
        goto fail;
    credentials->cas = material.cas;
    material.cas = NULL;
    credentials->revocation = material.revocation;
    material.revocation = NULL;
    ERR_clear_error();
    if (!tls_create(credentials, &material, options, log)) {
        fault_set(fault, "%s: BoringSSL rejects it: %s", options->cert_file, library_error_take());
        goto fail;
    }
    credentials->validity = validity_of(material.chain, credentials->cas, clock_wall_seconds());
    set_describe(credentials, material.chain, options, log);
    material_free(&material);
    return credentials;
fail:
    material_free(&material);
    credentials_release(credentials);
    return NULL;
}

struct credentials *credentials_share(struct credentials *credentials)
{
    atomic_fetch_add_explicit(&credentials->references, 1, memory_order_relaxed);
    return credentials;
}

void credentials_release(struct credentials *credentials)
{
    if (!credentials || atomic_fetch_sub_explicit(&credentials->references, 1, memory_order_acq_rel) > 1)
        return;
    SSL_CTX_free(credentials->tls);
    sk_X509_pop_free(credentials->cas, X509_free);
    revocation_free(credentials->revocation);
    peer_policy_deinit(&credentials->policy);
    free(credentials);
}

bool credentials_have_same_certificate(const struct credentials *a, const struct credentials *b)
{
    return memcmp(a->own_digest, b->own_digest, sizeof a->own_digest) == 0;
}

struct validity credentials_validity(const struct credentials *credentials)
{
    return credentials->validity;
}

/* ---- sessions ---- */

/* SNI contains only DNS names. */
static bool set_sni(SSL *ssl, const char *server_name)
{
    char sni[SERVER_NAME_DNS_BYTES];

    return !server_name_to_dns(server_name, sni) || SSL_set_tlsext_host_name(ssl, sni);
}

struct ssl_st *credentials_start_session(struct credentials *credentials, struct peer_check *check)
{
    SSL *ssl;

    ERR_clear_error();
    ssl = SSL_new(credentials->tls);
    if (!ssl || !SSL_set_app_data(ssl, check))
        goto fail;
    SSL_set_shed_handshake_config(ssl, 1);
    if (credentials->rules.role == TLS_SERVER) {
        SSL_set_accept_state(ssl);
        return ssl;
    }
    SSL_set_connect_state(ssl);
    if (!check->server_name || set_sni(ssl, check->server_name))
        return ssl;
fail:
    SSL_free(ssl);
    ERR_clear_error();
    return NULL;
}

enum tls_peer_protocol credentials_protocol_of(const struct ssl_st *ssl)
{
    const uint8_t *name;
    unsigned length;

    SSL_get0_alpn_selected(ssl, &name, &length);
    if (!length)
        return TLS_PEER_UNKNOWN;
    return length + 1 == LINK_NAME_BYTES ? TLS_PEER_LINK : TLS_PEER_HUSK;
}

struct peer_check *credentials_check_of(const struct ssl_st *ssl)
{
    return SSL_get_app_data(ssl);
}

void credentials_on_new_session(struct credentials *credentials,
                                int (*callback)(struct ssl_st *, struct ssl_session_st *))
{
    atomic_store(&credentials->on_new_session, callback);
}

bool credentials_recheck_peer(struct credentials *credentials, struct ssl_st *ssl, struct peer_check *check)
{
    uint8_t alert;

    return peer_check_verify(check, &credentials->rules, SSL_get_peer_full_cert_chain(ssl), &alert);
}
