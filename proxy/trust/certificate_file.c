#include "trust/certificate_file.h"

#include "base/clock.h"
#include "trust/certificate.h"
#include "trust/library_error.h"
#include "trust/pem_file.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdint.h>

/* The PEM reader ends every file with an error. This error means the end of the file. */
static bool is_end_of_pem(void)
{
    uint32_t error = ERR_peek_last_error();

    return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

static bool certificates_decode(STACK_OF(X509) * certificates, const struct pem_file *file,
                                struct fault *fault)
{
    BIO *reader = pem_file_reader(file);
    bool is_whole = false;

    ERR_clear_error();
    for (;;) {
        X509 *certificate = reader ? PEM_read_bio_X509(reader, NULL, NULL, NULL) : NULL;
        if (!certificate) {
            is_whole = reader && is_end_of_pem();
            break;
        }
        if (!sk_X509_push(certificates, certificate)) {
            X509_free(certificate);
            break;
        }
    }
    if (!is_whole)
        fault_set(fault, "%s: certificate %zu cannot be read: %s", file->path, sk_X509_num(certificates) + 1,
                  library_error_take());
    ERR_clear_error();
    BIO_free(reader);
    return is_whole;
}

static STACK_OF(X509) * certificates_load(const char *path, struct fault *fault)
{
    STACK_OF(X509) *certificates = sk_X509_new_null();
    struct pem_file file = { 0 };

    if (!certificates) {
        fault_set(fault, "%s: out of memory", path);
        goto fail;
    }
    if (!pem_file_read(&file, path, fault)) {
        fault_wrap(fault, "certificates");
        goto fail;
    }
    if (!certificates_decode(certificates, &file, fault))
        goto fail;
    if (sk_X509_num(certificates) == 0) {
        fault_set(fault, "%s: holds no certificate in PEM form", path);
        goto fail;
    }
    pem_file_wipe(&file);
    return certificates;
fail:
    pem_file_wipe(&file);
    sk_X509_pop_free(certificates, X509_free);
    return NULL;
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

static bool check_order(const STACK_OF(X509) * chain, const char *path, struct fault *fault)
{
    char name[CERTIFICATE_NAME_BYTES], issuer[CERTIFICATE_NAME_BYTES], next[CERTIFICATE_NAME_BYTES];

    for (size_t i = 0; i + 1 < sk_X509_num(chain); i++) {
        X509 *certificate = sk_X509_value(chain, i), *follower = sk_X509_value(chain, i + 1);
        if (is_issued_by(certificate, follower))
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

struct stack_st_X509 *certificate_file_load_chain(const char *path, struct fault *fault)
{
    STACK_OF(X509) *chain = certificates_load(path, fault);

    if (!chain)
        return NULL;
    if (!check_order(chain, path, fault))
        goto fail;
    for (size_t i = 0; i < sk_X509_num(chain); i++) {
        if (!check_validity(sk_X509_value(chain, i), path, fault))
            goto fail;
    }
    return chain;
fail:
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
    fault_set(fault, "%s: certificate %s is not a CA's", path, name);
    return false;
}

struct stack_st_X509 *certificate_file_load_cas(const char *path, struct fault *fault)
{
    STACK_OF(X509) *cas = certificates_load(path, fault);

    if (!cas)
        return NULL;
    for (size_t i = 0; i < sk_X509_num(cas); i++) {
        if (!check_is_ca(sk_X509_value(cas, i), path, fault))
            goto fail;
    }
    /* A bundle may contain an old CA and its successor: one valid CA is enough. */
    for (size_t i = 0; i < sk_X509_num(cas); i++) {
        if (check_validity(sk_X509_value(cas, i), path, fault))
            return cas;
    }
    fault_wrap(fault, "no CA is valid now");
fail:
    sk_X509_pop_free(cas, X509_free);
    return NULL;
}
