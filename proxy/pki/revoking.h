/* Revokes certificates, and makes revocation lists (RFC 5280, 5). */
#ifndef HUSK_PKI_REVOKING_H
#define HUSK_PKI_REVOKING_H

#include "pki/signer.h"

/* Reasons as `openssl ca` and RFC 5280, 5.3.1 name them; NULL-terminated. */
extern const char *const revoking_reasons[];

/* Enters into the journal that a certificate is revoked. `which`: a name of the PKI, the serial number in
 * hexadecimal, or a file. A certificate is entered into the journal of the CA that has signed it. `reason`:
 * an index of revoking_reasons. *was_revoked: the journal had it as revoked before. Locks the store. */
MUST_CHECK bool revoking_run(struct store *store, const char *which, unsigned reason, bool *was_revoked,
                             struct fault *fault);

/* Writes the revocation list of the CA. `days`: until the next list is due. Locks the store. */
MUST_CHECK bool revoking_make_list(struct store *store, const struct signer *signer, unsigned days,
                                   struct fault *fault);

#endif
