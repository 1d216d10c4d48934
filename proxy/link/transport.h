/* What the connections of one route use on one worker: counters, acceptor, refused peers, dialer and
 * connection log.
 *
 * Belongs to its worker's thread; other threads may read the counters. */
#ifndef HUSK_LINK_TRANSPORT_H
#define HUSK_LINK_TRANSPORT_H

#include "link/acceptor.h"
#include "link/dialer.h"
#include "link/refusal.h"
#include "runtime/connection_log.h"

struct transport {
    struct reactor *reactor;           /* borrowed */
    const struct route_options *route; /* borrowed */
    struct metrics metrics;
    struct acceptor acceptor;
    struct refusals refusals;
    struct dialer dialer;
    struct connection_log connection_log;
};

/* Takes over one reference of the caller to each of `credentials`; NULL: that side is plaintext. Borrows the
 * rest. The transport must not move in memory afterwards. */
void transport_init(struct transport *transport, struct reactor *reactor, const struct route_options *route,
                    struct log *log, struct credentials *const credentials[SIDE_COUNT]);
void transport_deinit(struct transport *transport);

#endif
