/* A Kubernetes Secret with the files of a certificate, as YAML. */
#ifndef HUSK_PKI_SECRET_MANIFEST_H
#define HUSK_PKI_SECRET_MANIFEST_H

#include "pki/passphrase_source.h"
#include "pki/store.h"

#include <stdio.h>

enum secret_layout {
    SECRET_SEED, /* the keys of the seed: ca.crt.pem, client.crt.pem, client.key.pem … */
    SECRET_TLS,  /* type kubernetes.io/tls: ca.crt, tls.crt, tls.key */
};

/* All pointers are borrowed. */
struct secret_order {
    const char *name; /* of the files */
    enum secret_layout layout;
    const char *secret_name;                 /* NULL: the seed's name, by the use of the certificate */
    const char *namespace;                   /* NULL: none */
    struct passphrase_source key_passphrase; /* SECRET_SEED: stored beside an encrypted key. SECRET_TLS: opens
                                                the key, which is stored in the clear */
    struct passphrase_source shared_key;     /* stored, if it names something */
};

/* Prints the YAML, or nothing on failure. */
MUST_CHECK bool secret_manifest_print(FILE *out, const struct store *store, const struct secret_order *order,
                                      struct fault *fault);

#endif
