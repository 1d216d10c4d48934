/* The trust bundles of a set of X.509-SVIDs: for each trust domain, the CAs that may have issued its SVIDs.
 *
 * Owns the CAs. Knows what makes a certificate an X.509-SVID; knows nothing of the Workload API. Does not
 * change after loading: several threads may ask at once. */
#ifndef HUSK_TRUST_SVID_BUNDLES_H
#define HUSK_TRUST_SVID_BUNDLES_H

#include "base/fault.h"
#include "trust/spiffe_id.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stack_st_X509;
struct svid_bundles;
struct x509_st;

/* No bundles. NULL when out of memory. */
struct svid_bundles *svid_bundles_new(void);
/* NULL is fine. */
void svid_bundles_free(struct svid_bundles *bundles);

/* Adds the bundle of a trust domain: CAs in DER, one behind the other, at least one. The bundle of a domain
 * that has one already is left out. The fault does not name the domain. */
MUST_CHECK bool svid_bundles_add(struct svid_bundles *bundles, const char *domain, const uint8_t *der,
                                 size_t length, struct fault *fault);

/* Our own trust domain: that of the bundle that was added first. Borrowed. */
const char *svid_bundles_own_domain(const struct svid_bundles *bundles);

/* The CAs of a trust domain; NULL: there are none. Borrowed. */
const struct stack_st_X509 *svid_bundles_find(const struct svid_bundles *bundles, const char *domain);

/* All CAs of all bundles. The caller frees the stack with its contents; NULL when out of memory. */
struct stack_st_X509 *svid_bundles_all(const struct svid_bundles *bundles);

/* Whether the certificate is a leaf X.509-SVID (X509-SVID, 5.2): exactly one URI, which is the SPIFFE ID of a
 * workload; no CA; not for signing certificates or revocation lists. Fills `id` with the SPIFFE ID, and
 * `domain` with its trust domain. False: the fault says what is wrong, and does not name the certificate. */
MUST_CHECK bool svid_bundles_read_leaf(struct x509_st *leaf, char id[SPIFFE_ID_BYTES],
                                       char domain[SPIFFE_DOMAIN_BYTES], struct fault *fault);

/* Certificates in DER, one behind the other, at least one. The caller frees the stack with its contents.
 * NULL: the fault says why. */
MUST_CHECK struct stack_st_X509 *svid_bundles_decode(const uint8_t *der, size_t length, struct fault *fault);

#endif
