/* What a certificate says, as plain data for people: names, validity, usages, strength. Judges nothing.
 *
 * Owns nothing. Knows X.509; its users need not. */
#ifndef HUSK_TRUST_CERTIFICATE_FACTS_H
#define HUSK_TRUST_CERTIFICATE_FACTS_H

#include "trust/certificate.h"
#include "trust/strength.h"

#include <stdbool.h>
#include <stdint.h>

enum { CERTIFICATE_FACTS_TEXT_BYTES = 256 };

/* All texts are terminated, and cut to their size. */
struct certificate_facts {
    char name[CERTIFICATE_NAME_BYTES];            /* certificate_describe */
    char issuer[CERTIFICATE_NAME_BYTES];          /* certificate_describe_issuer */
    int64_t not_before, not_after;                /* seconds since the epoch */
    char cn[CERTIFICATE_FACTS_TEXT_BYTES];        /* empty: there is none */
    char names[CERTIFICATE_FACTS_TEXT_BYTES];     /* DNS names and IP addresses of the subjectAltName */
    char all_names[CERTIFICATE_FACTS_TEXT_BYTES]; /* identity_list_names */
    char usages[CERTIFICATE_FACTS_TEXT_BYTES];    /* "digitalSignature; serverAuth"; empty: any usage */
    char flaw[STRENGTH_FLAW_BYTES];               /* empty: strong (trust/strength.h) */
    bool has_alternatives;                        /* there is a subjectAltName */
    bool is_ca, is_self_issued;
    bool fits_client, fits_server; /* its usages permit a TLS client, a TLS server */
    bool demands_staple;           /* of a server: an OCSP response (RFC 7633) */
    bool may_sign;                 /* the key usage permits digital signatures, which TLS 1.3 needs */
};

void certificate_facts_of(struct x509_st *certificate, struct certificate_facts *facts);

#endif
