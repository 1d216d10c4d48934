/* Renews a CA: a new certificate for its key, so that what the CA has signed stays valid. */
#ifndef HUSK_PKI_CA_RENEWAL_H
#define HUSK_PKI_CA_RENEWAL_H

#include "base/fault.h"
#include "pki/passphrase_source.h"
#include "pki/store.h"

/* Replaces the certificate of the CA `use`, which may have expired: same subject, same key, a new lifetime.
 * `days` 0: as the profile says. The root signs. Locks the store. */
MUST_CHECK bool ca_renewal_run(struct store *store, enum profile_use use, unsigned days,
                               const struct passphrase_source *passphrase, struct fault *fault);

#endif
