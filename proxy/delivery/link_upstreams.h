/* The links among the upstream connections of a worker (docs/link.md): what husk tells the husks upstream,
 * and what these have said.
 *
 * Knows the list of the pool and changes nothing in it. Belongs to its worker's thread. */
#ifndef HUSK_DELIVERY_LINK_UPSTREAMS_H
#define HUSK_DELIVERY_LINK_UPSTREAMS_H

#include "delivery/upstream_pool.h"

/* Tells the husks at the end of the connections that the sender has ended. */
void link_upstreams_say_gone(struct upstream_pool *pool, const struct sender *sender);
/* Whether one of the connections is a link: the husk upstream then says that messages wait, or the
 * connection ends. */
bool link_upstreams_exist(const struct upstream_pool *pool);
/* Why messages are unsettled, as text for another husk. While no connection is ready, this is the name of the
 * last failure of a dial; otherwise it is the reason that a husk upstream has sent. "busy": no failure. */
const char *link_upstreams_why_waiting(const struct upstream_pool *pool);

#endif
