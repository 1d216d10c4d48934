#include "pki/ca_renewal.h"

#include "pki/certificate_maker.h"
#include "pki/journal.h"
#include "pki/signer.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

/* Server certificates of the profile seed name the serial number of their CA (authorityKeyIdentifier), so the
 * number stays. The caller frees it. */
static ASN1_INTEGER *serial_for(const struct profile *profile, const X509 *old)
{
    return profile->files[PROFILE_SERIAL] ? ASN1_STRING_dup(X509_get0_serialNumber(old))
                                          : certificate_maker_random_serial();
}

/* `root` is the issuer; the root is its own issuer, and `old` then is its certificate. */
static X509 *certificate_make(struct certificate_order *order, const struct signer *root, X509 *old,
                              struct fault *fault)
{
    ASN1_INTEGER *serial = serial_for(order->profile, old);
    EVP_PKEY *key = X509_get_pubkey(old);
    X509 *issuer = order->use == PROFILE_ROOT ? NULL : root->certificate, *made = NULL;

    order->subject = X509_get_subject_name(old);
    order->serial = serial;
    order->public_key = key;
    if (!serial || !key)
        fault_set(fault, "out of memory");
    else if (!issuer || certificate_maker_check_end(order, issuer, fault))
        made = certificate_maker_make(order, issuer, root->key, fault);
    ASN1_INTEGER_free(serial);
    EVP_PKEY_free(key);
    return made;
}

static bool certificate_replace(const struct store *store, enum profile_use use, X509 *certificate,
                                struct fault *fault)
{
    BIO *content = BIO_new(BIO_s_mem());
    bool is_written = content && PEM_write_bio_X509(content, certificate);

    if (!is_written)
        fault_set(fault, "out of memory");
    is_written = is_written && store_replace_file(store, profile_ca_cert(use), NULL, content, fault);
    BIO_free(content);
    return is_written;
}

/* The journal of the root keeps the certificates that were replaced: they stay valid, and "revoke
 * intermediate" must find them. */
static bool old_enter(const struct store *store, X509 *old, struct fault *fault)
{
    struct journal journal;
    char serial[JOURNAL_SERIAL_BYTES];
    bool is_entered =
        journal_init(&journal, store, PROFILE_ROOT_INDEX, fault) && journal_serial_of(old, serial);

    if (is_entered && !journal_find_serial(&journal, serial))
        is_entered = journal_add(&journal, old) && journal_save(&journal, store, fault);
    journal_deinit(&journal);
    return is_entered;
}

/* What a renewal needs, and what would be refused later. */
static bool begin(struct store *store, enum profile_use use, struct signer *old, struct fault *fault)
{
    return store_lock(store, fault) && signer_init_public(old, store, use, fault) &&
           (use == PROFILE_ROOT ||
            (journal_check_unrevoked(store, PROFILE_ROOT_INDEX, old->certificate, fault) &&
             old_enter(store, old->certificate, fault)));
}

bool ca_renewal_run(struct store *store, enum profile_use use, unsigned days,
                    const struct passphrase_source *passphrase, struct fault *fault)
{
    struct certificate_order order = { .profile = store->profile, .use = use, .days = days };
    struct signer old = { .key = NULL }, root = { .key = NULL };
    X509 *made = NULL;

    if (begin(store, use, &old, fault) &&
        (use == PROFILE_ROOT ? signer_init_expired(&root, store, PROFILE_ROOT, passphrase, fault)
                             : signer_init(&root, store, PROFILE_ROOT, passphrase, fault)))
        made = certificate_make(&order, &root, old.certificate, fault);
    bool is_renewed = made && certificate_replace(store, use, made, fault);
    X509_free(made);
    signer_deinit(&root);
    signer_deinit(&old);
    return is_renewed;
}
