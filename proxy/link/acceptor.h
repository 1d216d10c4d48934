/* What the accepted connections of one worker share: credentials, and how many connections there are.
 *
 * Owns a reference to the credentials. Belongs to its worker's thread, but for `connections`. */
#ifndef HUSK_LINK_ACCEPTOR_H
#define HUSK_LINK_ACCEPTOR_H

#include "runtime/reactor.h"
#include "runtime/route.h"
#include "trust/credentials.h"

#include <stdatomic.h>

/* The number of connections or handshakes has changed. */
typedef void acceptor_on_change(void *owner);

struct acceptor {
    struct reactor *reactor;           /* borrowed */
    const struct route_options *route; /* borrowed */
    struct credentials *credentials;   /* shared; NULL: agents connect in plaintext */
    _Atomic unsigned connections;      /* accepted here, and reserved by other workers that pass one on */
    unsigned handshakes;               /* TLS handshakes under way, of these connections */
    acceptor_on_change *on_change;     /* NULL: nobody is told */
    void *owner;
};

/* Takes a reference to `credentials`. */
void acceptor_init(struct acceptor *acceptor, struct reactor *reactor, const struct route_options *route,
                   struct credentials *credentials);
/* Safe on all zeros. */
void acceptor_deinit(struct acceptor *acceptor);

/* Calls on_change with `owner` from now on. */
void acceptor_observe(struct acceptor *acceptor, acceptor_on_change *on_change, void *owner);

/* For connections that come from now on. Takes a reference. */
void acceptor_set_credentials(struct acceptor *acceptor, struct credentials *credentials);

/* A connection has come (+1) or gone (-1), a TLS handshake has begun (+1) or is over (-1). */
void acceptor_count(struct acceptor *acceptor, int connections, int handshakes);

/* From any thread: a connection is on its way to this worker, or has arrived or was lost. */
void acceptor_reserve(struct acceptor *acceptor);
void acceptor_unreserve(struct acceptor *acceptor);
unsigned acceptor_connections(const struct acceptor *acceptor);

/* --max-handshakes are under way: others wait. */
bool acceptor_handshakes_are_full(const struct acceptor *acceptor);
/* --max-connections or --max-handshakes is reached. */
bool acceptor_is_full(const struct acceptor *acceptor);

enum { ACCEPTOR_FULL_HANDSHAKE_MS = 1000 };

/* When a TLS handshake of a connection accepted at `accepted_ms` must be over. While others wait, a handshake
 * has ACCEPTOR_FULL_HANDSHAKE_MS at most: connections that never finish one must not keep others out. */
uint64_t acceptor_handshake_deadline_ms(const struct acceptor *acceptor, uint64_t accepted_ms);

#endif
