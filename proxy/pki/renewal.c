#include "pki/renewal.h"

#include "pki/alternative_names.h"
#include "pki/certificate_maker.h"
#include "pki/file_writer.h"
#include "pki/issuing.h"
#include "pki/journal.h"
#include "pki/request.h"
#include "trust/certificate.h"
#include "trust/certificate_file.h"
#include "trust/private_key.h"

#include <dirent.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DAY_SECONDS = 24 * 60 * 60 };

bool renewal_is_due(int64_t not_before, int64_t not_after, unsigned left_days, int64_t now)
{
    int64_t margin = left_days ? (int64_t)left_days * DAY_SECONDS : (not_after - not_before) / 3;

    return now >= not_after - margin;
}

/* ---- files that replace others together ---- */

enum { STAGED_KEY, STAGED_REQUEST, STAGED_CERT, STAGED_COUNT };
static const enum profile_file staged_files[STAGED_COUNT] = { PROFILE_KEY, PROFILE_REQUEST, PROFILE_CERT };
static const char staged_suffix[] = ".next";
enum { STAGED_PATH_BYTES = STORE_PATH_BYTES + sizeof staged_suffix };

static const char *staged_path(const struct store *store, int at, const char *name,
                               char path[STAGED_PATH_BYTES])
{
    char final[STORE_PATH_BYTES];

    snprintf(path, STAGED_PATH_BYTES, "%s%s", store_path(store, staged_files[at], name, final),
             staged_suffix);
    return path;
}

static bool stage(const struct store *store, int at, const char *name, BIO *content, struct fault *fault)
{
    char path[STAGED_PATH_BYTES];

    return file_writer_replace(staged_path(store, at, name, path), content, fault);
}

static bool is_staged(const struct store *store, int at, const char *name)
{
    char path[STAGED_PATH_BYTES];

    return access(staged_path(store, at, name, path), F_OK) == 0;
}

/* Gives the staged files their names. The certificate is the last one: while it is staged, all others are. */
static bool commit(const struct store *store, const char *name, struct fault *fault)
{
    char path[STAGED_PATH_BYTES], final[STORE_PATH_BYTES];

    for (int at = 0; at < STAGED_COUNT; at++) {
        if (!is_staged(store, at, name))
            continue;
        store_path(store, staged_files[at], name, final);
        if (!file_writer_rename(staged_path(store, at, name, path), final, fault))
            return false;
        if (store->on_file)
            store->on_file(final);
    }
    return true;
}

static void stages_remove(const struct store *store, const char *name)
{
    char path[STAGED_PATH_BYTES];

    for (int at = 0; at < STAGED_COUNT; at++)
        unlink(staged_path(store, at, name, path));
}

/* Takes the name from that of a staged certificate, "client.crt.pem.next". `ending`: without the name. */
static bool staged_name(const char *entry, const char *ending, char name[STORE_NAME_BYTES_MAX + 1])
{
    struct fault ignored;
    size_t length = strlen(entry), tail = strlen(ending);

    if (length <= tail || length - tail > STORE_NAME_BYTES_MAX || strcmp(entry + length - tail, ending) != 0)
        return false;
    snprintf(name, STORE_NAME_BYTES_MAX + 1, "%.*s", (int)(length - tail), entry);
    return store_check_name(name, &ignored);
}

/* The name of a staged certificate; false: there is none. */
static bool staged_find(const struct store *store, char name[STORE_NAME_BYTES_MAX + 1])
{
    char path[STAGED_PATH_BYTES];
    const struct dirent *entry;
    bool is_found = false;

    staged_path(store, STAGED_CERT, "", path);
    char *ending = strrchr(path, '/');
    *ending++ = '\0';
    DIR *folder = opendir(path);
    while (folder && !is_found && (entry = readdir(folder)))
        is_found = staged_name(entry->d_name, ending, name);
    if (folder)
        closedir(folder);
    return is_found;
}

bool renewal_resume(struct store *store, struct fault *fault)
{
    char name[STORE_NAME_BYTES_MAX + 1];

    while (staged_find(store, name)) {
        /* The run that has staged the certificate may only now give it its name, and hold the lock. */
        if (!store_lock(store, fault) || !commit(store, name, fault)) {
            fault_wrap(fault, "an interrupted renewal of %s cannot be finished", name);
            return false;
        }
    }
    return true;
}

/* ---- the old certificate ---- */

static X509 *old_load(const struct store *store, const struct signer *signer, const char *name,
                      struct fault *fault)
{
    char path[STORE_PATH_BYTES], text[CERTIFICATE_NAME_BYTES];
    struct pem_file file;
    STACK_OF(X509) *certificates = NULL;

    if (certificate_file_read(&file, store_path(store, PROFILE_CERT, name, path), fault))
        certificates = certificate_file_decode(&file, CERTIFICATE_FILE_CHAIN, fault);
    pem_file_wipe(&file);
    if (!certificates)
        return NULL;
    X509 *old = sk_X509_shift(certificates);
    sk_X509_pop_free(certificates, X509_free);
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

static bool request_stage(const struct store *store, const char *name, X509_NAME *subject, EVP_PKEY *key,
                          struct fault *fault)
{
    X509_REQ *request = request_make(subject, key, NULL, fault);
    BIO *content = BIO_new(BIO_s_mem());
    bool is_staged = request && content && request_write(content, request) &&
                     stage(store, STAGED_REQUEST, name, content, fault);

    BIO_free(content);
    X509_REQ_free(request);
    return is_staged;
}

/* A new key, which is staged; the caller frees it. */
static EVP_PKEY *key_stage(const struct store *store, const struct renewal_order *order, X509 *old,
                           struct fault *fault)
{
    struct key_protection protection = order->protection;
    char path[STORE_PATH_BYTES];
    BIO *content = BIO_new(BIO_s_mem());

    store_path(store, PROFILE_KEY, order->name, path);
    protection.is_locked = private_key_is_encrypted(path) && !protection.is_plain;
    EVP_PKEY *key = content ? key_store_make(store, path, &protection, content, fault) : NULL;
    bool is_staged = key && stage(store, STAGED_KEY, order->name, content, fault) &&
                     (!store->profile->keeps_requests ||
                      request_stage(store, order->name, X509_get_subject_name(old), key, fault));
    BIO_free(content);
    if (is_staged)
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

static bool chain_stage(const struct store *store, const char *name, X509 *certificate,
                        const struct signer *signer, struct fault *fault)
{
    BIO *content = BIO_new(BIO_s_mem());
    bool is_written = content && issuing_write_chain(content, certificate, signer);

    if (!is_written)
        fault_set(fault, "out of memory");
    bool is_staged = is_written && stage(store, STAGED_CERT, name, content, fault);
    BIO_free(content);
    return is_staged;
}

static bool renew(const struct store *store, const struct signer *signer, const struct renewal_order *order,
                  X509 *old, struct fault *fault)
{
    GENERAL_NAMES *names = alternative_names_of(old);
    struct certificate_order made = {
        .profile = store->profile,
        .use = X509_check_purpose(old, X509_PURPOSE_SSL_SERVER, 0) == 1 ? PROFILE_SERVER : PROFILE_CLIENT,
        .subject = X509_get_subject_name(old),
        .names = names,
        .days = order->days ? order->days : days_of(old, store->profile),
    };
    X509 *certificate = NULL;
    EVP_PKEY *key = NULL;

    ERR_clear_error();
    if (certificate_maker_check_end(&made, signer->certificate, fault) &&
        (!order->keeps_key || journal_check_unrevoked(store, PROFILE_INDEX, old, fault)))
        key = order->keeps_key ? X509_get_pubkey(old) : key_stage(store, order, old, fault);
    made.public_key = key;
    /* The old certificate stays valid for those who have it. */
    if (key && (!journal_demands_unique_subjects(store) || journal_allow_equal_subjects(store, fault)))
        certificate = issuing_sign(store, signer, &made, fault);
    bool is_renewed = certificate && chain_stage(store, order->name, certificate, signer, fault) &&
                      commit(store, order->name, fault);
    X509_free(certificate);
    EVP_PKEY_free(key);
    GENERAL_NAMES_free(names);
    return is_renewed;
}

bool renewal_run(struct store *store, const struct signer *signer, const struct renewal_order *order,
                 struct fault *fault)
{
    if (!store_check_name(order->name, fault) || !store_lock(store, fault))
        return false;
    if (is_staged(store, STAGED_CERT, order->name))
        return commit(store, order->name, fault);
    stages_remove(store, order->name);
    X509 *old = old_load(store, signer, order->name, fault);
    bool is_renewed = old && renew(store, signer, order, old, fault);
    X509_free(old);
    return is_renewed;
}
