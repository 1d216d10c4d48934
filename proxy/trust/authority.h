/* CA work: makes a development PKI.
 *
 * Knows X.509 and files; nothing of connections. */
#ifndef HUSK_TRUST_AUTHORITY_H
#define HUSK_TRUST_AUTHORITY_H

#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>

struct authority_options {
    const char *directory;           /* made if missing (0700) */
    const char *const *server_names; /* SANs of the server certificate: DNS names and IP addresses */
    size_t server_name_count;
    const char *client_name; /* CN and DNS SAN of the client certificate */
    unsigned leaf_days;      /* validity of the leaves; the CA outlives them */
};

/* Tells before anything is made whether the names can be put in certificates. */
MUST_CHECK bool authority_check_names(const struct authority_options *options, struct fault *fault);

/* What authority_init_pki makes, in this order. */
enum { AUTHORITY_FILE_COUNT = 6 };
extern const char *const authority_files[AUTHORITY_FILE_COUNT];

/* Makes ca.crt.pem, ca.key.pem, server.crt.pem, server.key.pem, client.crt.pem and client.key.pem: ECDSA
 * P-256, 128-bit random serials, one EKU each, not_before back-dated by five minutes. Never overwrites: fails
 * when one of the files exists, and leaves nothing half-made behind. Keys are 0600. */
MUST_CHECK bool authority_init_pki(const struct authority_options *options, struct fault *fault);

#endif
