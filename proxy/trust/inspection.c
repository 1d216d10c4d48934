#include "trust/inspection.h"

#include "base/clock.h"
#include "trust/certificate_file.h"
#include "trust/own_key.h"
#include "trust/passphrase.h"
#include "trust/pkcs12_file.h"
#include "trust/private_key.h"
#include "trust/revocation.h"
#include "trust/token_uri.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

/* The certificates, until they are plain data. */
struct inspected {
    STACK_OF(X509) * chain, *cas;
};

/* ---- certificates ---- */

static STACK_OF(X509) *
    certificates_load(const char *path, enum certificate_file_use use, struct inspection *inspection)
{
    bool is_chain = use == CERTIFICATE_FILE_CHAIN;
    struct fault *fault = is_chain ? &inspection->chain.fault : &inspection->cas.fault;
    struct revocation *lists = inspection->lists.lists;
    STACK_OF(X509) *certificates = NULL;
    struct pem_file file;

    if (certificate_file_read(&file, path, fault)) {
        certificates = certificate_file_decode(&file, use, fault);
        if (certificates && !is_chain && lists)
            (void)!revocation_add_ca_file(lists, &file, &inspection->lists.ca_fault);
    }
    pem_file_wipe(&file);
    return certificates;
}

/* Whether a later version of the certificate is in the list. */
static bool has_later_version(const STACK_OF(X509) * certificates, X509 *certificate)
{
    for (size_t i = 0; i < sk_X509_num(certificates); i++) {
        X509 *other = sk_X509_value(certificates, i);
        if (certificate_is_version_of(other, certificate) &&
            certificate_not_after(other) > certificate_not_after(certificate))
            return true;
    }
    return false;
}

static void certificates_describe(struct inspected_certificates *to, const STACK_OF(X509) * certificates)
{
    if (!certificates)
        return;
    to->items = calloc(sk_X509_num(certificates), sizeof *to->items);
    if (!to->items) {
        fault_set(&to->fault, "out of memory");
        return;
    }
    to->count = sk_X509_num(certificates);
    for (size_t i = 0; i < to->count; i++) {
        struct inspected_certificate *item = &to->items[i];
        X509 *certificate = sk_X509_value(certificates, i);
        certificate_facts_of(certificate, &item->facts);
        item->has_version = has_later_version(certificates, certificate);
        item->has_place = i == 0 || certificate_file_has_place(certificates, i);
    }
}

/* ---- revocation lists ---- */

/* Goes on after a list that cannot be applied. */
static void lists_load(struct inspected_lists *to, const struct credentials_options *options,
                       const STACK_OF(X509) * cas)
{
    for (size_t i = 0; to->lists && i < options->revocation.count; i++)
        (void)!revocation_add(to->lists, (int)i, options->revocation.paths[i], &to->crl_faults[i]);
    if (to->lists && cas && revocation_settle(to->lists, cas, &to->fault))
        return;
    revocation_free(to->lists);
    to->lists = NULL;
}

static bool is_revoked_by_one_of(const struct revocation *lists, X509 *certificate,
                                 const STACK_OF(X509) * issuers)
{
    for (size_t i = 0; i < sk_X509_num(issuers); i++) {
        if (revocation_judge(lists, certificate, sk_X509_value(issuers, i), clock_wall_seconds()) ==
            REVOCATION_REVOKED)
            return true;
    }
    return false;
}

static void revocations_note(struct inspection *inspection, const struct inspected *material)
{
    const struct revocation *lists = inspection->lists.lists;

    for (size_t i = 0; lists && i < inspection->chain.count; i++) {
        X509 *certificate = sk_X509_value(material->chain, i);
        inspection->chain.items[i].is_revoked = is_revoked_by_one_of(lists, certificate, material->chain) ||
                                                is_revoked_by_one_of(lists, certificate, material->cas);
    }
}

/* ---- the path ---- */

/* Our peer verifies us in the other role. */
static void path_judge(struct inspection *inspection, const struct inspected *material,
                       const struct credentials_options *options)
{
    const struct peer_check_rules rules = {
        .role = options->role == TLS_CLIENT ? TLS_SERVER : TLS_CLIENT,
        .allow_weak = options->allow_weak,
        .trusted_cas = material->cas,
        .revocation = { inspection->lists.lists, REVOCATION_IGNORE },
    };
    struct peer_check check = { .reason = END_NONE };
    uint8_t alert;

    if (!material->chain || !material->cas)
        return;
    inspection->has_path = true;
    if (peer_check_verify_chain(&check, &rules, material->chain, &alert))
        return;
    inspection->path_reason = check.reason;
    inspection->path_lacks_issuer = check.lacks_issuer;
    memcpy(inspection->path_detail, check.detail, sizeof inspection->path_detail);
}

/* ---- the key ---- */

/* The certificate of the chain that has the key, from 1; 0: none. */
static size_t owner_of(EVP_PKEY *key, const STACK_OF(X509) * chain)
{
    size_t owner = 0;

    for (size_t i = 0; !owner && i < sk_X509_num(chain); i++) {
        if (X509_check_private_key(sk_X509_value(chain, i), key) == 1)
            owner = i + 1;
    }
    ERR_clear_error();
    return owner;
}

/* A token shows its key only by signatures, so the key is compared with the first certificate alone. */
static void token_inspect(struct inspected_key *to, const struct inspected *material,
                          const struct credentials_options *options)
{
    struct own_key key = { 0 };

    to->is_in_token = true;
    if (!material->chain)
        return;
    to->is_read = own_key_load(&key, options, sk_X509_value(material->chain, 0), &to->fault);
    to->fits = to->is_read;
    own_key_free(&key);
}

static void key_inspect(struct inspected_key *to, const struct inspected *material,
                        const struct credentials_options *options)
{
    struct passphrase passphrase;

    to->is_encrypted = private_key_is_encrypted(options->key_file);
    if (!passphrase_load(&passphrase, options->passphrase_env, options->passphrase_file,
                         &to->passphrase_fault)) {
        passphrase_wipe(&passphrase);
        if (to->is_encrypted)
            return;
        passphrase.given = false;
    }
    EVP_PKEY *key = private_key_load(options->key_file, &passphrase, &to->fault);
    passphrase_wipe(&passphrase);
    to->is_read = key;
    to->fits = key && material->chain ? owner_of(key, material->chain) : 0;
    EVP_PKEY_free(key);
}

/* Key and chain of a PKCS#12 file. */
static void keystore_inspect(struct inspected_key *to, struct inspected *material,
                             const struct credentials_options *options)
{
    struct pkcs12_file contents = { 0 };
    struct passphrase passphrase;

    to->is_read = passphrase_load(&passphrase, options->passphrase_env, options->passphrase_file,
                                  &to->passphrase_fault) &&
                  pkcs12_file_load(&contents, options->keystore, &passphrase, &to->fault);
    passphrase_wipe(&passphrase);
    to->fits = to->is_read;
    to->is_encrypted = to->is_read || contents.is_locked || to->passphrase_fault.text[0];
    material->chain = contents.chain;
    contents.chain = NULL;
    pkcs12_file_deinit(&contents);
}

/* ---- all ---- */

void inspection_init(struct inspection *inspection, const struct credentials_options *options)
{
    struct inspected material = { 0 };

    *inspection = (struct inspection) { 0 };
    inspection->lists.lists = revocation_new(options->revocation.strength, &inspection->lists.fault);
    if (options->keystore)
        keystore_inspect(&inspection->key, &material, options);
    else if (!options->shows_nothing)
        material.chain = certificates_load(options->cert_file, CERTIFICATE_FILE_CHAIN, inspection);
    if (options->ca_file)
        material.cas = certificates_load(options->ca_file, CERTIFICATE_FILE_CAS, inspection);
    certificates_describe(&inspection->chain, material.chain);
    certificates_describe(&inspection->cas, material.cas);
    lists_load(&inspection->lists, options, material.cas);
    revocations_note(inspection, &material);
    path_judge(inspection, &material, options);
    if (token_uri_is(options->key_file))
        token_inspect(&inspection->key, &material, options);
    else if (!options->keystore && !options->shows_nothing)
        key_inspect(&inspection->key, &material, options);
    sk_X509_pop_free(material.chain, X509_free);
    sk_X509_pop_free(material.cas, X509_free);
}

void inspection_deinit(struct inspection *inspection)
{
    free(inspection->chain.items);
    free(inspection->cas.items);
    revocation_free(inspection->lists.lists);
    *inspection = (struct inspection) { 0 };
}
