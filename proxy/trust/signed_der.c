#include "trust/signed_der.h"

#include "trust/certificate.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stddef.h>
#include <stdio.h>

enum { TIME_BYTES_MAX = 32 };

bool signed_der_read(CBS *from, struct signed_der *to)
{
    return CBS_get_asn1_element(from, &to->part, CBS_ASN1_SEQUENCE) &&
           CBS_get_asn1_element(from, &to->algorithm, CBS_ASN1_SEQUENCE) &&
           CBS_get_asn1_element(from, &to->signature, CBS_ASN1_BITSTRING);
}

/* ASN1_item_verify takes a decoded document. An ASN1_TYPE keeps the bytes of a SEQUENCE as they are. */
bool signed_der_verify(const struct signed_der *document, struct x509_st *signer)
{
    const uint8_t *part = CBS_data(&document->part), *algorithm = CBS_data(&document->algorithm),
                  *signature = CBS_data(&document->signature);
    ASN1_TYPE *text = d2i_ASN1_TYPE(NULL, &part, (long)CBS_len(&document->part));
    X509_ALGOR *how = d2i_X509_ALGOR(NULL, &algorithm, (long)CBS_len(&document->algorithm));
    ASN1_BIT_STRING *bits = d2i_ASN1_BIT_STRING(NULL, &signature, (long)CBS_len(&document->signature));
    EVP_PKEY *key = X509_get_pubkey(signer);
    bool is_signed =
        text && how && bits && key && ASN1_item_verify(ASN1_ITEM_rptr(ASN1_ANY), how, bits, text, key) == 1;

    EVP_PKEY_free(key);
    ASN1_BIT_STRING_free(bits);
    X509_ALGOR_free(how);
    ASN1_TYPE_free(text);
    ERR_clear_error();
    return is_signed;
}

bool signed_der_check_strength(const struct signed_der *document, char flaw[STRENGTH_FLAW_BYTES])
{
    const uint8_t *bytes = CBS_data(&document->algorithm);
    X509_ALGOR *algorithm = d2i_X509_ALGOR(NULL, &bytes, (long)CBS_len(&document->algorithm));
    bool is_strong = algorithm && strength_check_algorithm(algorithm, flaw);

    if (!algorithm)
        snprintf(flaw, STRENGTH_FLAW_BYTES, "is signed with an unknown algorithm");
    X509_ALGOR_free(algorithm);
    ERR_clear_error();
    return is_strong;
}

bool signed_der_read_time(CBS *from, int64_t *seconds)
{
    CBS element;
    unsigned tag;

    if (!CBS_get_any_asn1_element(from, &element, &tag, NULL) ||
        (tag != CBS_ASN1_UTCTIME && tag != CBS_ASN1_GENERALIZEDTIME) || CBS_len(&element) > TIME_BYTES_MAX)
        return false;
    const uint8_t *bytes = CBS_data(&element);
    ASN1_TIME *time = d2i_ASN1_TIME(NULL, &bytes, (long)CBS_len(&element));
    *seconds = time ? certificate_seconds_of(time, INT64_MIN) : INT64_MIN;
    ASN1_TIME_free(time);
    ERR_clear_error();
    return *seconds != INT64_MIN;
}
