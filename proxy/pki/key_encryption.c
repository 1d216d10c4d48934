#include "pki/key_encryption.h"

#include <openssl/bio.h>
#include <openssl/bytestring.h>
#include <openssl/cipher.h>
#include <openssl/digest.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

enum { SALT_BYTES = 16, KEY_BYTES = 32, IV_BYTES = 16 };

/* The contents of the OBJECT IDENTIFIERs of RFC 8018, appendix A and B. */
static const uint8_t oid_pbes2[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d };
static const uint8_t oid_pbkdf2[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c };
static const uint8_t oid_hmac_sha256[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x09 };
static const uint8_t oid_aes_256_cbc[] = { 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a };

struct cipher_facts {
    uint8_t salt[SALT_BYTES], iv[IV_BYTES];
    unsigned iterations;
};

/* Opens a SEQUENCE that begins with an OBJECT IDENTIFIER. */
static bool algorithm_begin(CBB *parent, CBB *algorithm, const uint8_t *oid, size_t length)
{
    CBB id;

    return CBB_add_asn1(parent, algorithm, CBS_ASN1_SEQUENCE) &&
           CBB_add_asn1(algorithm, &id, CBS_ASN1_OBJECT) && CBB_add_bytes(&id, oid, length) &&
           CBB_flush(algorithm);
}

/* AlgorithmIdentifier of PBES2 (RFC 8018, A.4). */
static bool algorithm_add(CBB *info, const struct cipher_facts *facts)
{
    CBB pbes2, parameters, pbkdf2, derivation, prf, null, cipher;

    return algorithm_begin(info, &pbes2, oid_pbes2, sizeof oid_pbes2) &&
           CBB_add_asn1(&pbes2, &parameters, CBS_ASN1_SEQUENCE) &&
           algorithm_begin(&parameters, &pbkdf2, oid_pbkdf2, sizeof oid_pbkdf2) &&
           CBB_add_asn1(&pbkdf2, &derivation, CBS_ASN1_SEQUENCE) &&
           CBB_add_asn1_octet_string(&derivation, facts->salt, SALT_BYTES) &&
           CBB_add_asn1_uint64(&derivation, facts->iterations) &&
           algorithm_begin(&derivation, &prf, oid_hmac_sha256, sizeof oid_hmac_sha256) &&
           CBB_add_asn1(&prf, &null, CBS_ASN1_NULL) && CBB_flush(&parameters) &&
           algorithm_begin(&parameters, &cipher, oid_aes_256_cbc, sizeof oid_aes_256_cbc) &&
           CBB_add_asn1_octet_string(&cipher, facts->iv, IV_BYTES) && CBB_flush(info);
}

static bool encrypt(CBB *to, const uint8_t *plain, size_t length, const uint8_t key[KEY_BYTES],
                    const uint8_t *iv)
{
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    uint8_t *out;
    int first = 0, rest = 0;
    bool is_done = cipher && EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key, iv) &&
                   CBB_reserve(to, &out, length + IV_BYTES) &&
                   EVP_EncryptUpdate(cipher, out, &first, plain, (int)length) &&
                   EVP_EncryptFinal_ex(cipher, out + first, &rest) &&
                   CBB_did_write(to, (size_t)first + (size_t)rest);

    EVP_CIPHER_CTX_free(cipher);
    return is_done;
}

/* EncryptedPrivateKeyInfo (RFC 5958, 3). */
static bool info_make(CBB *out, const uint8_t *plain, size_t length, const struct passphrase *passphrase,
                      unsigned iterations)
{
    struct cipher_facts facts = { .iterations = iterations };
    uint8_t key[KEY_BYTES];
    CBB info, bytes;

    RAND_bytes(facts.salt, sizeof facts.salt);
    RAND_bytes(facts.iv, sizeof facts.iv);
    bool is_made = PKCS5_PBKDF2_HMAC(passphrase->bytes, passphrase->length, facts.salt, sizeof facts.salt,
                                     iterations, EVP_sha256(), sizeof key, key) &&
                   CBB_add_asn1(out, &info, CBS_ASN1_SEQUENCE) && algorithm_add(&info, &facts) &&
                   CBB_add_asn1(&info, &bytes, CBS_ASN1_OCTETSTRING) &&
                   encrypt(&bytes, plain, length, key, facts.iv) && CBB_flush(out);
    OPENSSL_cleanse(key, sizeof key);
    return is_made;
}

/* BoringSSL wipes what OPENSSL_free frees. */
bool key_encryption_write(BIO *to, const EVP_PKEY *key, const struct passphrase *passphrase,
                          unsigned iterations)
{
    uint8_t *plain = NULL, *der = NULL;
    size_t length, der_length;
    CBB out;
    bool is_written = CBB_init(&out, 4096) && EVP_marshal_private_key(&out, key);

    is_written = is_written && CBB_finish(&out, &plain, &length);
    if (!is_written)
        CBB_cleanup(&out);
    if (is_written && !passphrase->given) {
        is_written = PEM_write_bio(to, "PRIVATE KEY", "", plain, (long)length);
    } else if (is_written) {
        is_written = CBB_init(&out, 4096) && info_make(&out, plain, length, passphrase, iterations);
        is_written = is_written && CBB_finish(&out, &der, &der_length);
        if (!is_written)
            CBB_cleanup(&out);
        is_written = is_written && PEM_write_bio(to, "ENCRYPTED PRIVATE KEY", "", der, (long)der_length);
    }
    OPENSSL_free(plain);
    OPENSSL_free(der);
    return is_written;
}
