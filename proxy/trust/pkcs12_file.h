/* Loads a private key and its chain from a PKCS#12 file (RFC 7292).
 *
 * Knows which certificate of the file belongs to the key, and why a file cannot be read. */
#ifndef HUSK_TRUST_PKCS12_FILE_H
#define HUSK_TRUST_PKCS12_FILE_H

#include "base/fault.h"
#include "trust/passphrase.h"

#include <stdbool.h>

struct evp_pkey_st;
struct stack_st_X509;

/* The certificate of the key comes first, then its issuers, in the order of the chain; the root, and
 * certificates that do not belong to the chain, are left out. No dates are checked. Both are owned. */
struct pkcs12_file {
    struct evp_pkey_st *key;
    struct stack_st_X509 *chain;
    bool is_locked; /* after a failure: the passphrase is missing or wrong */
};

/* Without a passphrase the file has the empty password, or none. The file has one private key and its
 * certificate. On a failure there is a one-line fault that names the file, and `contents` owns nothing. */
MUST_CHECK bool pkcs12_file_load(struct pkcs12_file *contents, const char *path,
                                 const struct passphrase *passphrase, struct fault *fault);

/* Whether the passphrase opens the file, and the file can be used. */
bool pkcs12_file_opens(const char *path, const struct passphrase *passphrase);

/* Safe on all zeros. */
void pkcs12_file_deinit(struct pkcs12_file *contents);

#endif
