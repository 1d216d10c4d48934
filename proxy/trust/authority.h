/* Makes a development PKI: a CA, a server certificate and a client certificate.
 *
 * Knows X.509 and files; knows nothing of connections. */
#ifndef HUSK_TRUST_AUTHORITY_H
#define HUSK_TRUST_AUTHORITY_H

#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>

struct authority_options {
    const char *directory;           /* created if missing (0700) */
    const char *const *server_names; /* SANs of the server certificate: DNS names and IP addresses */
    size_t server_name_count;
    const char *client_name; /* CN and DNS SAN of the client certificate */
    unsigned leaf_days;      /* validity of server and client certificate; the CA is valid longer */
};

/* Checks that the names can be put into certificates. Creates nothing. */
MUST_CHECK bool authority_check_names(const struct authority_options *options, struct fault *fault);

/* The files that authority_init_pki creates, in this order. */
enum { AUTHORITY_FILE_COUNT = 6 };
extern const char *const authority_files[AUTHORITY_FILE_COUNT];

/* Creates the files of authority_files: ECDSA P-256, 128-bit random serials, one EKU each, not_before five
 * minutes in the past, keys with mode 0600. Never overwrites: if one of the files exists it fails, and
 * removes what it has created. */
MUST_CHECK bool authority_init_pki(const struct authority_options *options, struct fault *fault);

#endif
