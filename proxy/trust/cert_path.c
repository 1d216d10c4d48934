#include "trust/cert_path.h"

#include "base/clock.h"
#include "trust/certificate.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stddef.h>
#include <string.h>

/* The rank of a failure; the failure with the highest rank is reported. If a path ends at no CA, its rank is
 * its length. If the signatures of a path are right, its rank depends on the depth of its fault. */
enum {
    RANK_NONE = 0,
    RANK_WRONG_ISSUER = CERT_PATH_ISSUERS_MAX + 2,
    RANK_TOO_MANY,
    RANK_FAULT_AT_LEAF = RANK_TOO_MANY + CERT_PATH_ISSUERS_MAX + 2,
};

/* The path is path[0] … path[length - 1]. By the names, each certificate is issued by the next one. */
struct search {
    const STACK_OF(X509) * chain;
    const struct cert_path_rules *rules;
    struct cert_path_failure *failure;
    int rank;                       /* of the failure */
    bool is_name_known;             /* one of the CAs has the name of the issuer of the end of the path */
    struct cert_path_evidence leaf; /* of the last path whose certificates are valid */
    size_t issuers_tried;
    int64_t not_after; /* of the path that was found: its first end */
    size_t length;
    X509 *path[CERT_PATH_ISSUERS_MAX + 1];
};

static X509 *path_end(const struct search *search)
{
    return search->path[search->length - 1];
}

/* False: an earlier failure has the same or a higher rank. */
static bool note_failure(struct search *search, int rank, X509 *certificate, int error)
{
    if (rank <= search->rank)
        return false;
    search->rank = rank;
    *search->failure = (struct cert_path_failure) { .error = error, .certificate = certificate };
    return true;
}

/* ---- one complete path ---- */

/* Begins at the CA, so that certificates of an unrelated issuer cost one signature. */
static bool signatures_hold(const struct search *search)
{
    bool holds = true;

    for (size_t i = search->length - 1; holds && i > 0; i--) {
        EVP_PKEY *key = X509_get_pubkey(search->path[i]);
        holds = key && X509_verify(search->path[i - 1], key) == 1;
        EVP_PKEY_free(key);
    }
    return holds;
}

/* Checks all certificates below the CA: the operator has chosen the CA. */
static bool path_is_strong(struct search *search)
{
    char flaw[STRENGTH_FLAW_BYTES];

    for (size_t i = 0; !search->rules->allow_weak && i + 1 < search->length; i++) {
        if (strength_check(search->path[i], flaw))
            continue;
        if (note_failure(search, RANK_FAULT_AT_LEAF - (int)i, search->path[i], CERT_PATH_WEAK))
            memcpy(search->failure->flaw, flaw, sizeof flaw);
        return false;
    }
    return true;
}

static void note_fault(struct search *search, X509_STORE_CTX *verification)
{
    int error = X509_STORE_CTX_get_error(verification), depth = X509_STORE_CTX_get_error_depth(verification);
    X509 *certificate = X509_STORE_CTX_get_current_cert(verification);

    if (!certificate)
        certificate = search->path[0];
    if (error == X509_V_ERR_OUT_OF_MEM) {
        note_failure(search, RANK_FAULT_AT_LEAF + 1, certificate, error);
    } else if (error == X509_V_ERR_CERT_SIGNATURE_FAILURE || !signatures_hold(search)) {
        /* Some releases of BoringSSL do not verify MD5 signatures: weakness is then the failure to report. */
        if (path_is_strong(search))
            note_failure(search, RANK_WRONG_ISSUER, search->path[search->length - 2],
                         X509_V_ERR_CERT_SIGNATURE_FAILURE);
    } else {
        note_failure(search, RANK_FAULT_AT_LEAF - depth, certificate, error);
    }
}

/* The store has one CA and the intermediates are those of the path: no other path can be found. */
static bool path_verifies(struct search *search)
{
    X509 *anchor = path_end(search);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *verification = X509_STORE_CTX_new();
    STACK_OF(X509) *intermediates = sk_X509_new_null();
    bool is_ready = store && verification && intermediates && X509_STORE_add_cert(store, anchor);

    for (size_t i = 1; is_ready && i + 1 < search->length; i++)
        is_ready = sk_X509_push(intermediates, search->path[i]) > 0;
    is_ready = is_ready && X509_STORE_CTX_init(verification, store, search->path[0], intermediates) &&
               X509_STORE_CTX_set_purpose(verification, search->rules->purpose);
    if (is_ready)
        X509_STORE_CTX_set_flags(verification, X509_V_FLAG_PARTIAL_CHAIN);
    else
        note_failure(search, RANK_FAULT_AT_LEAF + 1, anchor, X509_V_ERR_OUT_OF_MEM);
    bool is_valid = is_ready && X509_verify_cert(verification) == 1;
    if (is_ready && !is_valid)
        note_fault(search, verification);
    X509_STORE_CTX_free(verification);
    X509_STORE_free(store);
    sk_X509_free(intermediates);
    ERR_clear_error();
    return is_valid;
}

/* Self-issued certificates do not count (RFC 5280, 4.2.1.9). */
static bool is_within_path_length(const struct search *search)
{
    long most = X509_get_pathlen(path_end(search)), intermediates = 0;

    for (size_t i = 1; i + 1 < search->length; i++)
        intermediates += !(X509_get_extension_flags(search->path[i]) & EXFLAG_SI);
    return most < 0 || intermediates <= most;
}

/* Whether the CA's own certificate permits the path. BoringSSL does not check this for a trust anchor;
 * OpenSSL and Go do. */
static bool anchor_permits(struct search *search)
{
    X509 *anchor = path_end(search);
    int error = X509_V_OK;

    if (search->length == 1)
        return true;
    if (X509_get_extension_flags(anchor) & EXFLAG_CRITICAL)
        error = X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION;
    else if (X509_check_purpose(anchor, search->rules->purpose, 1) != 1)
        error = X509_V_ERR_INVALID_PURPOSE;
    else if (!is_within_path_length(search))
        error = X509_V_ERR_PATH_LENGTH_EXCEEDED;
    if (error != X509_V_OK)
        note_failure(search, RANK_FAULT_AT_LEAF - (int)search->length + 1, anchor, error);
    return error == X509_V_OK;
}

static struct cert_path_evidence evidence_about(const struct search *search, size_t at, int64_t now)
{
    const struct cert_path_rules *rules = search->rules;
    const struct ocsp_question question = { search->path[at], search->path[at + 1], now,
                                            rules->allow_weak ? STRENGTH_NOT_DEMANDED : STRENGTH_DEMANDED };
    bool is_server = at == 0 && rules->purpose == X509_PURPOSE_SSL_SERVER;

    return (struct cert_path_evidence) {
        .list = rules->revocation.lists
                    ? revocation_judge(rules->revocation.lists, question.certificate, question.issuer, now)
                    : REVOCATION_NO_LIST,
        .staple = at == 0 ? ocsp_judge(&rules->staple, &question) : OCSP_NONE,
        .demands_staple = is_server && ocsp_is_demanded(question.certificate),
    };
}

static bool is_revoked(const struct cert_path_evidence *evidence)
{
    return evidence->list == REVOCATION_REVOKED || evidence->staple == OCSP_REVOKED;
}

static bool is_proven(const struct cert_path_evidence *evidence, enum revocation_policy policy)
{
    if (policy == REVOCATION_IGNORE || evidence->staple == OCSP_GOOD)
        return true;
    return !evidence->demands_staple && (policy == REVOCATION_WARN || evidence->list == REVOCATION_GOOD);
}

/* Checks all certificates below the CA (RFC 5280, 6.3). */
static bool path_is_unrevoked(struct search *search)
{
    enum revocation_policy policy = search->rules->revocation.policy;
    int64_t now = clock_wall_seconds();

    for (size_t i = 0; i + 1 < search->length; i++) {
        const struct cert_path_evidence evidence = evidence_about(search, i, now);
        if (i == 0)
            search->leaf = evidence;
        if (!is_revoked(&evidence) && is_proven(&evidence, policy))
            continue;
        if (note_failure(search, RANK_FAULT_AT_LEAF - (int)i, search->path[i],
                         is_revoked(&evidence) ? X509_V_ERR_CERT_REVOKED : CERT_PATH_UNPROVEN))
            search->failure->evidence = evidence;
        return false;
    }
    return true;
}

static int64_t path_end_of_life(const struct search *search)
{
    int64_t first = INT64_MAX;

    for (size_t i = 0; i < search->length; i++) {
        int64_t end = certificate_not_after(search->path[i]);
        if (end < first)
            first = end;
    }
    return first;
}

static bool path_is_valid(struct search *search)
{
    bool is_valid = path_verifies(search) && anchor_permits(search) && path_is_strong(search) &&
                    path_is_unrevoked(search);

    if (is_valid)
        search->not_after = path_end_of_life(search);
    return is_valid;
}

/* ---- the search ---- */

/* Whether a version of the certificate is in the path: a path through it would be longer for no gain. */
static bool path_contains(const struct search *search, X509 *certificate)
{
    for (size_t i = 0; i < search->length; i++) {
        if (certificate_is_version_of(search->path[i], certificate))
            return true;
    }
    return false;
}

static bool is_issuer(struct search *search, X509 *candidate)
{
    int error = X509_check_issued(candidate, path_end(search));

    if (error == X509_V_ERR_KEYUSAGE_NO_CERTSIGN)
        note_failure(search, RANK_WRONG_ISSUER, candidate, error);
    if (error != X509_V_ERR_SUBJECT_ISSUER_MISMATCH)
        search->is_name_known = true;
    return error == X509_V_OK && !path_contains(search, candidate);
}

static bool search_from_end(struct search *search);

enum issuer_kind { ISSUER_ANCHOR, ISSUER_INTERMEDIATE };

/* Tries each certificate of `candidates` that may have issued the end of the path. */
static bool try_issuers(struct search *search, const STACK_OF(X509) * candidates, enum issuer_kind kind)
{
    bool is_found = false;

    for (size_t i = 0; !is_found && i < sk_X509_num(candidates); i++) {
        X509 *candidate = sk_X509_value(candidates, i);
        if (!is_issuer(search, candidate))
            continue;
        if (search->issuers_tried == CERT_PATH_ISSUERS_MAX) {
            note_failure(search, RANK_TOO_MANY, search->path[0], X509_V_ERR_CERT_CHAIN_TOO_LONG);
            break;
        }
        search->issuers_tried++;
        search->path[search->length++] = candidate;
        is_found = kind == ISSUER_ANCHOR ? path_is_valid(search) : search_from_end(search);
        search->length--;
    }
    return is_found;
}

/* False: an earlier failure has the same or a higher rank. */
static bool note_missing_issuer(struct search *search)
{
    X509 *end = path_end(search);
    bool is_self_issued = X509_check_issued(end, end) == X509_V_OK;
    int error = !is_self_issued       ? X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
                : search->length == 1 ? X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT
                                      : X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN;

    return note_failure(search, (int)search->length, end, error);
}

/* The CAs first: the shortest path is the usual one. */
static bool search_from_end(struct search *search)
{
    search->is_name_known = false;
    if (try_issuers(search, search->rules->trusted_cas, ISSUER_ANCHOR))
        return true;
    bool is_name_known = search->is_name_known; /* of this end; a longer path has another end */
    if (try_issuers(search, search->chain, ISSUER_INTERMEDIATE))
        return true;
    if (note_missing_issuer(search))
        search->failure->lacks_issuer = !is_name_known;
    return false;
}

static bool is_trusted(const struct search *search, X509 *certificate)
{
    for (size_t i = 0; i < sk_X509_num(search->rules->trusted_cas); i++) {
        if (X509_cmp(sk_X509_value(search->rules->trusted_cas, i), certificate) == 0)
            return true;
    }
    return false;
}

bool cert_path_find(const struct stack_st_X509 *chain, const struct cert_path_rules *rules,
                    int64_t *not_after, struct cert_path_failure *failure)
{
    struct search search = { .chain = chain, .rules = rules, .failure = failure, .length = 1 };

    ERR_clear_error();
    search.path[0] = sk_X509_value(chain, 0);
    bool is_found = is_trusted(&search, search.path[0]) ? path_is_valid(&search) : search_from_end(&search);
    ERR_clear_error();
    if (is_found) {
        *not_after = search.not_after;
        *failure = (struct cert_path_failure) { .evidence = search.leaf };
    }
    return is_found;
}
