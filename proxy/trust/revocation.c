#include "trust/revocation.h"

#include "trust/library_error.h"
#include "trust/pem_block.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/obj.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

/* X509_CRL_get0_by_serial sorts the list when it is first asked. Workers share the lists, so the serial
 * numbers are sorted while the list is loaded. */
struct list {
    X509_CRL *crl;
    const ASN1_INTEGER **serials; /* ascending; they belong to `crl` */
    size_t count;
};

struct revocation {
    struct list *lists;
    size_t count;
};

static int compare_serials(const void *left, const void *right)
{
    const ASN1_INTEGER *const *a = left, *const *b = right;

    return ASN1_INTEGER_cmp(*a, *b);
}

/* ---- what cannot be applied ---- */

static const char *extension_flaw(X509_EXTENSION *extension)
{
    int kind = OBJ_obj2nid(X509_EXTENSION_get_object(extension));

    if (kind == NID_delta_crl)
        return "a delta list is not supported";
    if (kind == NID_certificate_issuer)
        return "an indirect list is not supported";
    if (kind != NID_issuing_distribution_point && kind != NID_crl_reason &&
        X509_EXTENSION_get_critical(extension))
        return "the list has an unknown critical extension";
    return NULL;
}

/* Lists of user certificates or of CA certificates only can be applied: a list is asked only whether it names
 * a certificate. */
static const char *distribution_flaw(const X509_CRL *crl)
{
    int critical;
    ISSUING_DIST_POINT *point = X509_CRL_get_ext_d2i(crl, NID_issuing_distribution_point, &critical, NULL);
    const char *flaw = !point && critical != -1 ? "the issuing distribution point cannot be read" : NULL;

    if (point && point->indirectCRL > 0)
        flaw = "an indirect list is not supported";
    ISSUING_DIST_POINT_free(point);
    return flaw;
}

static const char *list_flaw(const struct list *list, const STACK_OF(X509_REVOKED) * entries)
{
    const char *flaw = distribution_flaw(list->crl);

    for (int i = 0; !flaw && i < X509_CRL_get_ext_count(list->crl); i++)
        flaw = extension_flaw(X509_CRL_get_ext(list->crl, i));
    for (size_t i = 0; !flaw && i < list->count; i++) {
        const X509_REVOKED *entry = sk_X509_REVOKED_value(entries, i);
        for (int k = 0; !flaw && k < X509_REVOKED_get_ext_count(entry); k++)
            flaw = extension_flaw(X509_REVOKED_get_ext(entry, k));
    }
    return flaw;
}

/* ---- loading ---- */

/* Returns NULL or what is wrong. `list` owns its CRL in both cases. */
static const char *list_decode(struct list *list, const struct pem_block *block)
{
    BIO *reader = pem_block_reader(block);

    ERR_clear_error();
    list->crl = reader ? PEM_read_bio_X509_CRL(reader, NULL, NULL, NULL) : NULL;
    BIO_free(reader);
    if (!list->crl)
        return library_error_take();
    STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(list->crl);
    list->count = entries ? sk_X509_REVOKED_num(entries) : 0;
    const char *flaw = list_flaw(list, entries);
    if (flaw || !list->count)
        return flaw;
    list->serials = calloc(list->count, sizeof(const ASN1_INTEGER *));
    if (!list->serials)
        return "out of memory";
    for (size_t i = 0; i < list->count; i++)
        list->serials[i] = X509_REVOKED_get0_serialNumber(sk_X509_REVOKED_value(entries, i));
    qsort(list->serials, list->count, sizeof(const ASN1_INTEGER *), compare_serials);
    return NULL;
}

static bool list_add(struct revocation *revocation, const struct pem_block *block, const char *path,
                     struct fault *fault)
{
    struct list *lists = realloc(revocation->lists, (revocation->count + 1) * sizeof *lists);
    const char *flaw = "out of memory";

    if (lists) {
        revocation->lists = lists;
        lists[revocation->count] = (struct list) { 0 };
        flaw = list_decode(&lists[revocation->count++], block);
    }
    if (flaw)
        fault_set(fault, "%s: line %zu: the revocation list cannot be used: %s", path, block->line, flaw);
    ERR_clear_error();
    return !flaw;
}

struct revocation *revocation_load(struct pem_file *file, struct fault *fault)
{
    struct revocation *revocation = calloc(1, sizeof *revocation);
    struct pem_scan scan;
    struct pem_block block;
    enum pem_found found;

    if (!revocation) {
        fault_set(fault, "%s: out of memory", file->path);
        return NULL;
    }
    pem_scan_start(&scan, file);
    do
        found = pem_scan_next_of(&scan, PEM_CRL, PEM_ONLY(PEM_CERTIFICATE), &block, fault);
    while (found == PEM_FOUND_BLOCK && list_add(revocation, &block, file->path, fault));
    if (found == PEM_FOUND_END)
        return revocation;
    revocation_free(revocation);
    return NULL;
}

void revocation_free(struct revocation *revocation)
{
    if (!revocation)
        return;
    for (size_t i = 0; i < revocation->count; i++) {
        X509_CRL_free(revocation->lists[i].crl);
        free(revocation->lists[i].serials);
    }
    free(revocation->lists);
    free(revocation);
}

size_t revocation_list_count(const struct revocation *revocation)
{
    return revocation->count;
}

int64_t revocation_next_update(const struct revocation *revocation, size_t at)
{
    const ASN1_TIME *time = X509_CRL_get0_nextUpdate(revocation->lists[at].crl);

    return time ? certificate_seconds_of(time, 0) : 0;
}

void revocation_describe_issuer(const struct revocation *revocation, size_t at,
                                char text[CERTIFICATE_NAME_BYTES])
{
    certificate_describe_other(X509_CRL_get_issuer(revocation->lists[at].crl), text);
}

/* ---- asking ---- */

static bool is_signed_by(X509_CRL *crl, X509 *issuer)
{
    EVP_PKEY *key = X509_get_pubkey(issuer);
    bool is_signed = key && X509_CRL_verify(crl, key) == 1;

    EVP_PKEY_free(key);
    ERR_clear_error();
    return is_signed;
}

bool revocation_is_signed_by(const struct revocation *revocation, size_t at, X509 *ca)
{
    X509_CRL *crl = revocation->lists[at].crl;

    return X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(ca)) == 0 && is_signed_by(crl, ca);
}

/* The signature comes last: a list that does not name the certificate has no effect, whoever signed it. */
bool revocation_names(const struct revocation *revocation, X509 *certificate, X509 *issuer)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);

    for (size_t i = 0; revocation && i < revocation->count; i++) {
        const struct list *list = &revocation->lists[i];
        if (list->count &&
            X509_NAME_cmp(X509_CRL_get_issuer(list->crl), X509_get_issuer_name(certificate)) == 0 &&
            bsearch(&serial, list->serials, list->count, sizeof(const ASN1_INTEGER *), compare_serials) &&
            is_signed_by(list->crl, issuer))
            return true;
    }
    return false;
}
