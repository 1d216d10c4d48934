#include "pki/renewal.h"

#include "pki/alternative_names.h"
#include "pki/certificate_maker.h"
#include "pki/issuing.h"
#include "pki/journal.h"
#include "pki/pair.h"
#include "pki/request.h"
#include "trust/certificate.h"
#include "trust/certificate_file.h"
#include "trust/private_key.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

enum { DAY_SECONDS = 24 * 60 * 60 };

bool renewal_is_due(int64_t not_before, int64_t not_after, unsigned left_days, int64_t now)
{
    int64_t margin = left_days ? (int64_t)left_days * DAY_SECONDS : (not_after - not_before) / 3;

    return now >= not_after - margin;
}

/* ---- the old certificate ---- */

static X509 *old_load(const struct store *store, const struct signer *signer, const char *name,
                      struct fault *fault)
{
    char path[STORE_PATH_BYTES], text[CERTIFICATE_NAME_BYTES];
    X509 *old = store_check_certificate(store, name, fault)
                    ? certificate_file_load_first(store_path(store, PROFILE_CERT, name, path), fault)
                    : NULL;

    if (!old)
        return NULL;
    if (X509_NAME_cmp(X509_get_issuer_name(old), X509_get_subject_name(signer->certificate)) == 0)
        return old;
    certificate_describe_issuer(old, text);
    fault_set(fault, "%s: was issued by %s, not by the CA of this directory: renew it there", path, text);
    X509_free(old);
    return NULL;
}

static unsigned days_of(const X509 *certificate, const struct profile *profile)
{
    int64_t seconds = certificate_not_after(certificate) - certificate_not_before(certificate) -
                      (int64_t)profile->backdated_seconds;

    return seconds < DAY_SECONDS ? 1 : (unsigned)(seconds / DAY_SECONDS);
}

/* ---- the new one ---- */

struct renewal {
    const struct renewal_order *order;
    X509 *old;
    BIO *contents[PAIR_FILES]; /* of the new files; NULL: the file stays */
};

static bool request_write_new(BIO *content, X509_NAME *subject, EVP_PKEY *key, struct fault *fault)
{
    X509_REQ *request = request_make(subject, key, NULL, fault);
    bool is_written = request && request_write(content, request);

    X509_REQ_free(request);
    return is_written;
}

/* Makes a new key, and writes it with its request. The caller frees it. */
static EVP_PKEY *key_make(const struct store *store, const struct renewal *renewal, struct fault *fault)
{
    struct key_protection protection = renewal->order->protection;
    BIO *request = renewal->contents[PAIR_REQUEST];
    char path[STORE_PATH_BYTES];

    store_path(store, PROFILE_KEY, renewal->order->name, path);
    protection.is_locked = private_key_is_encrypted(path) && !protection.is_plain;
    EVP_PKEY *key = key_store_make(store, path, &protection, renewal->contents[PAIR_KEY], fault);
    if (!key || !request || request_write_new(request, X509_get_subject_name(renewal->old), key, fault))
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

/* Writes the certificate with its chain, and a new key with its request. */
static bool contents_make(const struct store *store, const struct signer *signer,
                          const struct renewal *renewal, struct fault *fault)
{
    const struct renewal_order *order = renewal->order;
    X509 *old = renewal->old, *certificate = NULL;
    GENERAL_NAMES *names = alternative_names_of(old);
    struct certificate_order made = {
        .profile = store->profile,
        .use = X509_check_purpose(old, X509_PURPOSE_SSL_SERVER, 0) == 1 ? PROFILE_SERVER : PROFILE_CLIENT,
        .subject = X509_get_subject_name(old),
        .names = names,
        .days = order->days ? order->days : days_of(old, store->profile),
    };
    EVP_PKEY *key = NULL;

    ERR_clear_error();
    if (certificate_maker_check_end(&made, signer->certificate, fault) &&
        (!order->keeps_key || journal_check_unrevoked(store, PROFILE_INDEX, old, fault)))
        key = order->keeps_key ? X509_get_pubkey(old) : key_make(store, renewal, fault);
    else
        fault_wrap(fault, "%s", order->name);
    made.public_key = key;
    /* The old certificate stays valid for those who have it. */
    if (key && (!journal_demands_unique_subjects(store) || journal_allow_equal_subjects(store, fault)))
        certificate = issuing_sign(store, signer, &made, fault);
    bool is_made = certificate && issuing_write_chain(renewal->contents[PAIR_CERT], certificate, signer);
    if (certificate && !is_made)
        fault_set(fault, "out of memory");
    X509_free(certificate);
    EVP_PKEY_free(key);
    GENERAL_NAMES_free(names);
    return is_made;
}

static bool files_replace(const struct store *store, const struct renewal *renewal, struct fault *fault)
{
    const char *name = renewal->order->name;

    return renewal->order->keeps_key
               ? pair_replace_certificate(store, name, renewal->contents[PAIR_CERT], fault)
               : pair_replace(store, name, renewal->contents, fault);
}

static bool contents_init(struct renewal *renewal, const struct profile *profile, struct fault *fault)
{
    const bool has_key = !renewal->order->keeps_key, is_new[PAIR_FILES] = {
        [PAIR_KEY] = has_key, [PAIR_REQUEST] = has_key && profile->keeps_requests, [PAIR_CERT] = true
    };

    for (int at = 0; at < PAIR_FILES; at++) {
        if (is_new[at] && !(renewal->contents[at] = BIO_new(BIO_s_mem()))) {
            fault_set(fault, "out of memory");
            return false;
        }
    }
    return true;
}

/* BoringSSL wipes what it frees. */
static void renewal_free(struct renewal *renewal)
{
    for (int at = 0; at < PAIR_FILES; at++)
        BIO_free(renewal->contents[at]);
    X509_free(renewal->old);
}

bool renewal_run(struct store *store, const struct signer *signer, const struct renewal_order *order,
                 struct fault *fault)
{
    struct renewal renewal = { .order = order };

    if (!store_check_name(order->name, fault) || !store_lock(store, fault))
        return false;
    renewal.old = old_load(store, signer, order->name, fault);
    bool is_renewed = renewal.old && contents_init(&renewal, store->profile, fault) &&
                      contents_make(store, signer, &renewal, fault) && files_replace(store, &renewal, fault);
    renewal_free(&renewal);
    return is_renewed;
}
