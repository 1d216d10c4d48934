/* proxy/trust/strength.c: which keys and signatures are weak. */
#include "support/pki.h"
#include "trust/strength.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <openssl/digest.h>
#include <openssl/nid.h>
#include <openssl/rsa.h>

/* `flaw` NULL: the key is strong. Takes `key`. */
static void check_key(EVP_PKEY *key, const char *flaw)
{
    struct pki_pair ca = pki_issue_ca("CA"), pair = pki_issue_for(key, &(struct pki_profile) { 0 }, &ca);
    char found[STRENGTH_FLAW_BYTES];

    assert_int_equal(strength_check_key(pair.certificate, found), flaw == NULL);
    if (flaw)
        assert_string_equal(found, flaw);
    pki_pair_free(&pair);
    pki_pair_free(&ca);
}

static void test_keys(void **state)
{
    static const uint8_t seed[32] = { 7 };

    (void)state;
    check_key(pki_rsa_key_new(2048), NULL);
    check_key(pki_rsa_key_new(3072), NULL);
    check_key(pki_rsa_key_new(1024), "has an RSA key of 1024 bits");
    check_key(pki_rsa_key_new(1920), "has an RSA key of 1920 bits");
    check_key(pki_ec_key_new(NID_X9_62_prime256v1), NULL);
    check_key(pki_ec_key_new(NID_secp384r1), NULL);
    check_key(pki_ec_key_new(NID_secp521r1), NULL);
    check_key(pki_ec_key_new(NID_secp224r1), "has a key on the curve secp224r1");
    check_key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof seed), NULL);
}

static void check_signature(const struct pki_pair *signer, const EVP_MD *digest, const char *flaw)
{
    struct pki_pair pair = pki_issue(&(struct pki_profile) { .digest = digest }, signer);
    char found[STRENGTH_FLAW_BYTES];

    assert_int_equal(strength_check_signature(pair.certificate, found), flaw == NULL);
    if (flaw)
        assert_string_equal(found, flaw);
    pki_pair_free(&pair);
}

static void test_signatures(void **state)
{
    struct pki_profile ca = { .is_ca = 1 };
    struct pki_pair rsa = pki_issue_for(pki_rsa_key_new(2048), &ca, NULL), ec = pki_issue_ca("EC");

    (void)state;
    check_signature(&rsa, EVP_md5(), "is signed with RSA-MD5");
    check_signature(&rsa, EVP_sha1(), "is signed with RSA-SHA1");
    check_signature(&rsa, EVP_sha256(), NULL);
    check_signature(&rsa, EVP_sha384(), NULL);
    check_signature(&rsa, EVP_sha512(), NULL);
    check_signature(&ec, EVP_sha1(), "is signed with ecdsa-with-SHA1");
    check_signature(&ec, EVP_sha256(), NULL);
    check_signature(&ec, EVP_sha384(), NULL);
    check_signature(&ec, EVP_sha512(), NULL);
    pki_pair_free(&rsa);
    pki_pair_free(&ec);
}

/* The algorithm field alone is read: the signature itself need not be right. */
static void check_pss(const uint8_t *parameters, size_t length, const char *flaw)
{
    struct pki_pair pair = pki_issue(&(struct pki_profile) { 0 }, NULL);
    X509_ALGOR *algorithm = X509_ALGOR_new();
    ASN1_STRING *sequence = NULL;
    char found[STRENGTH_FLAW_BYTES];

    if (parameters) {
        sequence = ASN1_STRING_type_new(V_ASN1_SEQUENCE);
        assert_true(ASN1_STRING_set(sequence, parameters, (int)length));
    }
    assert_true(X509_ALGOR_set0(algorithm, OBJ_nid2obj(NID_rsassaPss),
                                sequence ? V_ASN1_SEQUENCE : V_ASN1_UNDEF, sequence));
    assert_true(X509_set1_signature_algo(pair.certificate, algorithm));
    assert_int_equal(strength_check_signature(pair.certificate, found), flaw == NULL);
    if (flaw)
        assert_string_equal(found, flaw);
    X509_ALGOR_free(algorithm);
    pki_pair_free(&pair);
}

/* RFC 4055, 3.1. */
static void test_the_hash_of_rsa_pss(void **state)
{
    static const uint8_t sha256[] = { 0x30, 0x0f, 0xa0, 0x0d, 0x30, 0x0b, 0x06, 0x09, 0x60,
                                      0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01 };
    static const uint8_t sha1[] = { 0x30, 0x0b, 0xa0, 0x09, 0x30, 0x07, 0x06,
                                    0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a };
    static const uint8_t unknown[] = { 0x30, 0x08, 0xa0, 0x06, 0x30, 0x04, 0x06, 0x02, 0x2a, 0x03 };
    static const uint8_t no_hash[] = { 0x30, 0x00 };
    static const uint8_t broken[] = { 0x30, 0x04, 0xa0, 0x09, 0x30, 0x07 };

    (void)state;
    check_pss(sha256, sizeof sha256, NULL);
    check_pss(sha1, sizeof sha1, "is signed with RSA-PSS and SHA-1");
    check_pss(no_hash, sizeof no_hash, "is signed with RSA-PSS and SHA-1");
    check_pss(NULL, 0, "is signed with RSA-PSS and SHA-1");
    check_pss(broken, sizeof broken, "is signed with RSA-PSS and SHA-1");
    check_pss(unknown, sizeof unknown, "is signed with RSA-PSS and an unknown hash");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_signatures),
        cmocka_unit_test(test_the_hash_of_rsa_pss),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
