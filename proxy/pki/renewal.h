/* Renews certificates: when it is time, and a new certificate for the same subject, names and use. */
#ifndef HUSK_PKI_RENEWAL_H
#define HUSK_PKI_RENEWAL_H

#include "pki/key_store.h"
#include "pki/signer.h"

#include <stdint.h>

/* All pointers are borrowed. */
struct renewal_order {
    const char *name;                 /* of the files */
    unsigned days;                    /* 0: as long as the old certificate */
    bool keeps_key;                   /* the public key stays */
    struct key_protection protection; /* of a new key */
};

/* Replaces the certificate and, unless the key is kept, the key and the request of a name. Locks the store.
 * Fails for a certificate that was revoked, if its key is to be kept. An interruption leaves the old files or
 * the new ones (pki/pair.h). */
MUST_CHECK bool renewal_run(struct store *store, const struct signer *signer,
                            const struct renewal_order *order, struct fault *fault);

/* Whether it is time to renew: fewer than `left_days` are left, or with 0 less than a third of the life. All
 * times in seconds since the epoch. */
bool renewal_is_due(int64_t not_before, int64_t not_after, unsigned left_days, int64_t now);

#endif
