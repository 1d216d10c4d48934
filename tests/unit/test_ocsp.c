/* proxy/trust/ocsp.c: what a response says, who may sign it, and which responses are refused. */
#include "trust/ocsp.h"

#include "support/pki.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <openssl/bytestring.h>
#include <openssl/digest.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    TAG = CBS_ASN1_CONTEXT_SPECIFIC,
    TAGGED = CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED,
    HOUR = 3600
};

/* A response. A field that is zero is left out, or is as it should be. */
struct profile {
    enum { SAYS_GOOD, SAYS_REVOKED, SAYS_UNKNOWN, SAYS_NONSENSE } says;
    int64_t this_update, next_update; /* both zero: from an hour ago to an hour ahead */
    const EVP_MD *digest;             /* of the CertID; NULL: SHA-1 */
    const struct pki_pair *signer;    /* NULL: the CA */
    const struct pki_pair *shown;     /* a certificate beside the response; NULL: none */
    const struct pki_pair *issuer;    /* in the CertID; NULL: the CA */
    const struct pki_pair *about;     /* NULL: the leaf */
    int has_other_first;              /* an answer about another certificate comes first */
    int has_critical_extension;
    int is_error;   /* tryLater */
    int is_damaged; /* a bit of the signed part is flipped */
    enum { NAMED_BY_KEY, NAMED_BY_SUBJECT, NAMED_WRONGLY, NAMED_NOT } responder; /* responderID */
    int has_sha1;                                                                /* the signature */
};

struct fixture {
    struct pki_pair ca, leaf, other;
    int64_t now;
    enum strength_policy strength;
    uint8_t *bytes;
    size_t length;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    const struct pki_profile leaf = { .subject = { { NID_commonName, "leaf", 0 } } };

    fixture->ca = pki_issue_ca("our CA");
    fixture->leaf = pki_issue(&leaf, &fixture->ca);
    fixture->other = pki_issue(&leaf, &fixture->ca);
    fixture->now = time(NULL);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    OPENSSL_free(fixture->bytes);
    pki_pair_free(&fixture->ca);
    pki_pair_free(&fixture->leaf);
    pki_pair_free(&fixture->other);
    free(fixture);
    return 0;
}

/* ---- making a response ---- */

static void put_bytes(CBB *to, unsigned tag, const void *bytes, size_t length)
{
    CBB element;

    assert_true(CBB_add_asn1(to, &element, tag) && CBB_add_bytes(&element, bytes, length) && CBB_flush(to));
}

static void put_time(CBB *to, int64_t seconds)
{
    char text[32];
    time_t time = (time_t)seconds;
    struct tm parts;

    gmtime_r(&time, &parts);
    put_bytes(to, CBS_ASN1_GENERALIZEDTIME, text, strftime(text, sizeof text, "%Y%m%d%H%M%SZ", &parts));
}

static void put_serial(CBB *to, X509 *certificate)
{
    uint8_t *der = NULL;
    int length = i2d_ASN1_INTEGER(X509_get_serialNumber(certificate), &der);

    assert_true(length > 0 && CBB_add_bytes(to, der, (size_t)length));
    OPENSSL_free(der);
}

static void put_id(CBB *to, X509 *certificate, X509 *issuer, const EVP_MD *digest)
{
    CBB id;
    uint8_t hash[EVP_MAX_MD_SIZE], *name = NULL;
    unsigned size;
    int length = i2d_X509_NAME(X509_get_subject_name(issuer), &name);
    const ASN1_BIT_STRING *key = X509_get0_pubkey_bitstr(issuer);

    assert_true(CBB_add_asn1(to, &id, CBS_ASN1_SEQUENCE) && EVP_marshal_digest_algorithm(&id, digest));
    assert_true(EVP_Digest(name, (size_t)length, hash, &size, digest, NULL));
    put_bytes(&id, CBS_ASN1_OCTETSTRING, hash, size);
    assert_true(
        EVP_Digest(ASN1_STRING_get0_data(key), (size_t)ASN1_STRING_length(key), hash, &size, digest, NULL));
    put_bytes(&id, CBS_ASN1_OCTETSTRING, hash, size);
    put_serial(&id, certificate);
    assert_true(CBB_flush(to));
    OPENSSL_free(name);
}

static void put_answer(CBB *answers, const struct fixture *fixture, const struct profile *profile,
                       X509 *about)
{
    const struct pki_pair *issuer = profile->issuer ? profile->issuer : &fixture->ca;
    bool has_times = profile->this_update || profile->next_update;
    int64_t this_update = has_times ? profile->this_update : fixture->now - HOUR,
            next_update = has_times ? profile->next_update : fixture->now + HOUR;
    CBB answer, tagged;

    assert_true(CBB_add_asn1(answers, &answer, CBS_ASN1_SEQUENCE));
    put_id(&answer, about, issuer->certificate, profile->digest ? profile->digest : EVP_sha1());
    if (profile->says == SAYS_REVOKED) {
        assert_true(CBB_add_asn1(&answer, &tagged, TAGGED | 1));
        put_time(&tagged, fixture->now - HOUR);
        assert_true(CBB_flush(&answer));
    } else {
        put_bytes(&answer,
                  TAG | (profile->says == SAYS_GOOD      ? 0
                         : profile->says == SAYS_UNKNOWN ? 2
                                                         : 7),
                  "", 0);
    }
    put_time(&answer, this_update);
    if (next_update) {
        assert_true(CBB_add_asn1(&answer, &tagged, TAGGED | 0));
        put_time(&tagged, next_update);
    }
    assert_true(CBB_flush(answers));
}

static void put_responder(CBB *data, X509 *signer, int kind)
{
    CBB responder;
    uint8_t hash[SHA_DIGEST_LENGTH] = { 0 }, *name = NULL;
    int length = i2d_X509_NAME(X509_get_subject_name(signer), &name);

    assert_true(length > 0 && X509_pubkey_digest(signer, EVP_sha1(), hash, NULL));
    hash[0] ^= kind == NAMED_WRONGLY;
    assert_true(CBB_add_asn1(data, &responder,
                             TAGGED | (kind == NAMED_BY_SUBJECT ? 1
                                       : kind == NAMED_NOT      ? 3
                                                                : 2)));
    if (kind == NAMED_BY_SUBJECT)
        assert_true(CBB_add_bytes(&responder, name, (size_t)length));
    else
        put_bytes(&responder, CBS_ASN1_OCTETSTRING, hash, sizeof hash);
    assert_true(CBB_flush(data));
    OPENSSL_free(name);
}

static void put_data(CBB *basic, const struct fixture *fixture, const struct profile *profile)
{
    CBB data, answers, tagged, extensions, one;

    assert_true(CBB_add_asn1(basic, &data, CBS_ASN1_SEQUENCE));
    put_responder(&data, (profile->signer ? profile->signer : &fixture->ca)->certificate, profile->responder);
    put_time(&data, fixture->now);
    assert_true(CBB_add_asn1(&data, &answers, CBS_ASN1_SEQUENCE));
    if (profile->has_other_first)
        put_answer(&answers, fixture, &(struct profile) { .says = SAYS_REVOKED }, fixture->other.certificate);
    put_answer(&answers, fixture, profile, (profile->about ? profile->about : &fixture->leaf)->certificate);
    if (profile->has_critical_extension) {
        assert_true(CBB_add_asn1(&data, &tagged, TAGGED | 1) &&
                    CBB_add_asn1(&tagged, &extensions, CBS_ASN1_SEQUENCE) &&
                    CBB_add_asn1(&extensions, &one, CBS_ASN1_SEQUENCE));
        put_bytes(&one, CBS_ASN1_OBJECT, "\x2a\x03", 2);
        put_bytes(&one, CBS_ASN1_BOOLEAN, "\xff", 1);
        put_bytes(&one, CBS_ASN1_OCTETSTRING, "", 0);
    }
    assert_true(CBB_flush(basic));
}

static void put_signature(CBB *basic, const CBB *data, EVP_PKEY *key, const EVP_MD *digest)
{
    static const uint8_t ecdsa_with_sha256[] = { 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2 };
    static const uint8_t ecdsa_with_sha1[] = { 0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1 };
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    uint8_t signature[256] = { 0 };
    size_t length = sizeof signature - 1;

    assert_true(EVP_DigestSignInit(context, NULL, digest, NULL, key) &&
                EVP_DigestSign(context, signature + 1, &length, CBB_data(data), CBB_len(data)));
    EVP_MD_CTX_free(context);
    if (digest == EVP_sha1())
        put_bytes(basic, CBS_ASN1_SEQUENCE, ecdsa_with_sha1, sizeof ecdsa_with_sha1);
    else
        put_bytes(basic, CBS_ASN1_SEQUENCE, ecdsa_with_sha256, sizeof ecdsa_with_sha256);
    put_bytes(basic, CBS_ASN1_BITSTRING, signature, length + 1);
}

static void put_certificate(CBB *basic, X509 *certificate)
{
    CBB tagged, certificates;
    uint8_t *der = NULL;
    int length = i2d_X509(certificate, &der);

    assert_true(length > 0 && CBB_add_asn1(basic, &tagged, TAGGED | 0) &&
                CBB_add_asn1(&tagged, &certificates, CBS_ASN1_SEQUENCE) &&
                CBB_add_bytes(&certificates, der, (size_t)length) && CBB_flush(basic));
    OPENSSL_free(der);
}

static void respond(struct fixture *fixture, const struct profile *profile)
{
    CBB all, outer, tagged, bytes, content, basic, data;
    const uint8_t status = profile->is_error ? 3 : 0;

    assert_true(CBB_init(&data, 0) && CBB_init(&all, 0) && CBB_add_asn1(&all, &outer, CBS_ASN1_SEQUENCE));
    put_bytes(&outer, CBS_ASN1_ENUMERATED, &status, 1);
    if (!profile->is_error) {
        assert_true(CBB_add_asn1(&outer, &tagged, TAGGED | 0) &&
                    CBB_add_asn1(&tagged, &bytes, CBS_ASN1_SEQUENCE));
        put_bytes(&bytes, CBS_ASN1_OBJECT, "\x2b\x06\x01\x05\x05\x07\x30\x01\x01", 9);
        assert_true(CBB_add_asn1(&bytes, &content, CBS_ASN1_OCTETSTRING) &&
                    CBB_add_asn1(&content, &basic, CBS_ASN1_SEQUENCE));
        put_data(&data, fixture, profile);
        uint8_t *text = OPENSSL_memdup(CBB_data(&data), CBB_len(&data));
        if (profile->is_damaged)
            text[CBB_len(&data) - 1] ^= 1;
        assert_true(CBB_add_bytes(&basic, text, CBB_len(&data)));
        OPENSSL_free(text);
        put_signature(&basic, &data, (profile->signer ? profile->signer : &fixture->ca)->key,
                      profile->has_sha1 ? EVP_sha1() : EVP_sha256());
        if (profile->shown)
            put_certificate(&basic, profile->shown->certificate);
    }
    OPENSSL_free(fixture->bytes);
    assert_true(CBB_finish(&all, &fixture->bytes, &fixture->length));
    CBB_cleanup(&data);
}

static enum ocsp_status judge(const struct fixture *fixture)
{
    const struct ocsp_response response = { fixture->bytes, fixture->length };

    return ocsp_judge(&response, &(struct ocsp_question) { fixture->leaf.certificate, fixture->ca.certificate,
                                                           fixture->now, fixture->strength });
}

static void expect(struct fixture *fixture, const struct profile *profile, enum ocsp_status status)
{
    respond(fixture, profile);
    assert_int_equal(judge(fixture), status);
}

/* ---- tests ---- */

static void each_status_is_read(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(judge(fixture), OCSP_NONE);
    expect(fixture, &(struct profile) { .says = SAYS_GOOD }, OCSP_GOOD);
    expect(fixture, &(struct profile) { .says = SAYS_REVOKED }, OCSP_REVOKED);
    expect(fixture, &(struct profile) { .says = SAYS_UNKNOWN }, OCSP_UNKNOWN);
    expect(fixture, &(struct profile) { .says = SAYS_NONSENSE }, OCSP_INVALID);
    expect(fixture, &(struct profile) { .is_error = 1 }, OCSP_INVALID);
    expect(fixture, &(struct profile) { .has_other_first = 1 }, OCSP_GOOD);
    expect(fixture, &(struct profile) { .digest = EVP_sha256() }, OCSP_GOOD);
}

static void the_times_are_compared(void **state)
{
    struct fixture *fixture = *state;
    int64_t now = fixture->now;

    expect(fixture, &(struct profile) { .this_update = now, .next_update = now }, OCSP_GOOD);
    expect(fixture, &(struct profile) { .this_update = now - 2, .next_update = now - 1 }, OCSP_STALE);
    expect(fixture, &(struct profile) { .this_update = now + 1, .next_update = now + 2 }, OCSP_EARLY);
    expect(fixture, &(struct profile) { .this_update = now - OCSP_AGE_MAX_SECONDS }, OCSP_GOOD);
    expect(fixture, &(struct profile) { .this_update = now - OCSP_AGE_MAX_SECONDS - 1 }, OCSP_STALE);
    expect(fixture, &(struct profile) { .says = SAYS_REVOKED, .this_update = 1, .next_update = 2 },
           OCSP_REVOKED);
}

static void a_response_about_another_certificate_is_invalid(void **state)
{
    struct fixture *fixture = *state;
    struct pki_pair twin = pki_issue_ca("our CA"), stranger = pki_issue_ca("another CA");

    expect(fixture, &(struct profile) { .about = &fixture->other }, OCSP_INVALID);
    expect(fixture, &(struct profile) { .issuer = &twin }, OCSP_INVALID);
    expect(fixture, &(struct profile) { .issuer = &stranger }, OCSP_INVALID);
    pki_pair_free(&twin);
    pki_pair_free(&stranger);
}

static struct pki_profile responder_profile(const char *usage)
{
    return (struct pki_profile) { .subject = { { NID_commonName, "responder", 0 } },
                                  .extended_key_usage = usage };
}

static void the_issuer_or_its_responder_signs(void **state)
{
    struct fixture *fixture = *state;
    struct pki_profile good = responder_profile("OCSPSigning"), old = good,
                       wrong = responder_profile("clientAuth"), none = responder_profile(NULL);
    old.not_before = PKI_YEAR_2000;
    old.not_after = PKI_YEAR_2000 + HOUR;
    struct pki_pair twin = pki_issue_ca("our CA");
    struct pki_pair responders[] = { pki_issue(&good, &fixture->ca), pki_issue(&good, &twin),
                                     pki_issue(&old, &fixture->ca),  pki_issue(&wrong, &fixture->ca),
                                     pki_issue(&none, &fixture->ca), pki_issue(&good, NULL) };

    for (size_t i = 0; i < sizeof responders / sizeof responders[0]; i++) {
        const struct profile shown = { .signer = &responders[i], .shown = &responders[i] };
        expect(fixture, &shown, i == 0 ? OCSP_GOOD : OCSP_INVALID);
        expect(fixture, &(struct profile) { .signer = &responders[i] }, OCSP_INVALID);
        expect(fixture, &(struct profile) { .signer = &responders[i], .shown = &fixture->ca }, OCSP_INVALID);
        pki_pair_free(&responders[i]);
    }
    expect(fixture, &(struct profile) { .signer = &twin, .shown = &twin }, OCSP_INVALID);
    expect(fixture, &(struct profile) { .shown = &fixture->other }, OCSP_GOOD);
    pki_pair_free(&twin);
}

static void the_response_names_its_signer(void **state)
{
    struct fixture *fixture = *state;
    const struct pki_profile profile = responder_profile("OCSPSigning");
    struct pki_pair responder = pki_issue(&profile, &fixture->ca);

    for (int kind = NAMED_BY_KEY; kind <= NAMED_NOT; kind++) {
        enum ocsp_status expected = kind <= NAMED_BY_SUBJECT ? OCSP_GOOD : OCSP_INVALID;
        expect(fixture, &(struct profile) { .responder = kind }, expected);
        expect(fixture, &(struct profile) { .responder = kind, .signer = &responder, .shown = &responder },
               expected);
    }
    pki_pair_free(&responder);
}

static void a_weak_signature_proves_nothing(void **state)
{
    struct fixture *fixture = *state;

    expect(fixture, &(struct profile) { .has_sha1 = 1 }, OCSP_WEAK);
    expect(fixture, &(struct profile) { .says = SAYS_REVOKED, .has_sha1 = 1 }, OCSP_REVOKED);
    fixture->strength = STRENGTH_NOT_DEMANDED;
    expect(fixture, &(struct profile) { .has_sha1 = 1 }, OCSP_GOOD);
}

/* `value`: of the TLS feature extension. */
static void expect_demand(bool demands, const void *value, size_t length)
{
    const struct pki_profile profile = { .subject = { { NID_commonName, "leaf", 0 } } };
    struct pki_pair pair = pki_issue(&profile, NULL);
    ASN1_OBJECT *id = OBJ_txt2obj("1.3.6.1.5.5.7.1.24", 1);
    ASN1_OCTET_STRING *content = ASN1_OCTET_STRING_new();

    assert_false(ocsp_is_demanded(pair.certificate));
    assert_true(ASN1_OCTET_STRING_set(content, value, (int)length));
    X509_EXTENSION *extension = X509_EXTENSION_create_by_OBJ(NULL, id, 0, content);
    assert_true(X509_add_ext(pair.certificate, extension, -1));
    assert_int_equal(ocsp_is_demanded(pair.certificate), demands);
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(content);
    ASN1_OBJECT_free(id);
    pki_pair_free(&pair);
}

static void a_certificate_demands_a_response(void **state)
{
    (void)state;
    expect_demand(true, "\x30\x03\x02\x01\x05", 5);
    expect_demand(true, "\x30\x06\x02\x01\x11\x02\x01\x05", 8);
    expect_demand(false, "\x30\x03\x02\x01\x11", 5);
    expect_demand(false, "\x30\x00", 2);
    expect_demand(true, "", 0); /* what cannot be read may be a demand */
    expect_demand(true, "\x30\x03\x04\x01\x05", 5);
}

static void a_damaged_response_is_invalid(void **state)
{
    struct fixture *fixture = *state;

    expect(fixture, &(struct profile) { .is_damaged = 1 }, OCSP_INVALID);
    expect(fixture, &(struct profile) { .says = SAYS_REVOKED, .is_damaged = 1 }, OCSP_INVALID);
    expect(fixture, &(struct profile) { .has_critical_extension = 1 }, OCSP_INVALID);
    respond(fixture, &(struct profile) { .says = SAYS_GOOD });
    size_t whole = fixture->length;
    for (size_t length = 1; length < whole; length++) {
        fixture->length = length;
        assert_int_equal(judge(fixture), OCSP_INVALID);
    }
    fixture->length = whole;
    for (size_t at = 0; at < whole; at++) {
        fixture->bytes[at] ^= 0x10;
        enum ocsp_status status = judge(fixture);
        fixture->bytes[at] ^= 0x10;
        assert_true(status == OCSP_INVALID);
    }
    assert_int_equal(judge(fixture), OCSP_GOOD);
}

static void each_status_has_a_phrase(void **state)
{
    (void)state;
    for (enum ocsp_status status = OCSP_NONE; status <= OCSP_INVALID; status++)
        assert_true(ocsp_status_phrase(status)[0] != '\0');
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_status_is_read),
        TEST(the_times_are_compared),
        TEST(a_response_about_another_certificate_is_invalid),
        TEST(the_issuer_or_its_responder_signs),
        TEST(the_response_names_its_signer),
        TEST(a_weak_signature_proves_nothing),
        TEST(a_certificate_demands_a_response),
        TEST(a_damaged_response_is_invalid),
        TEST(each_status_has_a_phrase),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
