/* What the accepted connections of one worker share: the credentials, and the numbers of connections and TLS
 * handshakes.
 *
 * Owns a reference to the credentials. Belongs to its worker's thread; other threads use only
 * `connections`. */
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
    _Atomic unsigned connections;      /* accepted here, or on their way here from another worker */
    unsigned handshakes;               /* unfinished TLS handshakes of these connections */
    acceptor_on_change *on_change;     /* NULL: no observer */
    void *owner;
};

/* Takes over the caller's reference to `credentials`. */
void acceptor_init(struct acceptor *acceptor, struct reactor *reactor, const struct route_options *route,
                   struct credentials *credentials);
/* Safe on all zeros. */
void acceptor_deinit(struct acceptor *acceptor);

/* From now on, calls on_change with `owner` after each acceptor_count. */
void acceptor_observe(struct acceptor *acceptor, acceptor_on_change *on_change, void *owner);

/* Sets the credentials of connections accepted from now on. Takes over the caller's reference. */
void acceptor_set_credentials(struct acceptor *acceptor, struct credentials *credentials);

/* Adds to the numbers: +1 when a connection or a TLS handshake begins, -1 when it ends. */
void acceptor_count(struct acceptor *acceptor, int connections, int handshakes);

/* Counts a connection that another worker passes on to this one, until the connection arrives or is lost.
 * From any thread. */
void acceptor_reserve(struct acceptor *acceptor);
void acceptor_unreserve(struct acceptor *acceptor);
/* From any thread. */
unsigned acceptor_connections(const struct acceptor *acceptor);

/* --max-handshakes is reached: new connections wait. */
bool acceptor_handshakes_are_full(const struct acceptor *acceptor);
/* --max-connections or --max-handshakes is reached. */
bool acceptor_is_full(const struct acceptor *acceptor);

enum { ACCEPTOR_FULL_HANDSHAKE_MS = 1000 };

/* The deadline of the TLS handshake of a connection accepted at `accepted_ms`. While --max-handshakes is
 * reached, a handshake may take at most ACCEPTOR_FULL_HANDSHAKE_MS: connections that never finish a handshake
 * must not keep others out. */
uint64_t acceptor_handshake_deadline_ms(const struct acceptor *acceptor, uint64_t accepted_ms);

#endif
