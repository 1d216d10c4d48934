#include "trust/crl.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

enum { CRL_VERSION_2 = 1, SERIAL_BYTES_MAX = 64 };
enum { CRL_KEY_UNKNOWN, CRL_KEY_NOTED_NOW, CRL_KEY_KNOWN };

#define TAG(number)             (CBS_ASN1_CONTEXT_SPECIFIC | (number))
#define CONSTRUCTED_TAG(number) (CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | (number))

/* ---- extensions ---- */

/* The content of the OIDs that begin with 2.5.29 (id-ce). */
enum {
    ID_CRL_NUMBER = 20,
    ID_REASON = 21,
    ID_INVALIDITY_DATE = 24,
    ID_DELTA = 27,
    ID_DISTRIBUTION_POINT = 28,
    ID_CERTIFICATE_ISSUER = 29,
    ID_AUTHORITY_KEY = 35,
};

struct extension {
    CBS oid;
    int id; /* the last part of the OID; 0: it is not of id-ce */
    bool is_critical;
    CBS value;
};

static bool extension_read(CBS *from, struct extension *to)
{
    static const uint8_t id_ce[] = { 0x55, 0x1d };
    CBS one;
    int critical = 0;

    if (!CBS_get_asn1(from, &one, CBS_ASN1_SEQUENCE) || !CBS_get_asn1(&one, &to->oid, CBS_ASN1_OBJECT) ||
        (CBS_peek_asn1_tag(&one, CBS_ASN1_BOOLEAN) && !CBS_get_asn1_bool(&one, &critical)) ||
        !CBS_get_asn1(&one, &to->value, CBS_ASN1_OCTETSTRING) || CBS_len(&one))
        return false;
    bool is_ce =
        CBS_len(&to->oid) == sizeof id_ce + 1 && memcmp(CBS_data(&to->oid), id_ce, sizeof id_ce) == 0;
    to->id = is_ce ? CBS_data(&to->oid)[sizeof id_ce] : 0;
    to->is_critical = critical;
    return true;
}

static bool damaged(struct fault *fault)
{
    fault_set(fault, "it is damaged: fetch the list from the CA again");
    return false;
}

static bool indirect(struct fault *fault)
{
    fault_set(fault,
              "an indirect list is not supported: use a list that the CA of the certificates has signed");
    return false;
}

static bool unknown(const struct extension *extension, struct fault *fault)
{
    char *oid = CBS_asn1_oid_to_text(&extension->oid);

    fault_set(fault,
              "the list has an unknown critical extension (%s): ask the CA for a list without the extension",
              oid ? oid : "with a damaged name");
    OPENSSL_free(oid);
    return false;
}

/* distributionPoint: [0] { [0] fullName }, or [1], a name relative to the CA. */
static bool point_read(CBS *from, struct crl_scope *scope)
{
    CBS outer, name;
    unsigned tag;

    if (!CBS_get_asn1(from, &outer, CONSTRUCTED_TAG(0)) || !CBS_get_any_asn1(&outer, &name, &tag) ||
        CBS_len(&outer))
        return false;
    if (tag == CONSTRUCTED_TAG(0))
        scope->point = name;
    else
        scope->is_partial = true;
    return true;
}

static bool flag_read(CBS *from, unsigned number, bool *flag)
{
    CBS value;

    if (!CBS_peek_asn1_tag(from, TAG(number)))
        return true;
    if (!CBS_get_asn1(from, &value, TAG(number)) || CBS_len(&value) != 1)
        return false;
    *flag = CBS_data(&value)[0] != 0;
    return true;
}

/* issuingDistributionPoint (RFC 5280, 5.2.5). */
static bool scope_read(CBS value, struct crl_scope *scope, struct fault *fault)
{
    bool is_indirect = false, has_attributes = false;
    CBS fields;

    scope->extension = value;
    if (!CBS_get_asn1(&value, &fields, CBS_ASN1_SEQUENCE) || CBS_len(&value) ||
        (CBS_peek_asn1_tag(&fields, CONSTRUCTED_TAG(0)) && !point_read(&fields, scope)) ||
        !flag_read(&fields, 1, &scope->is_for_users) || !flag_read(&fields, 2, &scope->is_for_cas))
        return damaged(fault);
    if (CBS_peek_asn1_tag(&fields, TAG(3))) {
        scope->is_partial = true;
        if (!CBS_get_asn1(&fields, NULL, TAG(3)))
            return damaged(fault);
    }
    if (!flag_read(&fields, 4, &is_indirect) || !flag_read(&fields, 5, &has_attributes) || CBS_len(&fields))
        return damaged(fault);
    scope->is_partial = scope->is_partial || has_attributes;
    return !is_indirect || indirect(fault);
}

/* authorityKeyIdentifier: [0] keyIdentifier comes first, and may be absent. */
static bool issuer_key_read(CBS value, CBS *to, struct fault *fault)
{
    CBS fields;

    if (!CBS_get_asn1(&value, &fields, CBS_ASN1_SEQUENCE) ||
        (CBS_peek_asn1_tag(&fields, TAG(0)) && !CBS_get_asn1(&fields, to, TAG(0))))
        return damaged(fault);
    return true;
}

static bool extension_apply(struct crl *list, const struct extension *extension, struct fault *fault)
{
    CBS value = extension->value;

    switch (extension->id) {
    case ID_CRL_NUMBER:
        return CBS_get_asn1(&value, &list->number, CBS_ASN1_INTEGER) || damaged(fault);
    case ID_AUTHORITY_KEY:
        return issuer_key_read(value, &list->issuer_key_id, fault);
    case ID_DISTRIBUTION_POINT:
        return scope_read(value, &list->scope, fault);
    case ID_DELTA:
        fault_set(fault, "a delta list is not supported: use the complete list of the CA");
        return false;
    default:
        return !extension->is_critical || unknown(extension, fault);
    }
}

static bool extensions_read(struct crl *list, CBS *from, struct fault *fault)
{
    CBS tagged, extensions;
    struct extension extension;

    if (!CBS_len(from))
        return true;
    if (!CBS_get_asn1(from, &tagged, CONSTRUCTED_TAG(0)) ||
        !CBS_get_asn1(&tagged, &extensions, CBS_ASN1_SEQUENCE) || CBS_len(&tagged) || CBS_len(from))
        return damaged(fault);
    while (CBS_len(&extensions)) {
        if (!extension_read(&extensions, &extension))
            return damaged(fault);
        if (!extension_apply(list, &extension, fault))
            return false;
    }
    return true;
}

/* ---- entries ---- */

static bool entry_extensions_check(CBS *entry, struct fault *fault)
{
    CBS extensions;
    struct extension extension;

    if (!CBS_len(entry))
        return true;
    if (!CBS_get_asn1(entry, &extensions, CBS_ASN1_SEQUENCE) || CBS_len(entry))
        return damaged(fault);
    while (CBS_len(&extensions)) {
        if (!extension_read(&extensions, &extension))
            return damaged(fault);
        if (extension.id == ID_CERTIFICATE_ISSUER)
            return indirect(fault);
        if (extension.is_critical && extension.id != ID_REASON && extension.id != ID_INVALIDITY_DATE)
            return unknown(&extension, fault);
    }
    return true;
}

/* The place of the content of a serial number: its length is in the byte before. */
static bool entry_read(struct crl *list, CBS *entries, uint32_t *serial, struct fault *fault)
{
    CBS entry, number;
    int is_negative;

    if (!CBS_get_asn1(entries, &entry, CBS_ASN1_SEQUENCE) ||
        !CBS_get_asn1(&entry, &number, CBS_ASN1_INTEGER) ||
        !CBS_is_valid_asn1_integer(&number, &is_negative) || CBS_len(&number) > SERIAL_BYTES_MAX)
        return damaged(fault);
    if (!CBS_get_any_asn1_element(&entry, NULL, NULL, NULL)) /* the date does not matter */
        return damaged(fault);
    *serial = (uint32_t)(CBS_data(&number) - list->bytes);
    return entry_extensions_check(&entry, fault);
}

static int bytes_compare(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length)
{
    if (a_length != b_length)
        return a_length < b_length ? -1 : 1;
    return a_length ? memcmp(a, b, a_length) : 0;
}

static int serial_compare(const void *left, const void *right, void *bytes)
{
    const uint8_t *a = (const uint8_t *)bytes + *(const uint32_t *)left,
                  *b = (const uint8_t *)bytes + *(const uint32_t *)right;

    return bytes_compare(a, a[-1], b, b[-1]);
}

static size_t entries_count(CBS entries)
{
    size_t count = 0;

    while (CBS_get_any_asn1_element(&entries, NULL, NULL, NULL))
        count++;
    return count;
}

static bool entries_read(struct crl *list, CBS *from, struct fault *fault)
{
    CBS entries;

    if (!CBS_peek_asn1_tag(from, CBS_ASN1_SEQUENCE))
        return true;
    if (!CBS_get_asn1(from, &entries, CBS_ASN1_SEQUENCE))
        return damaged(fault);
    size_t count = entries_count(entries);
    list->serials = malloc((count ? count : 1) * sizeof *list->serials);
    if (!list->serials) {
        fault_set(fault, "out of memory");
        return false;
    }
    while (CBS_len(&entries)) {
        if (!entry_read(list, &entries, &list->serials[list->count], fault))
            return false;
        list->count++;
    }
    qsort_r(list->serials, list->count, sizeof *list->serials, serial_compare, list->bytes);
    return true;
}

/* ---- the list ---- */

static bool issuer_read(struct crl *list, CBS *from)
{
    CBS name;

    if (!CBS_get_asn1_element(from, &name, CBS_ASN1_SEQUENCE))
        return false;
    const uint8_t *bytes = CBS_data(&name), *end = bytes + CBS_len(&name);
    list->issuer = d2i_X509_NAME(NULL, &bytes, (long)CBS_len(&name));
    ERR_clear_error();
    return list->issuer && bytes == end;
}

/* TBSCertList (RFC 5280, 5.1). */
static bool content_read(struct crl *list, struct fault *fault)
{
    CBS part = list->document.part, fields, algorithm;
    uint64_t version = 0;

    if (!CBS_get_asn1(&part, &fields, CBS_ASN1_SEQUENCE) ||
        (CBS_peek_asn1_tag(&fields, CBS_ASN1_INTEGER) &&
         (!CBS_get_asn1_uint64(&fields, &version) || version != CRL_VERSION_2)) ||
        !CBS_get_asn1_element(&fields, &algorithm, CBS_ASN1_SEQUENCE) ||
        !CBS_mem_equal(&algorithm, CBS_data(&list->document.algorithm), CBS_len(&list->document.algorithm)) ||
        !issuer_read(list, &fields) || !signed_der_read_time(&fields, &list->this_update))
        return damaged(fault);
    if ((CBS_peek_asn1_tag(&fields, CBS_ASN1_UTCTIME) ||
         CBS_peek_asn1_tag(&fields, CBS_ASN1_GENERALIZEDTIME)) &&
        !signed_der_read_time(&fields, &list->next_update))
        return damaged(fault);
    return entries_read(list, &fields, fault) && extensions_read(list, &fields, fault);
}

bool crl_decode(struct crl *list, CBS *from, struct fault *fault)
{
    CBS element, whole, frame;

    *list = (struct crl) { 0 };
    if (!CBS_get_asn1_element(from, &element, CBS_ASN1_SEQUENCE) || CBS_len(&element) > UINT32_MAX) {
        fault_set(fault, "it is no revocation list in DER");
        return false;
    }
    list->bytes = malloc(CBS_len(&element));
    if (!list->bytes) {
        fault_set(fault, "out of memory");
        return false;
    }
    memcpy(list->bytes, CBS_data(&element), CBS_len(&element));
    CBS_init(&whole, list->bytes, CBS_len(&element));
    if (!CBS_get_asn1(&whole, &frame, CBS_ASN1_SEQUENCE) || !signed_der_read(&frame, &list->document) ||
        CBS_len(&frame)) {
        fault_set(fault, "it is no revocation list in DER");
        return false;
    }
    return content_read(list, fault);
}

void crl_deinit(struct crl *list)
{
    X509_NAME_free(list->issuer);
    free(list->serials);
    free(list->bytes);
    *list = (struct crl) { 0 };
}

/* ---- who signed it ---- */

bool crl_fits_issuer(const struct crl *list, X509 *issuer)
{
    const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(issuer);

    if (X509_NAME_cmp(list->issuer, X509_get_subject_name(issuer)) != 0)
        return false;
    return !id || !CBS_len(&list->issuer_key_id) ||
           CBS_mem_equal(&list->issuer_key_id, ASN1_STRING_get0_data(id), (size_t)ASN1_STRING_length(id));
}

static bool key_is_known(const struct crl_key *key)
{
    return atomic_load_explicit(&key->state, memory_order_acquire) == CRL_KEY_KNOWN;
}

static bool key_is(const struct crl_key *key, const uint8_t digest[CERTIFICATE_DIGEST_BYTES])
{
    return key_is_known(key) && memcmp(key->digest, digest, sizeof key->digest) == 0;
}

/* The first key stays. */
static void key_note(struct crl_key *key, const uint8_t digest[CERTIFICATE_DIGEST_BYTES])
{
    unsigned expected = CRL_KEY_UNKNOWN;

    if (!atomic_compare_exchange_strong(&key->state, &expected, CRL_KEY_NOTED_NOW))
        return;
    memcpy(key->digest, digest, sizeof key->digest);
    atomic_store_explicit(&key->state, CRL_KEY_KNOWN, memory_order_release);
}

bool crl_is_signed_by(struct crl *list, X509 *issuer)
{
    uint8_t digest[CERTIFICATE_DIGEST_BYTES];

    if (!X509_pubkey_digest(issuer, EVP_sha256(), digest, NULL) || key_is(&list->stranger, digest))
        return false;
    if (key_is(&list->signer, digest))
        return true;
    bool is_signed = signed_der_verify(&list->document, issuer);
    key_note(is_signed ? &list->signer : &list->stranger, digest);
    return is_signed;
}

bool crl_have_same_signer(const struct crl *a, const struct crl *b)
{
    return !key_is_known(&a->signer) || !key_is_known(&b->signer) || key_is(&a->signer, b->signer.digest);
}

/* ---- what it says ---- */

bool crl_names(const struct crl *list, X509 *certificate)
{
    uint8_t *der = NULL;
    int length = i2d_ASN1_INTEGER(X509_get_serialNumber(certificate), &der);
    size_t first = 0, last = list->count;
    CBS whole, serial;
    bool is_found = false;

    CBS_init(&whole, der, length > 0 ? (size_t)length : 0);
    if (length > 0 && CBS_get_asn1(&whole, &serial, CBS_ASN1_INTEGER)) {
        while (!is_found && first < last) {
            size_t middle = first + (last - first) / 2;
            const uint8_t *at = list->bytes + list->serials[middle];
            int order = bytes_compare(CBS_data(&serial), CBS_len(&serial), at, at[-1]);
            is_found = order == 0;
            if (order < 0)
                last = middle;
            else
                first = middle + 1;
        }
    }
    OPENSSL_free(der);
    return is_found;
}

/* Whether one of the names is among the names of the list's point. */
static bool point_has(CBS point, const GENERAL_NAMES *names)
{
    bool has = false;
    CBS one;

    while (!has && CBS_get_any_asn1_element(&point, &one, NULL, NULL)) {
        for (size_t i = 0; !has && i < sk_GENERAL_NAME_num(names); i++) {
            uint8_t *der = NULL;
            int length = i2d_GENERAL_NAME(sk_GENERAL_NAME_value(names, i), &der);
            has = length > 0 && CBS_mem_equal(&one, der, (size_t)length);
            OPENSSL_free(der);
        }
    }
    return has;
}

/* RFC 5280, 6.3.3 (b) (2) (i). */
static bool point_fits(const struct crl_scope *scope, X509 *certificate)
{
    if (!CBS_len(&scope->point))
        return true;
    CRL_DIST_POINTS *points = X509_get_ext_d2i(certificate, NID_crl_distribution_points, NULL, NULL);
    bool fits = false;
    for (size_t i = 0; points && !fits && i < sk_DIST_POINT_num(points); i++) {
        const DIST_POINT_NAME *name = sk_DIST_POINT_value(points, i)->distpoint;
        fits = name && name->type == 0 && point_has(scope->point, name->name.fullname);
    }
    CRL_DIST_POINTS_free(points);
    ERR_clear_error();
    return fits;
}

bool crl_covers(const struct crl *list, X509 *certificate)
{
    const struct crl_scope *scope = &list->scope;
    bool is_ca = X509_check_ca(certificate) == 1;

    return !scope->is_partial && !(scope->is_for_users && is_ca) && !(scope->is_for_cas && !is_ca) &&
           point_fits(scope, certificate);
}

/* ---- several lists ---- */

static int cbs_compare(const CBS *a, const CBS *b)
{
    return bytes_compare(CBS_data(a), CBS_len(a), CBS_data(b), CBS_len(b));
}

static int age_compare(const struct crl *a, const struct crl *b)
{
    if (a->this_update != b->this_update)
        return a->this_update > b->this_update ? -1 : 1;
    return cbs_compare(&b->number, &a->number);
}

int crl_compare(const struct crl *a, const struct crl *b)
{
    int order = X509_NAME_cmp(a->issuer, b->issuer);

    if (!order)
        order = cbs_compare(&a->scope.extension, &b->scope.extension);
    return order ? order : age_compare(a, b);
}

bool crl_is_of_same_scope(const struct crl *a, const struct crl *b)
{
    return cbs_compare(&a->scope.extension, &b->scope.extension) == 0;
}
