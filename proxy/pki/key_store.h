/* The private keys of a PKI: takes those that exist, makes those that are missing. */
#ifndef HUSK_PKI_KEY_STORE_H
#define HUSK_PKI_KEY_STORE_H

#include "base/fault.h"
#include "pki/passphrase_source.h"
#include "pki/store.h"

#include <stdbool.h>

struct evp_pkey_st;
struct bio_st;

/* How a key is protected. */
struct key_protection {
    struct passphrase_source source;
    bool is_plain;  /* a new key is not encrypted, although the profile encrypts keys */
    bool is_locked; /* a new key is encrypted, although the profile does not encrypt keys */
};

/* The key in the file, which is made if it is missing. The caller frees the key. NULL and a fault on failure.
 */
MUST_CHECK struct evp_pkey_st *key_store_obtain(const struct store *store, enum profile_file file,
                                                const char *name, const struct key_protection *protection,
                                                struct fault *fault);

/* A new key, which is written to `content` as the file `path` shall have it, and to no file. The caller frees
 * the key. NULL and a fault on failure. */
MUST_CHECK struct evp_pkey_st *key_store_make(const struct store *store, const char *path,
                                              const struct key_protection *protection, struct bio_st *content,
                                              struct fault *fault);

#endif
