#include "pki/signer.h"

#include "base/clock.h"
#include "trust/certificate.h"
#include "trust/certificate_file.h"
#include "trust/private_key.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <unistd.h>

static bool validity_check(const struct signer *signer, const struct store *store, struct fault *fault)
{
    X509 *certificate = signer->certificate;
    char name[CERTIFICATE_NAME_BYTES], time[CERTIFICATE_TIME_BYTES], path[STORE_PATH_BYTES];
    int64_t now = clock_wall_seconds();

    store_path(store, profile_ca_cert(signer->use), NULL, path);
    certificate_describe(certificate, name);
    if (now < certificate_not_before(certificate)) {
        certificate_describe_time(certificate_not_before(certificate), time);
        fault_set(fault, "%s: the CA %s is not valid before %s: check the clock of this machine", path, name,
                  time);
    } else if (now > certificate_not_after(certificate)) {
        certificate_describe_time(certificate_not_after(certificate), time);
        fault_set(fault,
                  "%s: the CA %s expired at %s: \"husk pki renew %s\" makes a new certificate for its key",
                  path, name, time, profile_ca_name(signer->use));
    } else {
        return true;
    }
    return false;
}

bool signer_init_public(struct signer *signer, const struct store *store, enum profile_use use,
                        struct fault *fault)
{
    char path[STORE_PATH_BYTES], name[CERTIFICATE_NAME_BYTES];
    struct pem_file file;
    STACK_OF(X509) *certificates = NULL;

    *signer = (struct signer) { .use = use };
    if (certificate_file_read(&file, store_path(store, profile_ca_cert(use), NULL, path), fault))
        certificates = certificate_file_decode(&file, CERTIFICATE_FILE_CAS, fault);
    pem_file_wipe(&file);
    if (!certificates)
        return false;
    signer->certificate = sk_X509_shift(certificates);
    sk_X509_pop_free(certificates, X509_free);
    bool is_ca = X509_check_ca(signer->certificate) == 1;
    ERR_clear_error();
    if (is_ca)
        return true;
    certificate_describe(signer->certificate, name);
    fault_set(fault, "%s: certificate %s is not a CA certificate: put that of the CA there", path, name);
    return false;
}

static bool key_load(struct signer *signer, const char *path, const struct passphrase_source *source,
                     struct fault *fault)
{
    struct passphrase passphrase;

    if (access(path, F_OK) != 0 && errno == ENOENT) {
        fault_set(fault, "%s: the key of the CA is not here: copy it to this directory while you need it",
                  path);
        return false;
    }
    if (passphrase_source_open(source, path, &passphrase, fault))
        signer->key = private_key_load(path, &passphrase, fault);
    passphrase_wipe(&passphrase);
    return signer->key;
}

/* The key of the CA whose certificate is loaded. */
static bool key_match(struct signer *signer, const struct store *store,
                      const struct passphrase_source *source, struct fault *fault)
{
    char path[STORE_PATH_BYTES], certificate_path[STORE_PATH_BYTES];

    if (!key_load(signer, store_path(store, profile_ca_key(signer->use), NULL, path), source, fault))
        return false;
    bool is_match = X509_check_private_key(signer->certificate, signer->key) == 1;
    ERR_clear_error();
    if (!is_match)
        fault_set(fault, "%s: is not the key of the certificate %s: put the right key there", path,
                  store_path(store, profile_ca_cert(signer->use), NULL, certificate_path));
    return is_match;
}

bool signer_init(struct signer *signer, const struct store *store, enum profile_use use,
                 const struct passphrase_source *source, struct fault *fault)
{
    return signer_init_public(signer, store, use, fault) && validity_check(signer, store, fault) &&
           key_match(signer, store, source, fault);
}

bool signer_init_expired(struct signer *signer, const struct store *store, enum profile_use use,
                         const struct passphrase_source *source, struct fault *fault)
{
    return signer_init_public(signer, store, use, fault) && key_match(signer, store, source, fault);
}

bool signer_has_signed(const struct signer *signer, X509 *certificate)
{
    EVP_PKEY *key = X509_get_pubkey(signer->certificate);
    bool has_signed = key && X509_check_issued(signer->certificate, certificate) == X509_V_OK &&
                      X509_verify(certificate, key) == 1;

    EVP_PKEY_free(key);
    ERR_clear_error();
    return has_signed;
}

void signer_deinit(struct signer *signer)
{
    X509_free(signer->certificate);
    EVP_PKEY_free(signer->key);
    *signer = (struct signer) { .certificate = NULL };
}
