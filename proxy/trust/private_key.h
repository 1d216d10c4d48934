/* Loads one private key from a PEM file and decrypts it if needed.
 *
 * Knows the PEM forms of keys and why a key cannot be read; knows nothing of certificates. */
#ifndef HUSK_TRUST_PRIVATE_KEY_H
#define HUSK_TRUST_PRIVATE_KEY_H

#include "base/fault.h"
#include "base/log.h"
#include "trust/passphrase.h"

#include <stdbool.h>
#include <stdint.h>

struct evp_pkey_st;

/* Loads the private key in `path`, which contains no other one but may contain certificates: PKCS#8 (plain or
 * PBES2), or the older forms with or without DEK-Info. The caller frees the key. On failure returns NULL and
 * a one-line fault that names the file. */
MUST_CHECK struct evp_pkey_st *private_key_load(const char *path, const struct passphrase *passphrase,
                                                struct fault *fault);

/* Whether an error of BoringSSL says that the encryption of a key is not supported. */
bool private_key_is_unsupported_encryption(uint32_t error);

/* Whether the private key in `path` is encrypted. False also if the key cannot be found. */
bool private_key_is_encrypted(const char *path);

/* Whether the passphrase opens the private key in `path`. */
bool private_key_opens(const char *path, const struct passphrase *passphrase);

/* Whether users other than the owner may read the file, which has a secret. *mode: its permission bits. False
 * also if there is no such file, it is no regular file, or it has only certificates. */
bool private_key_is_shared(const char *path, unsigned *mode);

/* Logs a warning if users other than the owner may read the file. `what`: "private key", or what else it has.
 */
void private_key_warn_if_shared(const char *path, const char *what, struct log *log);

#endif
