/* The first connection of a route: a worker opens it without a message, and so proves that the upstream works
 * with the addresses and credentials in use. It stays open for the first message.
 *
 * Decides when to dial; the dialer keeps whether the connection is awaited, for readiness. Belongs to its
 * worker's thread. */
#ifndef HUSK_DELIVERY_FIRST_CONNECTION_H
#define HUSK_DELIVERY_FIRST_CONNECTION_H

#include "delivery/upstream_pool.h"

/* The route begins, or has new options or credentials: its first connection is awaited, if the options ask
 * for it. */
void first_connection_await(struct upstream_pool *pool);
/* The route drains: its first connection is not awaited. */
void first_connection_forgo(struct upstream_pool *pool);

/* Dials while the first connection is awaited, and there is no connection. Returns when to try again, as
 * upstream_pool_dial does. */
uint64_t first_connection_dial(struct upstream_pool *pool);

#endif
