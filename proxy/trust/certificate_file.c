#include "trust/certificate_file.h"

#include "base/clock.h"
#include "trust/certificate.h"
#include "trust/library_error.h"
#include "trust/pem_block.h"
#include "trust/pem_file.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdint.h>

/* What may stand in a file beside certificates. */
static const unsigned beside[] = {
    [CERTIFICATE_FILE_CHAIN] = PEM_ONLY(PEM_PRIVATE_KEY) | PEM_ONLY(PEM_PARAMETERS),
    [CERTIFICATE_FILE_CAS] = PEM_ONLY(PEM_CRL),
};

static bool certificate_decode(STACK_OF(X509) * certificates, const struct pem_block *block, const char *path,
                               struct fault *fault)
{
    BIO *reader = pem_block_reader(block);

    ERR_clear_error();
    X509 *certificate = reader ? PEM_read_bio_X509(reader, NULL, NULL, NULL) : NULL;
    BIO_free(reader);
    if (certificate && sk_X509_push(certificates, certificate))
        return true;
    X509_free(certificate);
    fault_set(fault, "%s: line %zu: the certificate cannot be read: %s", path, block->line,
              library_error_take());
    return false;
}

static void absence_fault(struct pem_file *file, struct fault *fault)
{
    if (pem_file_looks_like_der(file))
        fault_set(
            fault,
            "%.100s: holds no certificate in PEM form, it looks like DER: convert a certificate with: "
            "openssl x509 -inform DER -in %.100s -out NEW.pem; the certificates of a PKCS#12 file with: "
            "openssl pkcs12 -in %.100s -nokeys -out NEW.pem",
            file->path, file->path, file->path);
    else
        fault_set(fault, "%s: holds %s", file->path,
                  pem_file_has(file, PEM_PRIVATE_KEY)
                      ? "a private key and no certificate: were the files of certificate and key swapped?"
                      : "no certificate in PEM form");
}

static bool certificates_decode(STACK_OF(X509) * certificates, struct pem_file *file,
                                enum certificate_file_use use, struct fault *fault)
{
    struct pem_scan scan;
    struct pem_block block;
    enum pem_found found;

    pem_scan_start(&scan, file);
    while ((found = pem_scan_next_of(&scan, PEM_CERTIFICATE, beside[use], &block, fault)) ==
           PEM_FOUND_BLOCK) {
        if (!certificate_decode(certificates, &block, file->path, fault))
            return false;
    }
    if (found == PEM_FOUND_END && sk_X509_num(certificates) == 0)
        absence_fault(file, fault);
    return found == PEM_FOUND_END && sk_X509_num(certificates) > 0;
}

struct stack_st_X509 *certificate_file_decode(struct pem_file *file, enum certificate_file_use use,
                                              struct fault *fault)
{
    STACK_OF(X509) *certificates = sk_X509_new_null();

    if (!certificates)
        fault_set(fault, "%s: out of memory", file->path);
    else if (certificates_decode(certificates, file, use, fault))
        return certificates;
    sk_X509_pop_free(certificates, X509_free);
    return NULL;
}

bool certificate_file_read(struct pem_file *file, const char *path, struct fault *fault)
{
    bool is_read = pem_file_read(file, path, fault);

    if (!is_read)
        fault_wrap(fault, "certificates");
    return is_read;
}

static bool check_validity(X509 *certificate, const char *path, struct fault *fault)
{
    char name[CERTIFICATE_NAME_BYTES], time[CERTIFICATE_TIME_BYTES];
    int64_t now = clock_wall_seconds();
    bool is_expired = now > certificate_not_after(certificate);

    if (!is_expired && now >= certificate_not_before(certificate))
        return true;
    certificate_describe(certificate, name);
    certificate_describe_time(
        is_expired ? certificate_not_after(certificate) : certificate_not_before(certificate), time);
    fault_set(fault, "%s: certificate %s %s %s", path, name,
              is_expired ? "expired at" : "is not valid before", time);
    return false;
}

static bool is_issued_by(X509 *certificate, X509 *issuer)
{
    EVP_PKEY *key = X509_get_pubkey(issuer);
    bool is_issued =
        key && X509_check_issued(issuer, certificate) == X509_V_OK && X509_verify(certificate, key) == 1;

    EVP_PKEY_free(key);
    ERR_clear_error();
    return is_issued;
}

bool certificate_file_has_place(const struct stack_st_X509 *chain, size_t at)
{
    for (size_t i = at; i-- > 0;) {
        if (is_issued_by(sk_X509_value(chain, i), sk_X509_value(chain, at)))
            return true;
    }
    return false;
}

static bool check_order(const STACK_OF(X509) * chain, const char *path, struct fault *fault)
{
    char name[CERTIFICATE_NAME_BYTES], issuer[CERTIFICATE_NAME_BYTES], next[CERTIFICATE_NAME_BYTES];

    for (size_t i = 0; i + 1 < sk_X509_num(chain); i++) {
        X509 *certificate = sk_X509_value(chain, i), *follower = sk_X509_value(chain, i + 1);
        if (certificate_file_has_place(chain, i + 1))
            continue;
        certificate_describe(certificate, name);
        certificate_describe_issuer(certificate, issuer);
        certificate_describe(follower, next);
        fault_set(fault,
                  "%s: the chain is out of order: certificate %zu (%s) is issued by %s, but not by "
                  "certificate %zu (%s)",
                  path, i + 1, name, issuer, i + 2, next);
        return false;
    }
    return true;
}

static bool has_valid_version(const STACK_OF(X509) * chain, const X509 *certificate)
{
    struct fault ignored;

    for (size_t i = 1; i < sk_X509_num(chain); i++) {
        X509 *other = sk_X509_value(chain, i);
        if (certificate_is_version_of(other, certificate) && check_validity(other, "", &ignored))
            return true;
    }
    return false;
}

bool certificate_file_check_chain(const struct stack_st_X509 *chain, const char *path, struct fault *fault)
{
    if (!check_order(chain, path, fault))
        return false;
    for (size_t i = 0; i < sk_X509_num(chain); i++) {
        X509 *certificate = sk_X509_value(chain, i);
        if (!check_validity(certificate, path, fault) && (i == 0 || !has_valid_version(chain, certificate)))
            return false;
    }
    return true;
}

struct stack_st_X509 *certificate_file_load(const char *path, struct fault *fault)
{
    STACK_OF(X509) *certificates = NULL;
    struct pem_file file;

    if (certificate_file_read(&file, path, fault))
        certificates = certificate_file_decode(&file, CERTIFICATE_FILE_CHAIN, fault);
    pem_file_wipe(&file);
    return certificates;
}

struct x509_st *certificate_file_load_first(const char *path, struct fault *fault)
{
    STACK_OF(X509) *certificates = certificate_file_load(path, fault);
    X509 *first = certificates ? sk_X509_shift(certificates) : NULL;

    sk_X509_pop_free(certificates, X509_free);
    return first;
}

struct stack_st_X509 *certificate_file_load_chain(const char *path, struct fault *fault)
{
    STACK_OF(X509) *chain = certificate_file_load(path, fault);

    if (!chain || certificate_file_check_chain(chain, path, fault))
        return chain;
    sk_X509_pop_free(chain, X509_free);
    return NULL;
}

static bool check_is_ca(X509 *certificate, const char *path, struct fault *fault)
{
    char name[CERTIFICATE_NAME_BYTES];
    bool is_ca = X509_check_ca(certificate) == 1;

    ERR_clear_error();
    if (is_ca)
        return true;
    certificate_describe(certificate, name);
    fault_set(fault, "%s: certificate %s is not a CA certificate", path, name);
    return false;
}

struct stack_st_X509 *certificate_file_cas(struct pem_file *file, struct fault *fault)
{
    STACK_OF(X509) *cas = certificate_file_decode(file, CERTIFICATE_FILE_CAS, fault);

    if (!cas)
        return NULL;
    for (size_t i = 0; i < sk_X509_num(cas); i++) {
        if (!check_is_ca(sk_X509_value(cas, i), file->path, fault))
            goto fail;
    }
    /* A bundle may contain an old CA and its successor: one valid CA is enough. */
    for (size_t i = 0; i < sk_X509_num(cas); i++) {
        if (check_validity(sk_X509_value(cas, i), file->path, fault))
            return cas;
    }
    fault_wrap(fault, "no CA is valid now");
fail:
    sk_X509_pop_free(cas, X509_free);
    return NULL;
}
