#include "trust/ocsp.h"

#include "trust/certificate.h"
#include "trust/signed_der.h"

#include <openssl/asn1.h>
#include <openssl/bytestring.h>
#include <openssl/digest.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/obj.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>

#define TAG(number)             (CBS_ASN1_CONTEXT_SPECIFIC | (number))
#define CONSTRUCTED_TAG(number) (CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | (number))

struct response {
    struct signed_der document;
    unsigned responder_tag;
    CBS responder;    /* ResponderID, without its tag */
    CBS certificates; /* certificates one after the other; may be empty */
    CBS answers;      /* SingleResponses one after the other */
};

/* ---- the response ---- */

/* OCSPResponse, down to BasicOCSPResponse (RFC 6960, 4.2.1). */
static bool envelope_open(CBS *from, CBS *basic)
{
    static const uint8_t id_pkix_ocsp_basic[] = { 0x2b, 6, 1, 5, 5, 7, 48, 1, 1 };
    CBS outer, status, tagged, bytes, type, content;

    return CBS_get_asn1(from, &outer, CBS_ASN1_SEQUENCE) && !CBS_len(from) &&
           CBS_get_asn1(&outer, &status, CBS_ASN1_ENUMERATED) && CBS_len(&status) == 1 &&
           CBS_data(&status)[0] == 0 && CBS_get_asn1(&outer, &tagged, CONSTRUCTED_TAG(0)) &&
           !CBS_len(&outer) && CBS_get_asn1(&tagged, &bytes, CBS_ASN1_SEQUENCE) && !CBS_len(&tagged) &&
           CBS_get_asn1(&bytes, &type, CBS_ASN1_OBJECT) &&
           CBS_mem_equal(&type, id_pkix_ocsp_basic, sizeof id_pkix_ocsp_basic) &&
           CBS_get_asn1(&bytes, &content, CBS_ASN1_OCTETSTRING) && !CBS_len(&bytes) &&
           CBS_get_asn1(&content, basic, CBS_ASN1_SEQUENCE) && !CBS_len(&content);
}

/* Extensions of OCSP are about requests, and need not be applied: a critical one is refused. */
static bool extensions_check(CBS *from, unsigned tag)
{
    CBS tagged, extensions;

    if (!CBS_len(from))
        return true;
    if (!CBS_get_asn1(from, &tagged, tag) || CBS_len(from) ||
        !CBS_get_asn1(&tagged, &extensions, CBS_ASN1_SEQUENCE) || CBS_len(&tagged))
        return false;
    while (CBS_len(&extensions)) {
        int is_critical = 0;
        CBS one;
        if (!CBS_get_asn1(&extensions, &one, CBS_ASN1_SEQUENCE) ||
            !CBS_get_asn1(&one, NULL, CBS_ASN1_OBJECT) ||
            (CBS_peek_asn1_tag(&one, CBS_ASN1_BOOLEAN) && !CBS_get_asn1_bool(&one, &is_critical)) ||
            is_critical || !CBS_get_asn1(&one, NULL, CBS_ASN1_OCTETSTRING) || CBS_len(&one))
            return false;
    }
    return true;
}

/* ResponseData. */
static bool data_read(struct response *response)
{
    CBS part = response->document.part, data;
    int64_t produced;

    return CBS_get_asn1(&part, &data, CBS_ASN1_SEQUENCE) &&
           (!CBS_peek_asn1_tag(&data, CONSTRUCTED_TAG(0)) || CBS_get_asn1(&data, NULL, CONSTRUCTED_TAG(0))) &&
           CBS_get_any_asn1(&data, &response->responder, &response->responder_tag) &&
           signed_der_read_time(&data, &produced) &&
           CBS_get_asn1(&data, &response->answers, CBS_ASN1_SEQUENCE) &&
           extensions_check(&data, CONSTRUCTED_TAG(1));
}

static bool response_read(CBS from, struct response *response)
{
    CBS basic, tagged;

    *response = (struct response) { 0 };
    if (!envelope_open(&from, &basic) || !signed_der_read(&basic, &response->document))
        return false;
    if (CBS_len(&basic) &&
        (!CBS_get_asn1(&basic, &tagged, CONSTRUCTED_TAG(0)) || CBS_len(&basic) ||
         !CBS_get_asn1(&tagged, &response->certificates, CBS_ASN1_SEQUENCE) || CBS_len(&tagged)))
        return false;
    return data_read(response);
}

/* ---- the signer ---- */

/* ResponderID (RFC 6960, 4.2.2.3): the subject of the signer, or the SHA-1 hash of its key. */
static bool is_named(const struct response *response, X509 *signer)
{
    CBS content = response->responder, id;
    uint8_t hash[SHA_DIGEST_LENGTH];

    if (response->responder_tag == CONSTRUCTED_TAG(2))
        return CBS_get_asn1(&content, &id, CBS_ASN1_OCTETSTRING) && !CBS_len(&content) &&
               X509_pubkey_digest(signer, EVP_sha1(), hash, NULL) && CBS_mem_equal(&id, hash, sizeof hash);
    if (response->responder_tag != CONSTRUCTED_TAG(1))
        return false;
    const uint8_t *bytes = CBS_data(&content), *end = bytes + CBS_len(&content);
    X509_NAME *name = d2i_X509_NAME(NULL, &bytes, (long)CBS_len(&content));
    bool is_same = name && bytes == end && X509_NAME_cmp(name, X509_get_subject_name(signer)) == 0;
    X509_NAME_free(name);
    return is_same;
}

static bool has_signed(const struct response *response, X509 *signer)
{
    return is_named(response, signer) && signed_der_verify(&response->document, signer);
}

/* RFC 6960, 4.2.2.2. */
static bool may_respond(X509 *responder, const struct ocsp_question *question)
{
    EVP_PKEY *key = X509_get_pubkey(question->issuer);
    char flaw[STRENGTH_FLAW_BYTES];
    bool is_issued = key && X509_check_issued(question->issuer, responder) == X509_V_OK &&
                     X509_verify(responder, key) == 1;

    EVP_PKEY_free(key);
    return is_issued && X509_get_extension_flags(responder) & EXFLAG_XKUSAGE &&
           X509_get_extended_key_usage(responder) & XKU_OCSP_SIGN &&
           (question->strength == STRENGTH_NOT_DEMANDED || strength_check(responder, flaw)) &&
           certificate_not_before(responder) <= question->now &&
           question->now <= certificate_not_after(responder);
}

static bool is_signed(const struct response *response, const struct ocsp_question *question)
{
    CBS certificates = response->certificates, der;
    bool is_good = has_signed(response, question->issuer);

    for (unsigned left = OCSP_CERTIFICATES_MAX;
         !is_good && left && CBS_get_asn1_element(&certificates, &der, CBS_ASN1_SEQUENCE); left--) {
        const uint8_t *bytes = CBS_data(&der);
        X509 *responder = d2i_X509(NULL, &bytes, (long)CBS_len(&der));
        is_good = responder && may_respond(responder, question) && has_signed(response, responder);
        X509_free(responder);
        ERR_clear_error();
    }
    return is_good;
}

/* ---- the answer about the certificate ---- */

static bool digest_equals(const EVP_MD *digest, const uint8_t *bytes, size_t length, const CBS *expected)
{
    uint8_t found[EVP_MAX_MD_SIZE];
    unsigned size;

    return EVP_Digest(bytes, length, found, &size, digest, NULL) && CBS_mem_equal(expected, found, size);
}

static bool name_fits(const EVP_MD *digest, const CBS *hash, const struct ocsp_question *question)
{
    uint8_t *der = NULL;
    int length = i2d_X509_NAME(X509_get_issuer_name(question->certificate), &der);
    bool fits = length > 0 && digest_equals(digest, der, (size_t)length, hash);

    OPENSSL_free(der);
    return fits;
}

static bool key_fits(const EVP_MD *digest, const CBS *hash, const struct ocsp_question *question)
{
    const ASN1_BIT_STRING *bits = X509_get0_pubkey_bitstr(question->issuer);

    return digest_equals(digest, ASN1_STRING_get0_data(bits), (size_t)ASN1_STRING_length(bits), hash);
}

static bool serial_fits(const CBS *serial, const struct ocsp_question *question)
{
    uint8_t *der = NULL;
    int length = i2d_ASN1_INTEGER(X509_get_serialNumber(question->certificate), &der);
    bool fits = length > 0 && CBS_mem_equal(serial, der, (size_t)length);

    OPENSSL_free(der);
    return fits;
}

/* CertID (RFC 6960, 4.1.1). */
static bool is_about(CBS *answer, const struct ocsp_question *question)
{
    CBS id, name, key, serial;

    if (!CBS_get_asn1(answer, &id, CBS_ASN1_SEQUENCE))
        return false;
    const EVP_MD *digest = EVP_parse_digest_algorithm(&id);
    return digest && CBS_get_asn1(&id, &name, CBS_ASN1_OCTETSTRING) &&
           CBS_get_asn1(&id, &key, CBS_ASN1_OCTETSTRING) &&
           CBS_get_asn1_element(&id, &serial, CBS_ASN1_INTEGER) && !CBS_len(&id) &&
           serial_fits(&serial, question) && name_fits(digest, &name, question) &&
           key_fits(digest, &key, question);
}

static enum ocsp_status freshness(int64_t this_update, int64_t next_update, int64_t now)
{
    if (this_update > now)
        return OCSP_EARLY;
    return next_update < now ? OCSP_STALE : OCSP_GOOD;
}

/* The rest of a SingleResponse, after its CertID. */
static enum ocsp_status answer_read(CBS *answer, int64_t now)
{
    CBS status, tagged;
    unsigned tag;
    int64_t this_update, next_update;

    if (!CBS_get_any_asn1(answer, &status, &tag) || !signed_der_read_time(answer, &this_update))
        return OCSP_INVALID;
    next_update = this_update + OCSP_AGE_MAX_SECONDS;
    if (CBS_peek_asn1_tag(answer, CONSTRUCTED_TAG(0)) &&
        (!CBS_get_asn1(answer, &tagged, CONSTRUCTED_TAG(0)) || !signed_der_read_time(&tagged, &next_update)))
        return OCSP_INVALID;
    if (!extensions_check(answer, CONSTRUCTED_TAG(1)))
        return OCSP_INVALID;
    switch (tag) {
    case TAG(0):
        return freshness(this_update, next_update, now);
    case CONSTRUCTED_TAG(1):
        return OCSP_REVOKED;
    case TAG(2):
        return OCSP_UNKNOWN;
    default:
        return OCSP_INVALID;
    }
}

static enum ocsp_status answer_find(CBS answers, const struct ocsp_question *question)
{
    CBS answer;

    while (CBS_get_asn1(&answers, &answer, CBS_ASN1_SEQUENCE)) {
        if (is_about(&answer, question))
            return answer_read(&answer, question->now);
    }
    return OCSP_INVALID;
}

static bool is_weak(const struct response *response, const struct ocsp_question *question)
{
    char flaw[STRENGTH_FLAW_BYTES];

    return question->strength == STRENGTH_DEMANDED && !signed_der_check_strength(&response->document, flaw);
}

enum ocsp_status ocsp_judge(const struct ocsp_response *response, const struct ocsp_question *question)
{
    enum ocsp_status status = OCSP_INVALID;
    struct response parts;
    CBS bytes;

    if (!response->length)
        return OCSP_NONE;
    CBS_init(&bytes, response->bytes, response->length);
    if (response_read(bytes, &parts))
        status = answer_find(parts.answers, question);
    /* The signature comes last, because it costs most. */
    if (status != OCSP_INVALID && !is_signed(&parts, question))
        status = OCSP_INVALID;
    else if (status == OCSP_GOOD && is_weak(&parts, question))
        status = OCSP_WEAK;
    ERR_clear_error();
    return status;
}

/* ---- the demand of a certificate ---- */

/* Features: SEQUENCE OF INTEGER, the numbers of TLS extensions. */
static bool has_status_request(CBS features)
{
    enum { STATUS_REQUEST = 5 };
    CBS numbers;
    uint64_t number = 0;

    if (!CBS_get_asn1(&features, &numbers, CBS_ASN1_SEQUENCE))
        return true;
    while (CBS_len(&numbers) && number != STATUS_REQUEST) {
        if (!CBS_get_asn1_uint64(&numbers, &number))
            return true;
    }
    return number == STATUS_REQUEST;
}

bool ocsp_is_demanded(const X509 *certificate)
{
    static const uint8_t id_pe_tlsfeature[] = { 0x2b, 6, 1, 5, 5, 7, 1, 24 };

    for (int at = 0; at < X509_get_ext_count(certificate); at++) {
        X509_EXTENSION *extension = X509_get_ext(certificate, at);
        const ASN1_OBJECT *id = X509_EXTENSION_get_object(extension);
        const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(extension);
        CBS features;
        if (OBJ_length(id) != sizeof id_pe_tlsfeature ||
            memcmp(OBJ_get0_data(id), id_pe_tlsfeature, sizeof id_pe_tlsfeature) != 0)
            continue;
        CBS_init(&features, ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
        return has_status_request(features);
    }
    return false;
}

const char *ocsp_status_phrase(enum ocsp_status status)
{
    static const char *const phrases[] = {
        [OCSP_NONE] = "is missing",
        [OCSP_GOOD] = "is good",
        [OCSP_REVOKED] = "says that the certificate is revoked",
        [OCSP_UNKNOWN] = "says that the responder does not know the certificate",
        [OCSP_STALE] = "is stale",
        [OCSP_EARLY] = "is not valid yet",
        [OCSP_WEAK] = "has a weak signature",
        [OCSP_INVALID] = "is not about this certificate, or its signature is wrong",
    };

    return phrases[status];
}
