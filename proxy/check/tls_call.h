/* One TLS handshake as a client of husk server does it: in memory, with credentials of a server, or over a
 * connection to a listener.
 *
 * Waits until the handshake is over: only for a process that does nothing else. */
#ifndef HUSK_CHECK_TLS_CALL_H
#define HUSK_CHECK_TLS_CALL_H

#include "trust/certificate_facts.h"
#include "trust/credentials.h"
#include "wire/address.h"
#include "wire/spoken.h"

#include <stdbool.h>
#include <stdint.h>

struct tls_call {
    struct credentials *client; /* borrowed */
    const char *server_name;    /* that the server must prove; borrowed */
};

/* Why one end has ended the handshake. */
struct tls_call_end {
    enum end_reason reason; /* END_NONE: it has not */
    char detail[PEER_CHECK_DETAIL_BYTES];
    bool lacks_issuer; /* see peer_check.lacks_issuer */
};

struct tls_call_outcome {
    struct tls_call_end client, server; /* server: only in memory */
    bool is_trusted;                    /* the client has verified the certificate of the server */
    bool is_established;                /* for the client; the server may still refuse the client */
    bool is_confirmed;                  /* the server is known to have accepted the client */
    /* ---- if established ---- */
    struct certificate_facts leaf; /* the certificate of the server */
    bool is_husk;                  /* the server is a husk, by ALPN */
    /* ---- over a connection ---- */
    bool is_connected;
    enum spoken spoken; /* what the server speaks */
};

/* `server`: borrowed. False when out of memory. */
MUST_CHECK bool tls_call_in_memory(const struct tls_call *call, struct credentials *server,
                                   struct tls_call_outcome *outcome);

/* Connects to the address. Gives up after `timeout_ms`. Sends no data. False when out of memory. */
MUST_CHECK bool tls_call_address(const struct tls_call *call, const struct socket_address *address,
                                 uint64_t timeout_ms, struct tls_call_outcome *outcome);

#endif
