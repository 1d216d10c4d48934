/* Whether a server asks clients for certificates, and needs them. */
#ifndef HUSK_TRUST_CLIENT_CERTIFICATE_H
#define HUSK_TRUST_CLIENT_CERTIFICATE_H

#include "base/log.h"

enum client_certificate { CLIENT_CERTIFICATE_REQUIRE, CLIENT_CERTIFICATE_OPTIONAL, CLIENT_CERTIFICATE_NONE };

/* The mode for SSL_CTX_set_custom_verify. Its callback does not run for a client that shows no certificate:
 * the caller has such a client judged after the handshake. */
int client_certificate_verify_mode(enum client_certificate certificate);

/* Warns if clients without certificate are admitted. */
void client_certificate_warn(enum client_certificate certificate, struct log *log);

#endif
