/* The ALPN protocols of husk (RFC 7301): two husks recognise each other by ALPN. */
#ifndef HUSK_TRUST_ALPN_H
#define HUSK_TRUST_ALPN_H

#include "base/fault.h"
#include "trust/credentials_options.h"

#include <stdbool.h>

struct ssl_ctx_st;
struct ssl_st;

/* What the ALPN of a connection says about the peer. */
enum tls_peer_protocol {
    TLS_PEER_UNKNOWN, /* nothing: it may be any program */
    TLS_PEER_HUSK,    /* a husk that does not speak the link with us: an older one, or another --protocol */
    TLS_PEER_LINK,    /* a husk that speaks the link */
};

/* Makes a client offer, and a server accept, "husk" and, if the options say so, "husk-link/1" (docs/link.md).
 */
MUST_CHECK bool alpn_set(struct ssl_ctx_st *tls, const struct credentials_options *options);

/* Only after the handshake. */
enum tls_peer_protocol alpn_protocol_of(const struct ssl_st *ssl);

#endif
