/* Makes and signs certificates as a profile prescribes. */
#ifndef HUSK_PKI_CERTIFICATE_MAKER_H
#define HUSK_PKI_CERTIFICATE_MAKER_H

#include "base/fault.h"
#include "pki/profile.h"

struct X509_name_st;
struct asn1_string_st;
struct evp_pkey_st;
struct stack_st_GENERAL_NAME;
struct x509_st;

/* What the certificate says. All pointers are borrowed. */
struct certificate_order {
    const struct profile *profile;
    enum profile_use use;
    struct X509_name_st *subject;
    struct evp_pkey_st *public_key;
    const struct stack_st_GENERAL_NAME *names; /* NULL: no subjectAltName */
    const struct asn1_string_st *serial;       /* INTEGER */
    unsigned days;                             /* 0: as the profile says */
};

/* The caller frees the certificate. `issuer` NULL: the certificate is its own issuer. NULL and a fault on
 * failure; a weak key is a failure. */
MUST_CHECK struct x509_st *certificate_maker_make(const struct certificate_order *order,
                                                  struct x509_st *issuer, struct evp_pkey_st *issuer_key,
                                                  struct fault *fault);

/* Whether a certificate that is made now would end before its CA, where the CAs of the profile live longer.
 */
MUST_CHECK bool certificate_maker_check_end(const struct certificate_order *order, struct x509_st *issuer,
                                            struct fault *fault);

/* A positive number of 128 random bits (RFC 5280, 4.1.2.2). The caller frees it; NULL when out of memory. */
struct asn1_string_st *certificate_maker_random_serial(void);

#endif
