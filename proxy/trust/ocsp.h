/* What an OCSP response (RFC 6960) says about a certificate. A server sends such a response beside its
 * certificate (RFC 6066, 8: a staple). Pure: bytes in, verdict out. */
#ifndef HUSK_TRUST_OCSP_H
#define HUSK_TRUST_OCSP_H

#include "trust/strength.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct x509_st;

enum {
    OCSP_AGE_MAX_SECONDS = 24 * 3600, /* of a response that does not say when a newer one is due */
    OCSP_CERTIFICATES_MAX = 8,        /* of a response that are tried as its signer */
};

enum ocsp_status {
    OCSP_NONE,    /* there is no response */
    OCSP_GOOD,    /* the certificate is not revoked */
    OCSP_REVOKED, /* the age of the response does not matter */
    OCSP_UNKNOWN, /* the responder does not know the certificate */
    OCSP_STALE,   /* the time of the next update is over */
    OCSP_EARLY,   /* the response is not valid yet */
    OCSP_WEAK,    /* the signature can be forged (trust/strength.h) */
    OCSP_INVALID, /* not a response about this certificate that its issuer, or a responder of the issuer, has
                     signed */
};

struct ocsp_response {
    const uint8_t *bytes; /* borrowed: the OCSPResponse in DER; NULL: there is none */
    size_t length;
};

/* What is asked. */
struct ocsp_question {
    struct x509_st *certificate, *issuer; /* borrowed: the issuer has issued the certificate */
    int64_t now;                          /* seconds since the epoch */
    enum strength_policy strength;        /* of the signatures of the response and of its signer */
};

/* What the response says. The signer is the issuer, or a certificate of the response that the issuer has
 * issued for OCSPSigning and that is valid now. The response names its signer (responderID). A nonce is not
 * asked for. */
enum ocsp_status ocsp_judge(const struct ocsp_response *response, const struct ocsp_question *question);

/* Whether the certificate demands a response: a TLS feature extension (RFC 7633) with status_request, or one
 * that cannot be read. */
bool ocsp_is_demanded(const struct x509_st *certificate);

/* "is stale", "is damaged …": for a text that begins with the response. */
const char *ocsp_status_phrase(enum ocsp_status status);

#endif
