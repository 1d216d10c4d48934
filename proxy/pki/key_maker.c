#include "pki/key_maker.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/obj.h>
#include <openssl/rsa.h>
#include <stdio.h>

static bool rsa_make(EVP_PKEY *key, int bits)
{
    RSA *rsa = RSA_new();
    BIGNUM *exponent = BN_new();
    bool is_made = rsa && exponent && BN_set_word(exponent, RSA_F4) &&
                   RSA_generate_key_ex(rsa, bits, exponent, NULL) && EVP_PKEY_set1_RSA(key, rsa);

    BN_free(exponent);
    RSA_free(rsa);
    return is_made;
}

static bool ec_make(EVP_PKEY *key)
{
    EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
    bool is_made = ec && EC_KEY_generate_key(ec) && EVP_PKEY_set1_EC_KEY(key, ec);

    EC_KEY_free(ec);
    return is_made;
}

EVP_PKEY *key_maker_make(const struct profile *profile)
{
    EVP_PKEY *key = EVP_PKEY_new();

    if (key && (profile->rsa_bits ? rsa_make(key, profile->rsa_bits) : ec_make(key)))
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

void key_maker_describe(const EVP_PKEY *key, char text[KEY_MAKER_TEXT_BYTES])
{
    const EC_KEY *ec = EVP_PKEY_id(key) == EVP_PKEY_EC ? EVP_PKEY_get0_EC_KEY(key) : NULL;
    const char *curve = ec ? EC_curve_nid2nist(EC_GROUP_get_curve_name(EC_KEY_get0_group(ec))) : NULL;

    if (EVP_PKEY_id(key) == EVP_PKEY_RSA)
        snprintf(text, KEY_MAKER_TEXT_BYTES, "RSA %d", EVP_PKEY_bits(key));
    else if (ec)
        snprintf(text, KEY_MAKER_TEXT_BYTES, "ECDSA %s", curve ? curve : "on an unknown curve");
    else
        snprintf(text, KEY_MAKER_TEXT_BYTES, "%s",
                 EVP_PKEY_id(key) == EVP_PKEY_ED25519 ? "Ed25519" : "of an unknown kind");
}
