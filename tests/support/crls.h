/* Certificate revocation lists for unit tests. Every failure in here fails the test. */
#ifndef HUSK_TESTS_SUPPORT_CRLS_H
#define HUSK_TESTS_SUPPORT_CRLS_H

#include "support/pki.h"

#include <stdbool.h>

enum { CRLS_SERIALS_MAX = 8, CRLS_SCOPE_BYTES_MAX = 64 };

/* The contents of a list. A field that is zero is left out. When both times are zero, the list is fresh from
 * one day ago to one day ahead. */
struct crls_profile {
    X509 *revoked[CRLS_SERIALS_MAX];
    size_t random_entries; /* further entries, with serial numbers of 16 random bytes */
    int64_t this_update, next_update;
    int64_t number;
    bool has_issuer_key; /* authorityKeyIdentifier */
    /* DER of issuingDistributionPoint. */
    uint8_t scope[CRLS_SCOPE_BYTES_MAX];
    size_t scope_length;
    bool is_delta;
    bool has_sha1;              /* the signature */
    const char *critical;       /* an OID: an unknown critical extension */
    const char *entry_critical; /* the same, of the first entry */
};

/* Makes a list that `signer` signs, under the name of `issuer` (NULL: the same). */
X509_CRL *crls_make(const struct crls_profile *profile, const struct pki_pair *signer,
                    const struct pki_pair *issuer);
/* The DER of a new list, which the caller frees with OPENSSL_free. */
size_t crls_der(const struct crls_profile *profile, const struct pki_pair *signer, uint8_t **der);
/* Makes a list and appends it as PEM to the file directory/name. Writes the path to `path` and returns it. */
const char *crls_append(const char *directory, const char *name, const struct crls_profile *profile,
                        const struct pki_pair *signer, char path[PKI_PATH_BYTES]);

#endif
