#include "trust/material.h"

#include "trust/certificate.h"
#include "trust/certificate_file.h"
#include "trust/passphrase.h"
#include "trust/pkcs12_file.h"
#include "trust/private_key.h"
#include "trust/revocation.h"
#include "trust/strength.h"
#include "trust/svid.h"
#include "trust/tls_protocol.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

/* ---- loading ---- */

/* Key and chain of the PKCS#12 file. */
static bool keystore_load(struct own_certificate *own, const struct credentials_options *options,
                          struct fault *fault)
{
    struct pkcs12_file contents = { 0 };
    struct passphrase passphrase;
    bool is_loaded = passphrase_load(&passphrase, options->passphrase_env, options->passphrase_file, fault);

    if (is_loaded)
        is_loaded = pkcs12_file_load(&contents, options->keystore, &passphrase, fault);
    else
        fault_wrap(fault, "the key's passphrase");
    passphrase_wipe(&passphrase);
    own->key.key = contents.key;
    own->chain = contents.chain;
    return is_loaded && certificate_file_check_chain(own->chain, options->keystore, fault);
}

/* Otherwise every handshake would fail. A curve that is weak has no signature algorithm in TLS. */
static bool check_key_signs(const struct own_certificate *own, const struct credentials_options *options,
                            struct fault *fault)
{
    const char *origin = options->svid.socket ? options->svid.socket
                         : options->keystore  ? options->keystore
                                              : options->key_file;
    char flaw[STRENGTH_FLAW_BYTES];

    if (!tls_protocol_fits_key(&options->choices, own->key.key))
        fault_set(fault, "%s: no signature algorithm of --tls-signature-algorithms is for a key of this type",
                  origin);
    else if (EVP_PKEY_id(own->key.key) == EVP_PKEY_EC &&
             !strength_check_key(sk_X509_value(own->chain, 0), flaw))
        fault_set(
            fault,
            "%s: the certificate %s, for which TLS has no signature algorithm: make a key on the curve P-256",
            origin, flaw);
    else
        return true;
    return false;
}

/* Chain and key of one certificate. */
static bool own_load(struct own_certificate *own, const struct credentials_options *options,
                     struct fault *fault)
{
    bool is_loaded = options->keystore
                         ? keystore_load(own, options, fault)
                         : (own->chain = certificate_file_load_chain(options->cert_file, fault)) &&
                               own_key_load(&own->key, options, sk_X509_value(own->chain, 0), fault);

    return is_loaded && check_key_signs(own, options, fault);
}

static bool choice_load(struct certificate_choice *choice, const struct credentials_options *options,
                        struct fault *fault)
{
    bool is_loaded = true;

    for (size_t i = 0; !options->shows_nothing && i <= options->more_count && is_loaded; i++) {
        const struct credentials_options one = credentials_options_at(options, i);
        is_loaded = own_load(&choice->items[choice->count++], &one, fault);
    }
    return is_loaded;
}

static bool authorities_load(struct material *material, const struct credentials_options *options,
                             struct fault *fault)
{
    struct pem_file file;

    if (options->verifies_nothing)
        return (material->cas = sk_X509_new_null()) &&
               (material->revocation = revocation_load(NULL, &options->revocation, material->cas, fault));
    bool is_loaded =
        certificate_file_read(&file, options->ca_file, fault) &&
        (material->cas = certificate_file_cas(&file, fault)) &&
        (material->revocation = revocation_load(&file, &options->revocation, material->cas, fault));

    pem_file_wipe(&file);
    return is_loaded;
}

/* An answer has one certificate, and no file. */
static bool message_load(struct material *material, const struct credentials_options *options,
                         const struct svid_message *message, struct fault *fault)
{
    struct svid svid = { 0 };

    if (!svid_read(&svid, message, &options->svid, &options->revocation, fault)) {
        svid_deinit(&svid);
        return false;
    }
    *material = (struct material) {
        .choice = { .items = { { .chain = svid.chain, .key.key = svid.key } }, .count = 1 },
        .cas = svid.cas,
        .bundles = svid.bundles,
        .revocation = svid.revocation,
    };
    return check_key_signs(&material->choice.items[0], options, fault);
}

bool material_load(struct material *material, const struct credentials_options *options,
                   const struct svid_message *message, struct fault *fault)
{
    *material = (struct material) { 0 };
    if (message)
        return message_load(material, options, message, fault);
    return choice_load(&material->choice, options, fault) && authorities_load(material, options, fault);
}

void material_deinit(struct material *material)
{
    certificate_choice_deinit(&material->choice);
    sk_X509_pop_free(material->cas, X509_free);
    svid_bundles_free(material->bundles);
    revocation_free(material->revocation);
    *material = (struct material) { 0 };
}

/* ---- what the user should know ---- */

/* Only a warning: the peer verifies the usage, and some peers do not. */
static void warn_of_wrong_usage(X509 *leaf, const struct credentials_options *options, struct log *log)
{
    bool is_client = options->role == TLS_CLIENT;

    if (!X509_check_purpose(leaf, is_client ? X509_PURPOSE_SSL_CLIENT : X509_PURPOSE_SSL_SERVER, 0))
        log_say(log, LOG_WARN, "%s: the certificate is not meant for a TLS %s: peers will refuse it",
                credentials_options_origin(options), is_client ? "client" : "server");
    if (!is_client && ocsp_is_demanded(leaf))
        log_say(log, LOG_WARN,
                "%s: the certificate demands an OCSP response, which husk does not send: peers may refuse it",
                credentials_options_origin(options));
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

/* A warning about a setting. */
static void warn_of_setting(struct log *log, const struct credentials_options *options, const char *text)
{
    struct log_line line;

    log_begin_words(&line, log, LOG_WARN, options->role == TLS_CLIENT ? SIDE_UPSTREAM : SIDE_DOWNSTREAM,
                    text);
    log_end(&line);
}

static void own_describe(const STACK_OF(X509) * chain, const struct credentials_options *options,
                         struct log *log)
{
    if (options->key_file)
        private_key_warn_if_shared(options->key_file, "private key", log);
    warn_of_wrong_usage(sk_X509_value(chain, 0), options, log);
    warn_of_weakness(chain, is_strong, credentials_options_origin(options), log);
}

static void directory_describe(const struct credentials_files *files, struct log *log)
{
    struct log_line line;

    log_begin(&line, log, LOG_INFO, "credentials of a directory");
    log_text(&line, "directory", files->options.directory);
    log_text(&line, "layout", files->dir.layout);
    log_end(&line);
}

void material_describe(const struct material *material, const struct credentials_files *files,
                       struct log *log)
{
    const struct credentials_options *options = &files->options;

    if (options->directory)
        directory_describe(files, log);
    for (size_t i = 0; i < material->choice.count; i++) {
        const struct credentials_options one = credentials_options_at(options, i);
        own_describe(material->choice.items[i].chain, &one, log);
    }
    if (options->ticket_keys_file)
        private_key_warn_if_shared(options->ticket_keys_file, "file of ticket keys", log);
    warn_of_weakness(material->cas, strength_check_key,
                     material->bundles ? options->svid.socket : options->ca_file, log);
    revocation_describe(material->revocation, log);
    if (files->uses_system_cas && options->role == TLS_SERVER)
        warn_of_setting(log, options,
                        "--ca system: every public CA can issue certificates of clients: admit clients by "
                        "names that no public CA gives to others");
    if (options->allow_weak)
        warn_of_setting(log, options,
                        "--allow-weak-certificates: peers whose certificates can be forged are accepted");
    if (options->verifies_nothing)
        warn_of_setting(log, options,
                        "--insecure: no certificate of an upstream is verified: whoever is on the way can "
                        "read and change all messages");
}
