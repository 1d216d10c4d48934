#include "pki/revoking.h"

#include "base/clock.h"
#include "pki/journal.h"
#include "trust/certificate.h"
#include "trust/certificate_file.h"
#include "trust/library_error.h"

#include <ctype.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DAY_SECONDS = 24 * 60 * 60 };

/* The index is the number of the reason in a list. */
const char *const revoking_reasons[] = { "unspecified",     "keyCompromise",
                                         "CACompromise",    "affiliationChanged",
                                         "superseded",      "cessationOfOperation",
                                         "certificateHold", NULL };

/* ---- revoking ---- */

/* Upper case, an even number of digits; false: `which` is no serial number. */
static bool serial_normalize(const char *which, char serial[JOURNAL_SERIAL_BYTES])
{
    size_t digits = strspn(which, "0123456789abcdefABCDEF");

    if (!digits || which[digits] || digits + 1 >= JOURNAL_SERIAL_BYTES)
        return false;
    snprintf(serial, JOURNAL_SERIAL_BYTES, "%s%s", digits % 2 ? "0" : "", which);
    for (char *digit = serial; *digit; digit++)
        *digit = (char)toupper((unsigned char)*digit);
    return true;
}

/* What is to be revoked: a certificate, or only its serial number. */
struct target {
    const char *which; /* as it was given */
    X509 *certificate; /* owned; NULL: only the serial number is known */
    bool is_ca;        /* a CA by its name: with its earlier certificates, of the same subject */
    bool *was_revoked;
    char serial[JOURNAL_SERIAL_BYTES];
};

/* The file of a name of the PKI; NULL: there is none. */
static const char *file_of_name(const struct store *store, const char *which, char path[STORE_PATH_BYTES])
{
    struct fault ignored;
    enum profile_use ca;

    if (store_names_ca(store, which, &ca))
        return store_path(store, profile_ca_cert(ca), NULL, path);
    if (store_check_name(which, &ignored) && store_has(store, PROFILE_CERT, which))
        return store_path(store, PROFILE_CERT, which, path);
    return NULL;
}

static bool target_load(struct target *target, const char *path, struct fault *fault)
{
    target->certificate = certificate_file_load_first(path, fault);
    if (!target->certificate)
        return false;
    if (journal_serial_of(target->certificate, target->serial))
        return true;
    fault_set(fault, "%s: the certificate does not fit into the journal", path);
    return false;
}

/* The row of the target in the journal of a CA. A certificate that the journal does not know gets a row. NULL
 * and no fault: the CA has not issued the target. */
static struct journal_row *row_find(struct journal *journal, const struct target *target,
                                    const struct signer *ca, struct fault *fault)
{
    struct journal_row *row = journal_find_serial(journal, target->serial);

    if (!target->certificate)
        return row;
    if (!signer_has_signed(ca, target->certificate))
        return NULL;
    if (X509_cmp(ca->certificate, target->certificate) == 0) {
        fault_set(fault, "%s: a root CA cannot be revoked: remove it from --ca of all husks", target->which);
        return NULL;
    }
    if (!row && journal_add(journal, target->certificate))
        row = journal_find_serial(journal, target->serial);
    if (!row)
        fault_set(fault, "%s: the certificate does not fit into the journal", target->which);
    return row;
}

/* Revokes the certificates that the journal still has under the subject of `row`. */
static bool versions_revoke(struct journal *journal, const struct journal_row *row, const char *reason)
{
    struct journal_row *version;

    while ((version = journal_find_subject(journal, row->subject))) {
        if (!journal_revoke(version, reason, clock_wall_seconds()))
            return false;
    }
    return true;
}

static bool row_revoke(struct journal *journal, const struct target *target, struct journal_row *row,
                       unsigned reason, struct fault *fault)
{
    const char *why = reason ? revoking_reasons[reason] : NULL;

    *target->was_revoked = row->status == JOURNAL_REVOKED;
    if ((*target->was_revoked || journal_revoke(row, why, clock_wall_seconds())) &&
        (!target->is_ca || versions_revoke(journal, row, why)))
        return true;
    fault_set(fault, "out of memory");
    return false;
}

/* Revokes the target if the CA has issued it. False and no fault: the CA has not. */
static bool revoke_of_ca(const struct store *store, enum profile_use use, const struct target *target,
                         unsigned reason, struct fault *fault)
{
    struct journal journal = { .rows = NULL };
    struct signer ca;
    bool is_revoked = false;

    if (signer_init_public(&ca, store, use, fault) &&
        journal_init(&journal, store, profile_books_of(store->profile, use).index, fault)) {
        struct journal_row *row = row_find(&journal, target, &ca, fault);
        is_revoked =
            row && row_revoke(&journal, target, row, reason, fault) && journal_save(&journal, store, fault);
    }
    journal_deinit(&journal);
    signer_deinit(&ca);
    return is_revoked;
}

static bool target_revoke(const struct store *store, const struct target *target, unsigned reason,
                          struct fault *fault)
{
    enum profile_use issuing = profile_issuing_ca(store->profile);

    fault->text[0] = '\0';
    if (revoke_of_ca(store, issuing, target, reason, fault) || fault->text[0])
        return !fault->text[0];
    if (issuing != PROFILE_ROOT &&
        (revoke_of_ca(store, PROFILE_ROOT, target, reason, fault) || fault->text[0]))
        return !fault->text[0];
    if (target->certificate)
        fault_set(fault, "%s: was not issued by the CA of this directory", target->which);
    else
        fault_set(fault, "\"%.64s\": is no certificate of %s, no serial number in its journal, and no file",
                  target->which, store->directory);
    return false;
}

bool revoking_run(struct store *store, const char *which, unsigned reason, bool *was_revoked,
                  struct fault *fault)
{
    struct target target = { .which = which, .was_revoked = was_revoked };
    char path[STORE_PATH_BYTES];
    enum profile_use ca;
    bool is_ready = store_lock(store, fault);
    const char *file = is_ready ? file_of_name(store, which, path) : NULL;

    target.is_ca = store_names_ca(store, which, &ca);

    if (is_ready && !file && !serial_normalize(which, target.serial) && access(which, F_OK) == 0)
        file = which;
    is_ready = is_ready && (!file || target_load(&target, file, fault));
    bool is_revoked = is_ready && target_revoke(store, &target, reason, fault);
    X509_free(target.certificate);
    return is_revoked;
}

/* ---- revocation lists ---- */

static bool reason_add(X509_REVOKED *entry, const char *name)
{
    ASN1_ENUMERATED *value = NULL;
    bool is_added = true;

    for (int number = 1; revoking_reasons[number]; number++) {
        if (strcmp(revoking_reasons[number], name) != 0)
            continue;
        value = ASN1_ENUMERATED_new();
        is_added = value && ASN1_ENUMERATED_set(value, number) &&
                   X509_REVOKED_add1_ext_i2d(entry, NID_crl_reason, value, 0, 0) == 1;
    }
    ASN1_ENUMERATED_free(value);
    return is_added;
}

/* A reason that the list cannot name, such as one of `openssl ca` with a date, is left out. */
static bool entry_add(X509_CRL *list, const struct journal_row *row)
{
    char time_text[JOURNAL_TIME_BYTES];
    BIGNUM *number = NULL;
    ASN1_INTEGER *serial = BN_hex2bn(&number, row->serial) ? BN_to_ASN1_INTEGER(number, NULL) : NULL;
    ASN1_TIME *time = ASN1_TIME_new();
    X509_REVOKED *entry = X509_REVOKED_new();
    const char *comma = strchr(row->revoked, ',');

    snprintf(time_text, sizeof time_text, "%.*s", (int)strcspn(row->revoked, ","), row->revoked);
    bool is_added = serial && time && entry && ASN1_TIME_set_string(time, time_text) &&
                    X509_REVOKED_set_serialNumber(entry, serial) &&
                    X509_REVOKED_set_revocationDate(entry, time) &&
                    (!comma || reason_add(entry, comma + 1)) && X509_CRL_add0_revoked(list, entry);
    if (!is_added)
        X509_REVOKED_free(entry);
    ASN1_TIME_free(time);
    ASN1_INTEGER_free(serial);
    BN_free(number);
    return is_added;
}

static bool entries_add(X509_CRL *list, const struct journal *journal)
{
    for (size_t i = 0; i < journal->count; i++) {
        if (journal->rows[i].status == JOURNAL_REVOKED && !entry_add(list, &journal->rows[i]))
            return false;
    }
    return X509_CRL_sort(list);
}

static bool times_set(X509_CRL *list, const struct profile *profile, unsigned days)
{
    int64_t now = clock_wall_seconds();
    ASN1_TIME *from = ASN1_TIME_set(NULL, (time_t)(now - (int64_t)profile->backdated_seconds));
    ASN1_TIME *next = ASN1_TIME_set(NULL, (time_t)(now + (int64_t)days * DAY_SECONDS));
    bool is_set =
        from && next && X509_CRL_set1_lastUpdate(list, from) && X509_CRL_set1_nextUpdate(list, next);

    ASN1_TIME_free(from);
    ASN1_TIME_free(next);
    return is_set;
}

static bool extensions_add(X509_CRL *list, X509 *issuer, ASN1_INTEGER *number)
{
    X509V3_CTX context;

    X509V3_set_ctx(&context, issuer, NULL, NULL, list, 0);
    X509_EXTENSION *identifier =
        X509V3_EXT_nconf_nid(NULL, &context, NID_authority_key_identifier, "keyid:always");
    bool is_added = identifier && X509_CRL_add_ext(list, identifier, -1) &&
                    X509_CRL_add1_ext_i2d(list, NID_crl_number, number, 0, 0) == 1;
    X509_EXTENSION_free(identifier);
    return is_added;
}

static bool list_write(const struct store *store, enum profile_file file, X509_CRL *list, struct fault *fault)
{
    BIO *content = BIO_new(BIO_s_mem());
    bool is_written = content && PEM_write_bio_X509_CRL(content, list) &&
                      store_replace_file(store, file, NULL, content, fault);

    BIO_free(content);
    return is_written;
}

bool revoking_make_list(struct store *store, const struct signer *signer, unsigned days, struct fault *fault)
{
    const struct profile_books books = profile_books_of(store->profile, signer->use);
    struct journal journal = { .rows = NULL };
    ASN1_INTEGER *number = NULL;
    X509_CRL *list = X509_CRL_new();
    bool is_made = false;

    if (!store_lock(store, fault) || !journal_init(&journal, store, books.index, fault) ||
        !(number = journal_take_number(store, books.crl_number, "01", fault)))
        goto done;
    ERR_clear_error();
    is_made = list && X509_CRL_set_version(list, X509_CRL_VERSION_2) &&
              X509_CRL_set_issuer_name(list, X509_get_subject_name(signer->certificate)) &&
              times_set(list, store->profile, days) && entries_add(list, &journal) &&
              extensions_add(list, signer->certificate, number) &&
              X509_CRL_sign(list, signer->key, EVP_sha256());
    if (!is_made)
        fault_set(fault, "cannot make the revocation list: %s", library_error_take());
    is_made = is_made && list_write(store, books.crl, list, fault);
done:
    X509_CRL_free(list);
    ASN1_INTEGER_free(number);
    journal_deinit(&journal);
    return is_made;
}
