/* What the accepted connections of one worker share: the credentials, the number of connections, and the
 * unfinished TLS handshakes.
 *
 * Owns a reference to the credentials. Belongs to its worker's thread; other threads use only
 * `connections`. */
#ifndef HUSK_LINK_ACCEPTOR_H
#define HUSK_LINK_ACCEPTOR_H

#include "link/tls_handshakes.h"
#include "trust/credentials.h"

#include <stdatomic.h>

/* The number of connections has changed, or the handshakes have. */
typedef void acceptor_on_change(void *owner);

struct acceptor {
    struct reactor *reactor;           /* borrowed */
    const struct route_options *route; /* borrowed */
    struct credentials *credentials;   /* shared; NULL: agents connect in plaintext */
    unsigned generation;               /* of the credentials: counts how often they were replaced */
    _Atomic unsigned connections;      /* accepted here, or on their way here from another worker */
    bool has_claim;                    /* between acceptor_claim and acceptor_unclaim, until it is counted */
    struct tls_handshakes handshakes;  /* of these connections */
    acceptor_on_change *on_change;     /* NULL: no observer */
    void *owner;
};

/* Takes over the caller's reference to `credentials`. */
void acceptor_init(struct acceptor *acceptor, struct reactor *reactor, const struct route_options *route,
                   struct credentials *credentials);
/* Safe on all zeros. */
void acceptor_deinit(struct acceptor *acceptor);

/* From now on, calls on_change with `owner` after each change. */
void acceptor_observe(struct acceptor *acceptor, acceptor_on_change *on_change, void *owner);

/* Sets the credentials of connections accepted from now on. Takes over the caller's reference. */
void acceptor_set_credentials(struct acceptor *acceptor, struct credentials *credentials);

/* The options of the route have changed. */
void acceptor_options_changed(struct acceptor *acceptor);

/* Adds to the number of connections: +1 when a connection begins, -1 when it ends. */
void acceptor_count(struct acceptor *acceptor, int connections);

/* Each calls the function of link/tls_handshakes.h for `handshake`, and then on_change. */
void acceptor_begin_handshake(struct acceptor *acceptor, struct tls_handshake *handshake, struct task *task);
void acceptor_advance_handshake(struct acceptor *acceptor, struct tls_handshake *handshake,
                                struct tls_progress progress);
void acceptor_end_handshake(struct acceptor *acceptor, struct tls_handshake *handshake);

/* Counts a connection that another worker passes on to this one, until the connection arrives or is lost.
 * From any thread. */
void acceptor_reserve(struct acceptor *acceptor);
void acceptor_unreserve(struct acceptor *acceptor);
/* The reserved connection has arrived: the next acceptor_count of 1 counts it no second time, so that the
 * number never falls in between. acceptor_unclaim: if nothing was counted, the connection is lost. */
void acceptor_claim(struct acceptor *acceptor);
void acceptor_unclaim(struct acceptor *acceptor);
/* From any thread. */
unsigned acceptor_connections(const struct acceptor *acceptor);

/* --max-connections is reached, or the handshakes are full: new connections wait. */
bool acceptor_is_full(const struct acceptor *acceptor);

#endif
