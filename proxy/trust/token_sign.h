/* Makes a signature of TLS with a key in a token: from a digest to the bytes that a peer verifies.
 *
 * RSA by PKCS #1 v1.5 and by PSS (RFC 8017, 8.1 and 8.2), ECDSA as DER (RFC 3279, 2.2.3). */
#ifndef HUSK_TRUST_TOKEN_SIGN_H
#define HUSK_TRUST_TOKEN_SIGN_H

#include "trust/token.h"

struct evp_pkey_st;

enum { TOKEN_DIGEST_BYTES_MAX = 64 };

struct token_request {
    const struct evp_pkey_st *public_key; /* borrowed: of the certificate */
    uint16_t algorithm;                   /* a SignatureScheme (RFC 8446, 4.2.3) */
    uint8_t digest[TOKEN_DIGEST_BYTES_MAX];
    unsigned digest_length;
};

/* Sets algorithm and digest for `length` bytes to sign. False: husk does not sign by this algorithm, or out
 * of memory. */
MUST_CHECK bool token_request_set(struct token_request *request, uint16_t algorithm, const uint8_t *bytes,
                                  size_t length);

/* May block for as long as the token takes. */
MUST_CHECK bool token_sign(struct token *token, const struct token_session *session,
                           const struct token_request *request, struct token_output *output,
                           struct fault *fault);

#endif
