#include "pki/issuing.h"

#include "pki/alternative_names.h"
#include "pki/certificate_maker.h"
#include "pki/journal.h"
#include "pki/request.h"
#include "pki/subject_name.h"
#include "trust/certificate_file.h"
#include "trust/library_error.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

enum { CN_BYTES_MAX = 64 };
static const char first_serial[] = "1000";

/* ---- names ---- */

/* The common name. In a profile with alternative names it is for people only, so a long name may be left out.
 */
static const char *cn_of(const struct profile *profile, const struct issuing_order *order)
{
    const char *first = order->name_count ? order->names[0] : order->file_name;

    return profile->has_alternatives && strlen(first) > CN_BYTES_MAX ? order->file_name : first;
}

bool issuing_check(const struct profile *profile, const struct issuing_order *order, struct fault *fault)
{
    if (!store_check_name(order->file_name, fault))
        return false;
    if (!order->name_count && !order->spiffe_id && order->request_file)
        return true;
    if (!profile->has_alternatives) {
        if (order->name_count == 1 && !order->spiffe_id)
            return subject_name_check_cn(order->names[0], fault);
        fault_set(fault,
                  "the profile %s puts one name into the CN and has no subjectAltName: give one NAME, or "
                  "use the profile modern",
                  profile->name);
        return false;
    }
    GENERAL_NAMES *names = alternative_names_make(order->names, order->name_count, order->spiffe_id, fault);
    GENERAL_NAMES_free(names);
    return names && subject_name_check_cn(cn_of(profile, order), fault);
}

/* *names: NULL if the certificate gets none. */
static bool names_make(const struct store *store, const struct issuing_order *order, X509_REQ *request,
                       GENERAL_NAMES **names, struct fault *fault)
{
    *names = NULL;
    if (!store->profile->has_alternatives)
        return true;
    if (order->name_count || order->spiffe_id || !request) {
        *names = alternative_names_make(order->names, order->name_count, order->spiffe_id, fault);
        return *names;
    }
    *names = alternative_names_of_request(request);
    if (*names && sk_GENERAL_NAME_num(*names) && !alternative_names_have_others(*names))
        return true;
    fault_set(fault, "%s: asks for no DNS name and no IP address: give the names after the use",
              order->request_file);
    GENERAL_NAMES_free(*names);
    *names = NULL;
    return false;
}

/* ---- requests ---- */

static bool request_save(const struct store *store, const char *name, X509_REQ *request, struct fault *fault)
{
    BIO *content = BIO_new(BIO_s_mem());
    bool is_saved = content && request_write(content, request) &&
                    store_create_file(store, PROFILE_REQUEST, name, content, fault);

    BIO_free(content);
    return is_saved;
}

/* The subject that a request of ours asks for. `ca` NULL: the CA is elsewhere. */
static X509_NAME *subject_for(const struct store *store, const struct issuing_order *order, X509 *ca,
                              struct fault *fault)
{
    const char *cn = cn_of(store->profile, order);

    if (ca && !order->subject)
        return subject_name_below(X509_get_subject_name(ca), cn, fault);
    return subject_name_parse(order->subject ? order->subject : store->profile->subject, cn, fault);
}

/* Takes or makes the key, and makes a request with it. */
static X509_REQ *request_new(const struct store *store, const struct issuing_order *order, X509 *ca,
                             struct fault *fault)
{
    GENERAL_NAMES *names = NULL;
    X509_REQ *request = NULL;
    X509_NAME *subject = subject_for(store, order, ca, fault);
    EVP_PKEY *key = NULL;

    if (subject && names_make(store, order, NULL, &names, fault))
        key = key_store_obtain(store, PROFILE_KEY, order->file_name, &order->protection, fault);
    if (key)
        request = request_make(subject, key, names, fault);
    EVP_PKEY_free(key);
    X509_NAME_free(subject);
    GENERAL_NAMES_free(names);
    return request;
}

static X509_REQ *request_obtain(const struct store *store, const struct issuing_order *order, X509 *ca,
                                struct fault *fault)
{
    char path[STORE_PATH_BYTES];

    if (order->request_file)
        return request_read(order->request_file, fault);
    if (store_has(store, PROFILE_REQUEST, order->file_name))
        return request_read(store_path(store, PROFILE_REQUEST, order->file_name, path), fault);
    X509_REQ *request = request_new(store, order, ca, fault);
    if (request && store->profile->keeps_requests && !request_save(store, order->file_name, request, fault)) {
        X509_REQ_free(request);
        return NULL;
    }
    return request;
}

static bool absence_check(const struct store *store, enum profile_file file, const char *name,
                          const char *advice, struct fault *fault)
{
    char path[STORE_PATH_BYTES];

    if (!store_has(store, file, name))
        return true;
    fault_set(fault, "%s: exists already: %s", store_path(store, file, name, path), advice);
    return false;
}

bool issuing_request(struct store *store, const struct issuing_order *order, struct fault *fault)
{
    if (!issuing_check(store->profile, order, fault) || !store_lock(store, fault) ||
        !absence_check(store, PROFILE_REQUEST, order->file_name, "give another name with --as", fault))
        return false;
    X509_REQ *request = request_new(store, order, NULL, fault);
    bool is_made = request && request_save(store, order->file_name, request, fault);
    X509_REQ_free(request);
    return is_made;
}

/* ---- certificates ---- */

bool issuing_write_chain(BIO *content, X509 *certificate, const struct signer *signer)
{
    return PEM_write_bio_X509(content, certificate) &&
           (signer->use != PROFILE_INTERMEDIATE || PEM_write_bio_X509(content, signer->certificate));
}

static bool chain_save(const struct store *store, const char *name, X509 *certificate,
                       const struct signer *signer, struct fault *fault)
{
    BIO *content = BIO_new(BIO_s_mem());
    bool is_written = content && issuing_write_chain(content, certificate, signer);

    if (!is_written)
        fault_set(fault, "out of memory");
    bool is_saved = is_written && store_create_file(store, PROFILE_CERT, name, content, fault);
    BIO_free(content);
    return is_saved;
}

/* The certificate is on the disk before its row: journal_init adds the row after an interruption. */
static bool enter(const struct store *store, struct journal *journal, X509 *certificate, struct fault *fault)
{
    char serial[JOURNAL_SERIAL_BYTES], path[STORE_PATH_BYTES];
    BIO *content = BIO_new(BIO_s_mem());
    const struct store silent = { .profile = store->profile, .directory = store->directory };
    bool is_written = content && PEM_write_bio_X509(content, certificate) &&
                      journal_serial_of(certificate, serial) && journal_add(journal, certificate);

    if (!is_written)
        fault_set(fault, "%s: the certificate does not fit into the journal",
                  store_path(store, PROFILE_INDEX, NULL, path));
    is_written = is_written && store_create_file(&silent, PROFILE_ISSUED, serial, content, fault) &&
                 journal_save(journal, store, fault);
    BIO_free(content);
    return is_written;
}

static X509 *sign(const struct store *store, struct journal *journal, const struct signer *signer,
                  struct certificate_order *order, struct fault *fault)
{
    ASN1_INTEGER *serial = store->profile->files[PROFILE_SERIAL]
                               ? journal_take_number(store, PROFILE_SERIAL, first_serial, fault)
                               : certificate_maker_random_serial();
    X509 *certificate = NULL;

    order->serial = serial;
    if (serial)
        certificate = certificate_maker_make(order, signer->certificate, signer->key, fault);
    order->serial = NULL;
    ASN1_INTEGER_free(serial);
    if (certificate && !enter(store, journal, certificate, fault)) {
        X509_free(certificate);
        return NULL;
    }
    return certificate;
}

X509 *issuing_sign(const struct store *store, const struct signer *signer, struct certificate_order *order,
                   struct fault *fault)
{
    struct journal journal;
    X509 *certificate = journal_init(&journal, store, PROFILE_INDEX, fault)
                            ? sign(store, &journal, signer, order, fault)
                            : NULL;

    journal_deinit(&journal);
    return certificate;
}

/* The certificate of a row that an interrupted run has signed for the same key and use; NULL: it is another
 * one. */
static X509 *adopt(const struct store *store, const struct journal_row *row,
                   const struct certificate_order *order)
{
    char path[STORE_PATH_BYTES];
    struct fault ignored;
    X509 *certificate =
        certificate_file_load_first(store_path(store, PROFILE_ISSUED, row->serial, path), &ignored);
    int purpose = order->use == PROFILE_SERVER ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT;
    EVP_PKEY *key = certificate ? X509_get_pubkey(certificate) : NULL;
    bool is_same =
        key && EVP_PKEY_cmp(key, order->public_key) == 1 && X509_check_purpose(certificate, purpose, 0) == 1;
    EVP_PKEY_free(key);
    ERR_clear_error();
    if (is_same)
        return certificate;
    X509_free(certificate);
    return NULL;
}

/* Signs, but where subjects must be unique only if there is no valid certificate of the subject. */
static X509 *sign_unique(const struct store *store, struct journal *journal, const struct signer *signer,
                         struct certificate_order *order, struct fault *fault)
{
    X509 *certificate = NULL;
    const struct journal_row *row = NULL;
    char *subject = X509_NAME_oneline(order->subject, NULL, 0);

    if (!subject) {
        fault_set(fault, "out of memory");
        return NULL;
    }
    if (journal_demands_unique_subjects(store))
        row = journal_find_subject(journal, subject);
    certificate = row ? adopt(store, row, order) : sign(store, journal, signer, order, fault);
    if (row && !certificate)
        fault_set(
            fault,
            "there is a valid certificate of %s, with serial number %s: renew it with \"husk pki renew\", or "
            "revoke it first",
            subject, row->serial);
    OPENSSL_free(subject);
    return certificate;
}

static bool order_fill(struct certificate_order *made, const struct store *store, const struct signer *signer,
                       const struct issuing_order *order, struct fault *fault)
{
    X509_REQ *request = request_obtain(store, order, signer->certificate, fault);
    X509_NAME *ca = X509_get_subject_name(signer->certificate);
    GENERAL_NAMES *names = NULL;

    if (!request)
        return false;
    made->public_key = X509_REQ_get_pubkey(request);
    if (store->profile->has_strict_subject)
        made->subject = subject_name_strict(ca, X509_REQ_get_subject_name(request), fault);
    else
        made->subject = subject_name_below(ca, cn_of(store->profile, order), fault);
    bool is_filled = made->public_key && made->subject && names_make(store, order, request, &names, fault);
    made->names = names;
    X509_REQ_free(request);
    return is_filled;
}

/* Before something is written: what would be refused later. */
static bool begin(struct store *store, struct journal *journal, const struct signer *signer,
                  const struct issuing_order *order, struct fault *fault)
{
    const struct certificate_order made = { .profile = store->profile,
                                            .use = order->use,
                                            .days = order->days };

    return issuing_check(store->profile, order, fault) && store_lock(store, fault) &&
           absence_check(store, PROFILE_CERT, order->file_name,
                         "\"husk pki renew\" replaces it; --as gives another name", fault) &&
           certificate_maker_check_end(&made, signer->certificate, fault) &&
           journal_init(journal, store, PROFILE_INDEX, fault);
}

bool issuing_run(struct store *store, const struct signer *signer, const struct issuing_order *order,
                 struct fault *fault)
{
    struct certificate_order made = { .profile = store->profile, .use = order->use, .days = order->days };
    struct journal journal = { .rows = NULL };
    X509 *certificate = NULL;

    if (begin(store, &journal, signer, order, fault) && order_fill(&made, store, signer, order, fault))
        certificate = sign_unique(store, &journal, signer, &made, fault);
    bool is_saved = certificate && chain_save(store, order->file_name, certificate, signer, fault);
    X509_free(certificate);
    EVP_PKEY_free(made.public_key);
    X509_NAME_free(made.subject);
    GENERAL_NAMES_free((GENERAL_NAMES *)made.names);
    journal_deinit(&journal);
    return is_saved;
}
