/* The first connection of a route: a worker opens it without a message, to prove that the upstream works with
 * the addresses and credentials in use. The connection stays open for the first message.
 *
 * This unit decides when to dial. The dialer stores, for readiness, whether the connection is awaited.
 * Belongs to its worker's thread. */
#ifndef HUSK_DELIVERY_FIRST_CONNECTION_H
#define HUSK_DELIVERY_FIRST_CONNECTION_H

#include "delivery/upstream_pool.h"

/* To be called when the route begins, or has new options or credentials. The first connection is awaited from
 * now on, if the options ask for it. */
void first_connection_await(struct upstream_pool *pool);
/* The route drains: its first connection is not awaited. */
void first_connection_forgo(struct upstream_pool *pool);

/* Dials if the first connection is awaited and there is no connection. Returns when to try again, as
 * upstream_pool_dial does. */
uint64_t first_connection_dial(struct upstream_pool *pool);

#endif
