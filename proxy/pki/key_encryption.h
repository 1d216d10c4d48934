/* Encrypts a private key as OpenSSL 3 does: PKCS#8 with PBES2 (RFC 8018), PBKDF2 with HMAC-SHA256, and
 * AES-256-CBC. BoringSSL itself writes the older HMAC-SHA1 only. */
#ifndef HUSK_PKI_KEY_ENCRYPTION_H
#define HUSK_PKI_KEY_ENCRYPTION_H

#include "trust/passphrase.h"

#include <stdbool.h>

struct bio_st;
struct evp_pkey_st;

/* Appends the key to `to` as PEM. Without a passphrase (not given) the key is PKCS#8 in the clear.
 * `iterations`: of PBKDF2. False: out of memory. */
MUST_CHECK bool key_encryption_write(struct bio_st *to, const struct evp_pkey_st *key,
                                     const struct passphrase *passphrase, unsigned iterations);

#endif
