#include "trust/credentials.h"

#include "base/clock.h"
#include "trust/alpn.h"
#include "trust/certificate.h"
#include "trust/client_certificate.h"
#include "trust/library_error.h"
#include "trust/material.h"
#include "trust/revocation.h"
#include "trust/server_name.h"
#include "trust/ticket_keys.h"
#include "trust/tls_protocol.h"
#include "trust/token_handshake.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
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
    struct material material;
    struct peer_policy policy; /* shared: what `rules` point to, if they have a policy */
    struct peer_check_rules rules;
    struct ticket_keys *ticket_keys; /* server; NULL: BoringSSL makes its own */
    struct validity validity;
    struct metrics_certificate certificates[CERTIFICATES_MAX]; /* of husk */
    size_t certificate_count;
    uint8_t own_digest[CERTIFICATE_DIGEST_BYTES]; /* of our certificate and its chain */
    bool omits_sni;
    char *sni; /* owned; NULL: the name of the server */
    _Atomic new_session_callback on_new_session;
};

/* ---- the SSL_CTX ---- */

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

/* Verifies what the peer has shown: its chain, and a server also its OCSP response. */
static bool peer_verify(struct peer_check *check, const struct credentials *credentials, SSL *ssl,
                        uint8_t *alert)
{
    SSL_get0_ocsp_response(ssl, &check->staple.bytes, &check->staple.length);
    bool is_good = peer_check_verify(check, &credentials->rules, SSL_get_peer_full_cert_chain(ssl), alert);
    check->staple = (struct ocsp_response) { 0 };
    return is_good;
}

/* The check comes from the SSL, the rules from its SSL_CTX. */
static enum ssl_verify_result_t on_verify(SSL *ssl, uint8_t *alert)
{
    const struct credentials *credentials = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

    if (SSL_is_server(ssl))
        omit_long_ticket(ssl);
    return peer_verify(credentials_check_of(ssl), credentials, ssl, alert) ? ssl_verify_ok
                                                                           : ssl_verify_invalid;
}

static enum ssl_select_cert_result_t on_hello(const SSL_CLIENT_HELLO *hello)
{
    const struct credentials *credentials = SSL_CTX_get_app_data(SSL_get_SSL_CTX(hello->ssl));

    return certificate_choice_for_client(&credentials->material.choice, hello) ? ssl_select_cert_success
                                                                               : ssl_select_cert_error;
}

static int on_certificate_asked(SSL *ssl, void *choice)
{
    return certificate_choice_for_server(choice, ssl);
}

/* The SSL_CTX has the first certificate. */
static void set_choice(SSL_CTX *tls, struct credentials *credentials, enum tls_role role)
{
    if (credentials->material.choice.count > 1 && role == TLS_SERVER)
        SSL_CTX_set_select_certificate_cb(tls, on_hello);
    else if (credentials->material.choice.count > 1)
        SSL_CTX_set_cert_cb(tls, on_certificate_asked, &credentials->material.choice);
}

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct credentials *credentials = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    new_session_callback callback = atomic_load(&credentials->on_new_session);

    /* A session has the OCSP response of its first handshake, which becomes stale. */
    return callback && !credentials_check_of(ssl)->demands_staple ? callback(ssl, session) : 0;
}

static uint16_t protocol_version(enum tls_version version)
{
    return version == TLS_VERSION_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION;
}

static bool set_protocol(SSL_CTX *tls, const struct credentials_options *options)
{
    return tls_protocol_set(tls, &options->choices) &&
           SSL_CTX_set_min_proto_version(tls, protocol_version(options->min_version)) &&
           SSL_CTX_set_max_proto_version(tls, protocol_version(options->max_version));
}

static bool set_own_certificate(SSL_CTX *tls, const struct own_certificate *own)
{
    if (!SSL_CTX_use_certificate(tls, sk_X509_value(own->chain, 0)) || !own_key_use(&own->key, tls))
        return false;
    for (size_t i = 1; i < sk_X509_num(own->chain); i++) {
        if (!SSL_CTX_add1_chain_cert(tls, sk_X509_value(own->chain, i)))
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
                options->svid.socket ? options->svid.socket : options->ca_file, sk_X509_num(cas), bytes);
        return true;
    }
    for (size_t i = 0; i < sk_X509_num(cas); i++) {
        if (!SSL_CTX_add_client_CA(tls, sk_X509_value(cas, i)))
            return false;
    }
    return true;
}

static int on_ticket(SSL *ssl, uint8_t *name, uint8_t *iv, EVP_CIPHER_CTX *cipher, HMAC_CTX *hmac,
                     int encrypts)
{
    const struct credentials *credentials = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const struct ticket_cipher ticket = { name, iv, cipher, hmac };

    return encrypts ? ticket_keys_encrypt(credentials->ticket_keys, &ticket)
                    : ticket_keys_decrypt(credentials->ticket_keys, &ticket);
}

/* A server stores no sessions: they travel in tickets, encrypted with the keys of a file, or with keys that
 * BoringSSL makes and replaces. A ticket contains the client's chain, so the length of the chain is limited.
 * A client verifies a resumed server as it verifies a new one. */
static bool set_sessions(SSL_CTX *tls, const struct credentials *credentials,
                         const struct credentials_options *options)
{
    static const uint8_t session_context[] = "husk";

    if (options->role == TLS_SERVER) {
        SSL_CTX_set_max_cert_list(tls, CLIENT_CHAIN_BYTES_MAX);
        SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
        if (credentials->ticket_keys)
            SSL_CTX_set_tlsext_ticket_key_cb(tls, on_ticket);
        return SSL_CTX_set_session_id_context(tls, session_context, sizeof session_context - 1);
    }
    SSL_CTX_enable_ocsp_stapling(tls);
    /* A session has the OCSP response of its first handshake, which becomes stale. */
    SSL_CTX_set_session_cache_mode(tls, options->revocation.policy == REVOCATION_REQUIRE
                                            ? SSL_SESS_CACHE_OFF
                                            : SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(tls, on_new_session);
    SSL_CTX_set_reverify_on_resume(tls, 1);
    return true;
}

/* Of all certificates that peers may see. */
static bool digest_own(struct credentials *credentials)
{
    const struct certificate_choice *choice = &credentials->material.choice;
    STACK_OF(X509) *all = sk_X509_new_null();
    bool is_good = all != NULL;

    for (size_t i = 0; i < choice->count; i++) {
        for (size_t k = 0; is_good && k < sk_X509_num(choice->items[i].chain); k++)
            is_good = sk_X509_push(all, sk_X509_value(choice->items[i].chain, k)) != 0;
    }
    is_good = is_good && certificate_digest_chain(all, credentials->own_digest);
    sk_X509_free(all);
    return is_good;
}

static bool tls_create(struct credentials *credentials, const struct credentials_options *options,
                       struct log *log)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_method());

    credentials->tls = tls;
    if (!tls || !SSL_CTX_set_app_data(tls, credentials) || !set_protocol(tls, options) ||
        (!options->shows_nothing && !set_own_certificate(tls, &credentials->material.choice.items[0])) ||
        !digest_own(credentials) ||
        (options->role == TLS_SERVER && !set_ca_names(tls, credentials->material.cas, options, log)) ||
        !set_sessions(tls, credentials, options) || !alpn_set(tls, options))
        return false;
    set_choice(tls, credentials, options->role);
    SSL_CTX_set_custom_verify(tls, client_certificate_verify_mode(options->client_certificate), on_verify);
    credentials->rules = (struct peer_check_rules) {
        .role = options->role,
        .allow_cn_as_name = options->allow_cn_as_name,
        .verifies_nothing = options->verifies_nothing,
        .ignores_name = options->ignores_name,
        .allow_weak = options->allow_weak,
        .allows_anonymous = options->client_certificate != CLIENT_CERTIFICATE_REQUIRE,
        .policy = options->policy ? &credentials->policy : NULL,
        .trusted_cas = credentials->material.cas,
        .bundles = credentials->material.bundles,
        .revocation = { credentials->material.revocation, options->revocation.policy },
    };
    return true;
}

/* ---- the set ---- */

/* Of the certificate that expires first. */
static struct validity validity_first(const struct material *material)
{
    const int64_t now = clock_wall_seconds();
    struct validity first = validity_of(NULL, material->cas, now);

    for (size_t i = 0; i < material->choice.count; i++)
        first = validity_join(first, validity_of(material->choice.items[i].chain, material->cas, now));
    return first;
}

static bool set_load(struct credentials *credentials, const struct credentials_files *files,
                     const struct svid_message *message, struct log *log, struct fault *fault)
{
    const struct credentials_options *options = &files->options;

    if (options->sni && !(credentials->sni = strdup(options->sni))) {
        fault_set(fault, "%s: out of memory", credentials_options_origin(options));
        return false;
    }
    if (!material_load(&credentials->material, options, message, fault) ||
        (options->ticket_keys_file &&
         !(credentials->ticket_keys = ticket_keys_load(options->ticket_keys_file, fault))))
        return false;
    ERR_clear_error();
    if (!tls_create(credentials, options, log)) {
        fault_set(fault, "%s: BoringSSL rejects it: %s", credentials_options_origin(options),
                  library_error_take());
        return false;
    }
    credentials->validity = validity_first(&credentials->material);
    struct certificate_choice *choice = &credentials->material.choice;
    for (size_t i = 0; i < choice->count; i++) {
        const X509 *certificate = sk_X509_value(choice->items[i].chain, 0);
        credentials->certificates[i] =
            (struct metrics_certificate) { .not_before = certificate_not_before(certificate),
                                           .not_after = certificate_not_after(certificate) };
    }
    credentials->certificate_count = choice->count;
    material_describe(&credentials->material, files, log);
    client_certificate_warn(options->client_certificate, log);
    /* Nothing to choose: the SSL_CTX has what it shows, except a key in a token. */
    if (choice->count == 1 && !certificate_choice_has_token(choice))
        certificate_choice_deinit(choice);
    return true;
}

struct credentials *credentials_load(const struct credentials_options *options, struct log *log,
                                     struct fault *fault)
{
    return credentials_load_from(options, NULL, log, fault);
}

struct credentials *credentials_load_from(const struct credentials_options *options,
                                          const struct svid_message *message, struct log *log,
                                          struct fault *fault)
{
    struct credentials *credentials = calloc(1, sizeof *credentials);
    struct credentials_files files;

    assert(message ? options->svid.socket != NULL : credentials_options_are_set(options));
    if (!credentials) {
        fault_set(fault, "out of memory");
        return NULL;
    }
    atomic_init(&credentials->references, 1);
    if (options->policy)
        credentials->policy = peer_policy_share(options->policy);
    credentials->omits_sni = options->omits_sni;
    if (credentials_files_find(&files, options, fault) && set_load(credentials, &files, message, log, fault))
        return credentials;
    credentials_release(credentials);
    return NULL;
}

/* A server refuses before it shows anything. A client dials no server (link/outlet.c). */
static enum ssl_select_cert_result_t on_hello_without_credentials(const SSL_CLIENT_HELLO *hello)
{
    const struct credentials *credentials = SSL_CTX_get_app_data(SSL_get_SSL_CTX(hello->ssl));
    uint8_t alert;

    (void)peer_check_verify(credentials_check_of(hello->ssl), &credentials->rules, NULL, &alert);
    return ssl_select_cert_error;
}

struct credentials *credentials_withdraw(enum tls_role role, struct fault *fault)
{
    struct credentials *credentials = calloc(1, sizeof *credentials);

    if (credentials) {
        atomic_init(&credentials->references, 1);
        credentials->rules = (struct peer_check_rules) { .role = role, .trusts_nobody = true };
        credentials->tls = SSL_CTX_new(TLS_method());
    }
    if (!credentials || !credentials->tls || !SSL_CTX_set_app_data(credentials->tls, credentials)) {
        credentials_release(credentials);
        fault_set(fault, "out of memory");
        return NULL;
    }
    SSL_CTX_set_custom_verify(credentials->tls, SSL_VERIFY_PEER, on_verify);
    SSL_CTX_set_select_certificate_cb(credentials->tls, on_hello_without_credentials);
    return credentials;
}

bool credentials_are_withdrawn(const struct credentials *credentials)
{
    return credentials && credentials->rules.trusts_nobody;
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
    material_deinit(&credentials->material);
    peer_policy_deinit(&credentials->policy);
    free(credentials->sni);
    ticket_keys_free(credentials->ticket_keys);
    free(credentials);
}

bool credentials_verify_nothing(const struct credentials *credentials)
{
    return credentials && credentials->rules.verifies_nothing;
}

bool credentials_have_same_certificate(const struct credentials *a, const struct credentials *b)
{
    return memcmp(a->own_digest, b->own_digest, sizeof a->own_digest) == 0;
}

bool credentials_show_nothing(const struct credentials *credentials)
{
    return !credentials->certificate_count;
}

bool credentials_ignore_name(const struct credentials *credentials)
{
    return credentials->rules.ignores_name || credentials->rules.verifies_nothing ||
           credentials->rules.bundles || credentials->rules.trusts_nobody;
}

struct revocation_use credentials_revocation(const struct credentials *credentials)
{
    return credentials ? (struct revocation_use) { credentials->material.revocation,
                                                   credentials->rules.revocation.policy }
                       : (struct revocation_use) { 0 };
}

struct validity credentials_validity(const struct credentials *credentials)
{
    return credentials->validity;
}

const struct metrics_certificate *credentials_certificates(const struct credentials *credentials,
                                                           size_t *count)
{
    *count = credentials ? credentials->certificate_count : 0;
    return credentials ? credentials->certificates : NULL;
}

/* ---- sessions ---- */

/* SNI contains only DNS names. */
static bool set_sni(SSL *ssl, const struct credentials *credentials, const char *server_name)
{
    const char *name = credentials->sni ? credentials->sni : server_name;
    char sni[SERVER_NAME_DNS_BYTES];

    return credentials->omits_sni || !name || !server_name_to_dns(name, sni) ||
           SSL_set_tlsext_host_name(ssl, sni);
}

struct ssl_st *credentials_start_session(struct credentials *credentials, struct peer_check *check)
{
    SSL *ssl;

    ERR_clear_error();
    ssl = SSL_new(credentials->tls);
    if (!ssl || !SSL_set_app_data(ssl, check))
        goto fail;
    if (certificate_choice_has_token(&credentials->material.choice) &&
        !(check->signature = token_signature_new(credentials->material.choice.items[0].key.token)))
        goto fail;
    SSL_set_shed_handshake_config(ssl, 1);
    if (credentials->rules.role == TLS_SERVER) {
        SSL_set_accept_state(ssl);
        return ssl;
    }
    SSL_set_connect_state(ssl);
    if (set_sni(ssl, credentials, check->server_name))
        return ssl;
fail:
    SSL_free(ssl);
    ERR_clear_error();
    return NULL;
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

    return peer_verify(check, credentials, ssl, &alert);
}
