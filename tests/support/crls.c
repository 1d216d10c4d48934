#include "support/crls.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/obj.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { ONE_DAY = 86400, RANDOM_SERIAL_BYTES = 16 };

static void extension_put(X509_CRL *list, int nid, int is_critical, const uint8_t *der, size_t length)
{
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();

    assert_true(ASN1_OCTET_STRING_set(value, der, (int)length));
    X509_EXTENSION *extension = X509_EXTENSION_create_by_NID(NULL, nid, is_critical, value);
    assert_true(extension && X509_CRL_add_ext(list, extension, -1));
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
}

static X509_EXTENSION *unknown_extension(const char *oid)
{
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();

    assert_true(object && ASN1_OCTET_STRING_set(value, (const uint8_t *)"\x05\x00", 2));
    X509_EXTENSION *extension = X509_EXTENSION_create_by_OBJ(NULL, object, 1, value);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(object);
    return extension;
}

static void extensions_put(X509_CRL *list, const struct crls_profile *profile, const struct pki_pair *issuer)
{
    ASN1_INTEGER *number = ASN1_INTEGER_new();

    assert_true(ASN1_INTEGER_set(number, profile->number));
    if (profile->number)
        assert_true(X509_CRL_add1_ext_i2d(list, NID_crl_number, number, 0, 0));
    if (profile->is_delta)
        assert_true(X509_CRL_add1_ext_i2d(list, NID_delta_crl, number, 1, 0));
    if (profile->scope_length)
        extension_put(list, NID_issuing_distribution_point, 1, profile->scope, profile->scope_length);
    if (profile->has_issuer_key) {
        const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(issuer->certificate);
        uint8_t der[64] = { 0x30, (uint8_t)(ASN1_STRING_length(id) + 2), 0x80,
                            (uint8_t)ASN1_STRING_length(id) };
        memcpy(der + 4, ASN1_STRING_get0_data(id), (size_t)ASN1_STRING_length(id));
        extension_put(list, NID_authority_key_identifier, 0, der, (size_t)ASN1_STRING_length(id) + 4);
    }
    if (profile->critical) {
        X509_EXTENSION *extension = unknown_extension(profile->critical);
        assert_true(X509_CRL_add_ext(list, extension, -1));
        X509_EXTENSION_free(extension);
    }
    ASN1_INTEGER_free(number);
}

static X509_REVOKED *entry_add(X509_CRL *list, ASN1_INTEGER *serial, ASN1_TIME *date)
{
    X509_REVOKED *entry = X509_REVOKED_new();

    assert_true(X509_REVOKED_set_serialNumber(entry, serial) &&
                X509_REVOKED_set_revocationDate(entry, date) && X509_CRL_add0_revoked(list, entry));
    return entry;
}

static void entries_put(X509_CRL *list, const struct crls_profile *profile, ASN1_TIME *date)
{
    for (size_t i = 0; i < CRLS_SERIALS_MAX && profile->revoked[i]; i++) {
        X509_REVOKED *entry = entry_add(list, X509_get_serialNumber(profile->revoked[i]), date);
        if (i == 0 && profile->entry_critical) {
            X509_EXTENSION *extension = unknown_extension(profile->entry_critical);
            assert_true(X509_REVOKED_add_ext(entry, extension, -1));
            X509_EXTENSION_free(extension);
        }
    }
    for (size_t i = 0; i < profile->random_entries; i++) {
        uint8_t bytes[RANDOM_SERIAL_BYTES];
        ASN1_INTEGER *serial = ASN1_INTEGER_new();
        RAND_bytes(bytes, sizeof bytes);
        bytes[0] |= 1;
        assert_true(ASN1_STRING_set(serial, bytes, sizeof bytes));
        entry_add(list, serial, date);
        ASN1_INTEGER_free(serial);
    }
}

X509_CRL *crls_make(const struct crls_profile *profile, const struct pki_pair *signer,
                    const struct pki_pair *issuer)
{
    bool has_times = profile->this_update || profile->next_update;
    int64_t from = has_times ? profile->this_update : time(NULL) - ONE_DAY,
            until = has_times ? profile->next_update : time(NULL) + ONE_DAY;
    ASN1_TIME *this_update = ASN1_TIME_set(NULL, from), *next_update = ASN1_TIME_set(NULL, until);
    X509_CRL *list = X509_CRL_new();

    issuer = issuer ? issuer : signer;
    assert_true(X509_CRL_set_version(list, X509_CRL_VERSION_2) &&
                X509_CRL_set_issuer_name(list, X509_get_subject_name(issuer->certificate)) &&
                X509_CRL_set1_lastUpdate(list, this_update) &&
                (!until || X509_CRL_set1_nextUpdate(list, next_update)));
    entries_put(list, profile, this_update);
    extensions_put(list, profile, issuer);
    assert_true(X509_CRL_sign(list, signer->key, profile->has_sha1 ? EVP_sha1() : EVP_sha256()));
    ASN1_TIME_free(next_update);
    ASN1_TIME_free(this_update);
    return list;
}

size_t crls_der(const struct crls_profile *profile, const struct pki_pair *signer, uint8_t **der)
{
    X509_CRL *list = crls_make(profile, signer, NULL);

    *der = NULL;
    int length = i2d_X509_CRL(list, der);
    assert_true(length > 0);
    X509_CRL_free(list);
    return (size_t)length;
}

const char *crls_append(const char *directory, const char *name, const struct crls_profile *profile,
                        const struct pki_pair *signer, char path[PKI_PATH_BYTES])
{
    X509_CRL *list = crls_make(profile, signer, NULL);

    snprintf(path, PKI_PATH_BYTES, "%s/%s", directory, name);
    BIO *file = BIO_new_file(path, "a");
    assert_true(file && PEM_write_bio_X509_CRL(file, list));
    BIO_free(file);
    X509_CRL_free(list);
    return path;
}
