/* The tunnels of one worker: what `protocol: tcp` does with accepted connections.
 *
 * Belongs to its worker's thread. */
#ifndef HUSK_TCP_TUNNELS_H
#define HUSK_TCP_TUNNELS_H

#include "tcp/tunnel.h"

void tunnels_init(struct tunnels *tunnels, struct transport *transport);
/* Ends all tunnels: by a reset if bytes are undelivered, else in order. Returns the number of tunnels with
 * undelivered bytes. */
unsigned tunnels_close(struct tunnels *tunnels);

/* Takes `fd`. Resets the connection when out of memory. */
void tunnels_accept(struct tunnels *tunnels, int fd, const struct socket_address *peer);

/* The upstream's addresses are known for the first time, or have changed. */
void tunnels_endpoints_changed(struct tunnels *tunnels);

/* The credentials have changed: each tunnel judges its peers in one of the next turns of the loop. */
void tunnels_credentials_changed(struct tunnels *tunnels);
/* The options of the route have changed: each tunnel sets its deadlines anew in one of the next turns. */
void tunnels_options_changed(struct tunnels *tunnels);

#endif
