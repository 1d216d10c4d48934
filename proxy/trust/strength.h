/* Says whether the cryptography of a certificate, or of another signed document, can be trusted.
 *
 * Strong are signatures with SHA-2 (RSA, RSA-PSS, ECDSA) and Ed25519; RSA keys of at least 2048 bits; keys on
 * P-256, P-384 and P-521; Ed25519 keys (NIST SP 800-57 part 1, 5.6.1; CA/Browser Forum baseline requirements,
 * 6.1.5). Owns nothing. */
#ifndef HUSK_TRUST_STRENGTH_H
#define HUSK_TRUST_STRENGTH_H

#include <stdbool.h>

struct X509_algor_st;
struct x509_st;

/* What is done with a signature that is weak. */
enum strength_policy { STRENGTH_DEMANDED, STRENGTH_NOT_DEMANDED };

enum { STRENGTH_RSA_BITS_MIN = 2048, STRENGTH_FLAW_BYTES = 64 };

/* False: the key is weak, and `flaw` says why. The text follows the name of the certificate: "has an RSA key
 * of 1024 bits". */
bool strength_check_key(struct x509_st *certificate, char flaw[STRENGTH_FLAW_BYTES]);

/* The same for an algorithm of signatures: "is signed with RSA-SHA1". */
bool strength_check_algorithm(const struct X509_algor_st *algorithm, char flaw[STRENGTH_FLAW_BYTES]);

/* The same for the signature of the issuer. */
bool strength_check_signature(struct x509_st *certificate, char flaw[STRENGTH_FLAW_BYTES]);

/* Both checks: the signature first. */
bool strength_check(struct x509_st *certificate, char flaw[STRENGTH_FLAW_BYTES]);

#endif
