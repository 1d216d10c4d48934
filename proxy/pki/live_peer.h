/* The certificates that a TLS server shows. The server is not verified, and nothing is sent to it after the
 * handshake. */
#ifndef HUSK_PKI_LIVE_PEER_H
#define HUSK_PKI_LIVE_PEER_H

#include "base/fault.h"

#include <stdint.h>

struct stack_st_X509;

/* Does the handshake on a connected socket that does not block, for at most `timeout_ms`. `name`: what the
 * client asks for (SNI) if it is a DNS name. The caller frees the stack with live_peer_free. NULL and a fault
 * if the server shows no certificate. A server that ends the handshake because the client has no certificate
 * has shown its own. */
MUST_CHECK struct stack_st_X509 *live_peer_chain(int fd, const char *name, uint64_t timeout_ms,
                                                 struct fault *fault);

void live_peer_free(struct stack_st_X509 *chain);

#endif
