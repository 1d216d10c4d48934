/* The frame that certificates, revocation lists and OCSP responses share (RFC 5280, 4.1.1): the signed part,
 * the algorithm, and the signature. Pure. */
#ifndef HUSK_TRUST_SIGNED_DER_H
#define HUSK_TRUST_SIGNED_DER_H

#include "trust/strength.h"

#include <openssl/bytestring.h>
#include <stdbool.h>
#include <stdint.h>

struct x509_st;

/* Borrows from the bytes that were read. The parts have their tags and lengths. */
struct signed_der {
    CBS part;      /* what is signed: a SEQUENCE */
    CBS algorithm; /* AlgorithmIdentifier */
    CBS signature; /* BIT STRING */
};

/* Reads the frame from the front of `from`, which is the content of the outer SEQUENCE. */
bool signed_der_read(CBS *from, struct signed_der *to);

/* Whether the key of `signer` has made the signature. */
bool signed_der_verify(const struct signed_der *document, struct x509_st *signer);

/* False: the algorithm of the signature is weak, and `flaw` says why (trust/strength.h). */
bool signed_der_check_strength(const struct signed_der *document, char flaw[STRENGTH_FLAW_BYTES]);

/* Reads a UTCTime or a GeneralizedTime from the front of `from`, in seconds since the epoch. */
bool signed_der_read_time(CBS *from, int64_t *seconds);

#endif
