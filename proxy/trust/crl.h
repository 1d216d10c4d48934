/* One certificate revocation list (CRL, RFC 5280, 5): who issued it, when, and which serial numbers it names.
 *
 * Owns its bytes, and finds a serial number in the time that a search in a sorted list takes. Knows nothing
 * of files and of other lists. After crl_decode a list does not change: several threads may ask at once. */
#ifndef HUSK_TRUST_CRL_H
#define HUSK_TRUST_CRL_H

#include "base/fault.h"
#include "trust/certificate.h"
#include "trust/signed_der.h"

#include <openssl/base.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* For which certificates of the issuer a list speaks (RFC 5280, 5.2.5). All zeros: for all. */
struct crl_scope {
    CBS extension; /* issuingDistributionPoint: lists of one scope have the same bytes here */
    CBS point;     /* GeneralNames: certificates that name one of them; empty: no restriction */
    bool is_for_users, is_for_cas;
    bool is_partial; /* for some reasons, for attribute certificates, or for a point that husk cannot compare
                      */
};

/* A key of which is known whether it has signed the list: verifying takes long for a long list. */
struct crl_key {
    atomic_uint state; /* CRL_KEY_… in crl.c */
    uint8_t digest[CERTIFICATE_DIGEST_BYTES];
};

struct crl {
    uint8_t *bytes; /* owned: the list in DER */
    struct signed_der document;
    X509_NAME *issuer; /* owned */
    CBS issuer_key_id; /* authorityKeyIdentifier; empty: not given */
    CBS number;        /* cRLNumber, the content of an INTEGER; empty: not given */
    int64_t this_update;
    int64_t next_update; /* 0: the list does not say */
    struct crl_scope scope;
    size_t count;
    uint32_t *serials;               /* owned: where the serial numbers are in `bytes`, ascending */
    struct crl_key signer, stranger; /* the first key that has signed the list; the first that has not */
};

/* Decodes the list at the front of `from` and copies its bytes. Refuses what cannot be applied: a delta list,
 * an indirect list, an unknown critical extension (RFC 5280, 5.2); the fault says what is wrong and what to
 * do. The list must not move in memory when it is in use. Free with crl_deinit, also after a failure. */
MUST_CHECK bool crl_decode(struct crl *list, CBS *from, struct fault *fault);
/* Safe on all zeros. */
void crl_deinit(struct crl *list);

/* Whether `issuer` may have signed the list, by name and key identifier. Cheap. */
bool crl_fits_issuer(const struct crl *list, struct x509_st *issuer);
/* Whether the key of `issuer`, which fits, has signed the list. Verifies the signature at the first time, and
 * remembers the verdict. From any thread. */
bool crl_is_signed_by(struct crl *list, struct x509_st *issuer);

/* False: the two lists are known to have signatures of different keys. */
bool crl_have_same_signer(const struct crl *a, const struct crl *b);

/* Whether the list names the serial number of `certificate`. */
bool crl_names(const struct crl *list, struct x509_st *certificate);
/* Whether a certificate that the list does not name is not revoked: the list speaks for it. */
bool crl_covers(const struct crl *list, struct x509_st *certificate);

/* Orders lists: by issuer, by scope, and then the newest first: the latest thisUpdate, then the highest
 * number. */
int crl_compare(const struct crl *a, const struct crl *b);
bool crl_is_of_same_scope(const struct crl *a, const struct crl *b);

#endif
