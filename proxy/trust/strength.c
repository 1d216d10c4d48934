#include "trust/strength.h"

#include <openssl/asn1.h>
#include <openssl/bytestring.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/obj.h>
#include <openssl/x509.h>
#include <stdio.h>

/* ---- keys ---- */

static bool check_curve(const EVP_PKEY *key, char flaw[STRENGTH_FLAW_BYTES])
{
    int curve = EC_GROUP_get_curve_name(EC_KEY_get0_group(EVP_PKEY_get0_EC_KEY(key)));

    if (curve == NID_X9_62_prime256v1 || curve == NID_secp384r1 || curve == NID_secp521r1)
        return true;
    snprintf(flaw, STRENGTH_FLAW_BYTES, "has a key on the curve %s", OBJ_nid2sn(curve));
    return false;
}

bool strength_check_key(X509 *certificate, char flaw[STRENGTH_FLAW_BYTES])
{
    EVP_PKEY *key = X509_get_pubkey(certificate);
    int kind = key ? EVP_PKEY_id(key) : EVP_PKEY_NONE;
    bool is_strong = kind == EVP_PKEY_ED25519;

    if (kind == EVP_PKEY_RSA) {
        is_strong = EVP_PKEY_bits(key) >= STRENGTH_RSA_BITS_MIN;
        snprintf(flaw, STRENGTH_FLAW_BYTES, "has an RSA key of %d bits", EVP_PKEY_bits(key));
    } else if (kind == EVP_PKEY_EC) {
        is_strong = check_curve(key, flaw);
    } else {
        snprintf(flaw, STRENGTH_FLAW_BYTES, "has a key of a kind or curve that husk does not support");
    }
    EVP_PKEY_free(key);
    ERR_clear_error();
    return is_strong;
}

/* ---- signatures ---- */

/* The hash of RSASSA-PSS-params (RFC 4055, 3.1). If the field is absent, the hash is SHA-1. */
static int pss_hash(const X509_ALGOR *algorithm)
{
    const void *value;
    int type, has_hash;
    CBS parameters, sequence, field, hash, oid;

    X509_ALGOR_get0(NULL, &type, &value, algorithm);
    if (type != V_ASN1_SEQUENCE)
        return NID_sha1;
    CBS_init(&parameters, ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
    if (!CBS_get_asn1(&parameters, &sequence, CBS_ASN1_SEQUENCE) ||
        !CBS_get_optional_asn1(&sequence, &field, &has_hash,
                               CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | 0) ||
        !has_hash || !CBS_get_asn1(&field, &hash, CBS_ASN1_SEQUENCE) ||
        !CBS_get_asn1(&hash, &oid, CBS_ASN1_OBJECT))
        return NID_sha1;
    return OBJ_cbs2nid(&oid);
}

static bool is_sha2(int hash)
{
    return hash == NID_sha224 || hash == NID_sha256 || hash == NID_sha384 || hash == NID_sha512;
}

bool strength_check_algorithm(const X509_ALGOR *algorithm, char flaw[STRENGTH_FLAW_BYTES])
{
    static const int strong[] = {
        NID_sha224WithRSAEncryption, NID_sha256WithRSAEncryption, NID_sha384WithRSAEncryption,
        NID_sha512WithRSAEncryption, NID_ecdsa_with_SHA224,       NID_ecdsa_with_SHA256,
        NID_ecdsa_with_SHA384,       NID_ecdsa_with_SHA512,       NID_ED25519,
    };
    const ASN1_OBJECT *identifier;

    X509_ALGOR_get0(&identifier, NULL, NULL, algorithm);
    int kind = OBJ_obj2nid(identifier);
    const char *name = kind == NID_undef ? "an unknown algorithm" : OBJ_nid2sn(kind);

    for (size_t i = 0; i < sizeof strong / sizeof strong[0]; i++) {
        if (kind == strong[i])
            return true;
    }
    if (kind == NID_rsassaPss) {
        int hash = pss_hash(algorithm);
        if (is_sha2(hash))
            return true;
        name = hash == NID_sha1 ? "RSA-PSS and SHA-1" : "RSA-PSS and an unknown hash";
    }
    snprintf(flaw, STRENGTH_FLAW_BYTES, "is signed with %s", name);
    return false;
}

bool strength_check_signature(X509 *certificate, char flaw[STRENGTH_FLAW_BYTES])
{
    return strength_check_algorithm(X509_get0_tbs_sigalg(certificate), flaw);
}

bool strength_check(X509 *certificate, char flaw[STRENGTH_FLAW_BYTES])
{
    return strength_check_signature(certificate, flaw) && strength_check_key(certificate, flaw);
}
