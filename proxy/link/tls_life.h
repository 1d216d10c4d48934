/* The lifetime of a TLS connection: until the first certificate of either side ends.
 *
 * Takes the end from the TLS channel, the time from the reactor and from the wall clock. Keeps no state.
 * Belongs to its worker's thread. */
#ifndef HUSK_LINK_TLS_LIFE_H
#define HUSK_LINK_TLS_LIFE_H

#include "runtime/lifetime.h"
#include "runtime/reactor.h"
#include "wire/tls_channel.h"

/* Sets the limit, or sets it again: after the handshake, after each judgement of the peer, and when the wall
 * clock may have jumped. */
void tls_life_limit(struct lifetime *lifetime, const struct tls_channel *tls, const struct reactor *reactor);

/* Whether a certificate ends now. True once: tls_channel_failure_detail then says which. */
bool tls_life_is_over(struct lifetime *lifetime, struct tls_channel *tls, const struct reactor *reactor);

#endif
