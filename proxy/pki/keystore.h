/* A PKCS#12 file with a key, its certificate, the intermediate CA and the root CA. */
#ifndef HUSK_PKI_KEYSTORE_H
#define HUSK_PKI_KEYSTORE_H

#include "pki/passphrase_source.h"
#include "pki/store.h"

/* All pointers are borrowed. */
struct keystore_order {
    const char *name;                        /* of the files; the friendly name, too */
    const char *out;                         /* path of the new file */
    struct passphrase_source key_passphrase; /* opens the key */
    struct passphrase_source passphrase;     /* of the new file */
};

/* Writes the file; fails if it exists. Keys and certificates are encrypted with 3DES, and the file is
 * protected by HMAC-SHA1: the only forms that BoringSSL writes and that Java, OpenSSL 3 and Windows read. */
MUST_CHECK bool keystore_write(const struct keystore_order *order, const struct store *store,
                               struct fault *fault);

#endif
