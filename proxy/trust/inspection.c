#include "trust/inspection.h"

#include "trust/certificate_file.h"
#include "trust/passphrase.h"
#include "trust/private_key.h"
#include "trust/revocation.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

/* The contents of the files, until they are plain data. */
struct material {
    STACK_OF(X509) * chain, *cas;
    struct revocation *revocation;
};

/* ---- certificates ---- */

static STACK_OF(X509) * certificates_load(const char *path, enum certificate_file_use use,
                                          struct revocation **revocation, struct inspection *inspection)
{
    bool is_chain = use == CERTIFICATE_FILE_CHAIN;
    struct fault *fault = is_chain ? &inspection->chain.fault : &inspection->cas.fault;
    STACK_OF(X509) *certificates = NULL;
    struct pem_file file;

    if (certificate_file_read(&file, path, fault)) {
        certificates = certificate_file_decode(&file, use, fault);
        if (certificates && revocation)
            *revocation = revocation_load(&file, &inspection->lists.fault);
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

static bool is_revoked_by_one_of(const struct material *material, X509 *certificate,
                                 const STACK_OF(X509) * issuers)
{
    for (size_t i = 0; i < sk_X509_num(issuers); i++) {
        if (revocation_names(material->revocation, certificate, sk_X509_value(issuers, i)))
            return true;
    }
    return false;
}

static void revocations_note(struct inspected_certificates *chain, const struct material *material)
{
    for (size_t i = 0; i < chain->count; i++) {
        X509 *certificate = sk_X509_value(material->chain, i);
        chain->items[i].is_revoked = is_revoked_by_one_of(material, certificate, material->chain) ||
                                     is_revoked_by_one_of(material, certificate, material->cas);
    }
}

static void lists_describe(struct inspected_lists *to, const struct material *material)
{
    size_t count = material->revocation ? revocation_list_count(material->revocation) : 0;

    to->items = count ? calloc(count, sizeof *to->items) : NULL;
    if (count && !to->items)
        fault_set(&to->fault, "out of memory");
    to->count = to->items ? count : 0;
    for (size_t i = 0; i < to->count; i++) {
        struct inspected_list *item = &to->items[i];
        item->next_update = revocation_next_update(material->revocation, i);
        revocation_describe_issuer(material->revocation, i, item->issuer);
        for (size_t k = 0; !item->is_ours && k < sk_X509_num(material->cas); k++)
            item->is_ours = revocation_is_signed_by(material->revocation, i, sk_X509_value(material->cas, k));
    }
}

/* ---- the path ---- */

/* Our peer verifies us in the other role. */
static void path_judge(struct inspection *inspection, const struct material *material,
                       const struct credentials_options *options)
{
    const struct peer_check_rules rules = {
        .role = options->role == TLS_CLIENT ? TLS_SERVER : TLS_CLIENT,
        .allow_weak = options->allow_weak,
        .trusted_cas = material->cas,
        .revocation = material->revocation,
    };
    struct peer_check check = { .reason = END_NONE };
    uint8_t alert;

    if (!material->chain || !material->cas)
        return;
    inspection->has_path = true;
    if (peer_check_verify_chain(&check, &rules, material->chain, &alert))
        return;
    inspection->path_reason = check.reason;
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

static void key_inspect(struct inspected_key *to, const struct material *material,
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

/* ---- all ---- */

void inspection_init(struct inspection *inspection, const struct credentials_options *options)
{
    struct material material = { 0 };

    *inspection = (struct inspection) { 0 };
    material.chain = certificates_load(options->cert_file, CERTIFICATE_FILE_CHAIN, NULL, inspection);
    material.cas =
        certificates_load(options->ca_file, CERTIFICATE_FILE_CAS, &material.revocation, inspection);
    certificates_describe(&inspection->chain, material.chain);
    certificates_describe(&inspection->cas, material.cas);
    if (material.chain)
        revocations_note(&inspection->chain, &material);
    lists_describe(&inspection->lists, &material);
    path_judge(inspection, &material, options);
    key_inspect(&inspection->key, &material, options);
    sk_X509_pop_free(material.chain, X509_free);
    sk_X509_pop_free(material.cas, X509_free);
    revocation_free(material.revocation);
}

void inspection_deinit(struct inspection *inspection)
{
    free(inspection->chain.items);
    free(inspection->cas.items);
    free(inspection->lists.items);
    *inspection = (struct inspection) { 0 };
}
