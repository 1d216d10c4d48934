/* The certificates that husk can show on one side, each with its chain and key, and which of them a peer
 * gets.
 *
 * A server chooses by the ClientHello: of the certificates that the client can verify, the first whose
 * subjectAltName is the name in SNI; else the first with a wildcard for this name; else the first. A client
 * chooses by the CertificateRequest: of the certificates that the server can verify, the first that a CA of
 * the list has issued; else the first. If a peer can verify no certificate, the first is shown. Never changes
 * after loading: any thread may use it. */
#ifndef HUSK_TRUST_CERTIFICATE_CHOICE_H
#define HUSK_TRUST_CERTIFICATE_CHOICE_H

#include "base/fault.h"
#include "trust/credentials_options.h"
#include "trust/own_key.h"

#include <stdbool.h>

struct ssl_early_callback_ctx;
struct ssl_st;
struct stack_st_X509;

/* What is shown together. */
struct own_certificate {
    struct stack_st_X509 *chain; /* owned: leaf first */
    struct own_key key;          /* owned */
};

/* Initialise it with zeros. */
struct certificate_choice {
    struct own_certificate items[CERTIFICATES_MAX];
    size_t count;
};

void certificate_choice_deinit(struct certificate_choice *choice);

/* Whether the key of a certificate is in a token. */
bool certificate_choice_has_token(const struct certificate_choice *choice);

/* Server: makes the connection show the certificate for the client that has sent this ClientHello. False: out
 * of memory. */
MUST_CHECK bool certificate_choice_for_client(const struct certificate_choice *choice,
                                              const struct ssl_early_callback_ctx *hello);

/* Client: makes the connection show the certificate for the server that has sent a CertificateRequest. False:
 * out of memory. */
MUST_CHECK bool certificate_choice_for_server(const struct certificate_choice *choice, struct ssl_st *ssl);

#endif
