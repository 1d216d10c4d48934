/* Chains of certificates from one-line recipes, for tests of verification. Every failure in here fails the
 * test.
 *
 * A recipe lists certificates, then `trust` and the CAs of the verifier, then `show` and what the peer sends:
 *
 *     "root+ca middle<root+ca leaf<middle+client trust root show leaf middle"
 *
 * A certificate is NAME, `<ISSUER` unless it signs itself, and properties: ca; expired, future; client,
 * server (extended key usage), anyuse; noid (no key identifiers); bare (no basic constraints); flat (no
 * intermediate may follow); nosign, cansign (key usage); odd (an unknown critical extension); md5, sha1,
 * sha384, sha512; rsa1024, rsa2048, p224, p384, p521, ed25519; cn:TEXT (else NAME), dns:TEXT, ip (192.0.2.1),
 * key:OTHER (the key of another certificate), within:DOMAIN (name constraint), within-ip (192.0.2.0/24). */
#ifndef HUSK_TESTS_SUPPORT_CHAINS_H
#define HUSK_TESTS_SUPPORT_CHAINS_H

#include "support/pki.h"

enum { CHAINS_CERTIFICATES_MAX = 24, CHAINS_RECIPE_BYTES = 1024 };

struct chains {
    char recipe[CHAINS_RECIPE_BYTES]; /* cut into the texts that the others point to */
    size_t count;
    const char *names[CHAINS_CERTIFICATES_MAX];
    struct pki_pair pairs[CHAINS_CERTIFICATES_MAX];
    STACK_OF(X509) * trusted, *shown; /* borrow from the pairs */
};

void chains_make(struct chains *chains, const char *recipe);
void chains_free(struct chains *chains);

#endif
