#include "trust/token_sign.h"

#include <openssl/ssl.h>

bool token_request_set(struct token_request *request, uint16_t algorithm, const uint8_t *bytes, size_t length)
{
    const EVP_MD *digest = SSL_get_signature_algorithm_digest(algorithm);

    request->algorithm = algorithm;
    return digest && EVP_Digest(bytes, length, request->digest, &request->digest_length, digest, NULL);
}

#ifdef HUSK_PKCS11

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/rsa.h>
#include <p11-kit/pkcs11.h>
#include <string.h>

enum { PKCS1_PADDING_BYTES_MIN = 11 }; /* RFC 8017, 9.2 */

static bool make_failed(struct fault *fault)
{
    ERR_clear_error();
    fault_set(fault, "the signature of the token is not one of the certificate's kind of key");
    return false;
}

/* ---- RSA ---- */

/* The mechanisms that pad. */
static bool pss_by_token(struct token *token, const struct token_session *session,
                         const struct token_request *request, struct token_output *output,
                         struct fault *fault)
{
    int kind = EVP_MD_type(SSL_get_signature_algorithm_digest(request->algorithm));
    /* Hash, mask, and length of the salt (RFC 8446, 4.2.3). The fields have other names in later versions of
     * p11-kit. */
    CK_RSA_PKCS_PSS_PARAMS pss = {
        kind == NID_sha256   ? CKM_SHA256
        : kind == NID_sha384 ? CKM_SHA384
                             : CKM_SHA512,
        kind == NID_sha256   ? CKG_MGF1_SHA256
        : kind == NID_sha384 ? CKG_MGF1_SHA384
                             : CKG_MGF1_SHA512,
        request->digest_length,
    };
    struct token_input input = {
        .mechanism = CKM_RSA_PKCS_PSS,
        .parameter = &pss,
        .parameter_length = sizeof pss,
        .bytes = (uint8_t *)request->digest,
        .length = request->digest_length,
    };

    return token_session_sign(token, session, &input, output, fault);
}

/* Puts what is to be signed into `block`: a padded block of the length of the modulus, or for
 * CKM_RSA_PKCS the DigestInfo alone. */
static bool pss_pad(const RSA *rsa, const struct token_request *request, uint8_t *block)
{
    const EVP_MD *digest = SSL_get_signature_algorithm_digest(request->algorithm);

    return RSA_padding_add_PKCS1_PSS_mgf1(rsa, block, request->digest, digest, digest, -1);
}

static bool digest_info_make(const struct token_request *request, struct token_input *input)
{
    int kind = EVP_MD_type(SSL_get_signature_algorithm_digest(request->algorithm));
    uint8_t *made;
    int is_allocated;

    if (!RSA_add_pkcs1_prefix(&made, &input->length, &is_allocated, kind, request->digest,
                              request->digest_length))
        return false;
    memcpy(input->bytes, made, input->length);
    if (is_allocated)
        OPENSSL_free(made);
    return true;
}

/* RFC 8017, 9.2: 00 01 FF…FF 00 DigestInfo. */
static bool pkcs1_pad(struct token_input *input, size_t modulus_length)
{
    if (input->length + PKCS1_PADDING_BYTES_MIN > modulus_length)
        return false;
    uint8_t *info = input->bytes + modulus_length - input->length;
    memmove(info, input->bytes, input->length);
    memset(input->bytes, 0xff, modulus_length - input->length);
    input->bytes[0] = 0;
    input->bytes[1] = 1;
    info[-1] = 0;
    input->length = modulus_length;
    return true;
}

static bool rsa_sign(struct token *token, const struct token_session *session,
                     const struct token_request *request, struct token_output *output, struct fault *fault)
{
    uint8_t block[TOKEN_SIGNATURE_BYTES_MAX];
    struct token_input input = { .mechanism = CKM_RSA_X_509, .bytes = block };
    const RSA *rsa = EVP_PKEY_get0_RSA(request->public_key);
    size_t modulus_length = RSA_size(rsa);

    if (modulus_length > sizeof block)
        return make_failed(fault);
    if (SSL_is_signature_algorithm_rsa_pss(request->algorithm)) {
        if (session->pads_pss)
            return pss_by_token(token, session, request, output, fault);
        input.length = modulus_length;
        if (!pss_pad(rsa, request, block))
            return make_failed(fault);
    } else {
        if (session->pads_pkcs1)
            input.mechanism = CKM_RSA_PKCS;
        if (!digest_info_make(request, &input) ||
            (!session->pads_pkcs1 && !pkcs1_pad(&input, modulus_length)))
            return make_failed(fault);
    }
    return token_session_sign(token, session, &input, output, fault);
}

/* ---- ECDSA ---- */

/* PKCS#11 gives r and s in equal halves. */
static bool ecdsa_encode(struct token_output *output)
{
    ECDSA_SIG *signature = ECDSA_SIG_new();
    size_t half = output->length / 2, length = 0;
    BIGNUM *r = BN_bin2bn(output->bytes, half, NULL), *s = BN_bin2bn(output->bytes + half, half, NULL);
    uint8_t *der = NULL;

    bool is_taken = signature && r && s && ECDSA_SIG_set0(signature, r, s);
    if (!is_taken) {
        BN_free(r);
        BN_free(s);
    }
    bool is_good = is_taken && ECDSA_SIG_to_bytes(&der, &length, signature) && length <= sizeof output->bytes;
    if (is_good) {
        memcpy(output->bytes, der, length);
        output->length = length;
    }
    OPENSSL_free(der);
    ECDSA_SIG_free(signature);
    return is_good;
}

static bool ecdsa_sign(struct token *token, const struct token_session *session,
                       const struct token_request *request, struct token_output *output, struct fault *fault)
{
    struct token_input input = {
        .mechanism = CKM_ECDSA,
        .bytes = (uint8_t *)request->digest,
        .length = request->digest_length,
    };
    size_t order_length = ((size_t)EVP_PKEY_bits(request->public_key) + 7) / 8;

    if (input.length > order_length)
        input.length = order_length; /* FIPS 186-4, 6.4: the leftmost bits; some tokens do not cut */
    if (!token_session_sign(token, session, &input, output, fault))
        return false;
    return (output->length == 2 * order_length && ecdsa_encode(output)) || make_failed(fault);
}

bool token_sign(struct token *token, const struct token_session *session, const struct token_request *request,
                struct token_output *output, struct fault *fault)
{
    return EVP_PKEY_id(request->public_key) == EVP_PKEY_EC
               ? ecdsa_sign(token, session, request, output, fault)
               : rsa_sign(token, session, request, output, fault);
}

#endif
