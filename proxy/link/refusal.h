/* Refused peers: connections whose TLS handshake husk has failed. husk has sent an alert, and the peer must
 * be able to read it.
 *
 * husk ends its direction and discards the rest of the peer's handshake until the peer ends its direction, at
 * most for --linger-timeout. A peer that sends data believes that husk accepts the data: it is reset at once.
 *
 * Owns the legs. The acceptor counts each connection until its end. Belongs to its worker's thread. */
#ifndef HUSK_LINK_REFUSAL_H
#define HUSK_LINK_REFUSAL_H

#include "link/acceptor.h"
#include "wire/leg.h"

#include <sys/queue.h>

struct refusals {
    struct acceptor *acceptor; /* borrowed */
    LIST_HEAD(, refusal) list;
};

void refusals_init(struct refusals *refusals, struct acceptor *acceptor);
/* Closes all of them. */
void refusals_close(struct refusals *refusals);

/* Takes the connection out of `leg`, which is broken, and takes over its place in the acceptor's number of
 * connections. `flight`: what has come after the failure. False, and nothing has changed, when out of memory.
 */
MUST_CHECK bool refusals_take(struct refusals *refusals, struct leg *leg, struct flight flight);

#endif
