/* Refused peers: connections whose TLS handshake husk has failed, and connections that husk has ended between
 * two messages. The peer must be able to read the alert or the last answers that husk has sent.
 *
 * husk ends its direction and discards what comes until the peer ends its direction, at most for
 * --linger-timeout. A peer that sends data after a failed handshake believes that husk accepts the data: husk
 * resets the connection at once. A peer that reads answers notices which of its messages have no answer.
 *
 * Owns the legs. The acceptor counts each connection until its end. Belongs to its worker's thread. */
#ifndef HUSK_LINK_REFUSAL_H
#define HUSK_LINK_REFUSAL_H

#include "link/acceptor.h"
#include "wire/leg.h"

#include <sys/queue.h>

struct refusals {
    struct acceptor *acceptor;  /* borrowed */
    TAILQ_HEAD(, refusal) list; /* oldest first */
};

void refusals_init(struct refusals *refusals, struct acceptor *acceptor);
/* While --max-connections is reached, closes the oldest: a refused peer must not keep others out. */
void refusals_give_way(struct refusals *refusals);
/* Closes all refused connections. */
void refusals_close(struct refusals *refusals);

/* Takes the connection out of `leg`, which has sealed its last record. The acceptor still counts the
 * connection, until the refusal ends. `flight` (copied): what has come after the failure of the handshake;
 * NULL: the handshake has succeeded. False, and nothing has changed, when out of memory. */
MUST_CHECK bool refusals_take(struct refusals *refusals, struct leg *leg, const struct flight *flight);

#endif
