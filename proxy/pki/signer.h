/* A CA of a PKI: its certificate and its key.
 *
 * Owns both. */
#ifndef HUSK_PKI_SIGNER_H
#define HUSK_PKI_SIGNER_H

#include "base/fault.h"
#include "pki/passphrase_source.h"
#include "pki/store.h"

#include <stdbool.h>

struct evp_pkey_st;
struct x509_st;

struct signer {
    enum profile_use use;
    struct x509_st *certificate;
    struct evp_pkey_st *key;
};

/* Loads the CA `use` of the PKI and checks it: it is a CA, it is valid now, and the key belongs to it. Free
 * with signer_deinit, also after a failure. */
MUST_CHECK bool signer_init(struct signer *signer, const struct store *store, enum profile_use use,
                            const struct passphrase_source *source, struct fault *fault);

/* The same for a CA that has expired, too. */
MUST_CHECK bool signer_init_expired(struct signer *signer, const struct store *store, enum profile_use use,
                                    const struct passphrase_source *source, struct fault *fault);

/* Loads the certificate only, which may have expired. */
MUST_CHECK bool signer_init_public(struct signer *signer, const struct store *store, enum profile_use use,
                                   struct fault *fault);

/* Whether the CA has signed `certificate`, by name, key identifier and signature. */
bool signer_has_signed(const struct signer *signer, struct x509_st *certificate);

void signer_deinit(struct signer *signer);

#endif
