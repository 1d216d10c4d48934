/* UDP heartbeats of a route: answered at the TCP addresses where the route listens.
 *
 * Owns the sockets. Lives on the loop of the control thread. */
#ifndef HUSK_ROUTE_HEARTBEAT_H
#define HUSK_ROUTE_HEARTBEAT_H

#include "control/heartbeat.h"
#include "worker/listening.h"

/* Zero-initialise. */
struct route_heartbeat {
    struct heartbeat heartbeat;
    bool fails; /* a socket cannot be bound; logged */
};

/* Answers at the addresses of `listening` where it does not answer yet. Where another program has the UDP
 * port, and where descriptors run out, husk runs without heartbeats: the log says so, and each further call
 * tries again. The struct must not move in memory afterwards. */
void route_heartbeat_answer(struct route_heartbeat *heartbeat, struct ev_loop *loop,
                            const struct heartbeat_options *options, const struct listening *listening);
/* Goes on with other options, and answers no more where the route does not listen. An address that stays
 * keeps its socket. */
void route_heartbeat_change(struct route_heartbeat *heartbeat, const struct heartbeat_options *options,
                            const struct listening *listening);
/* Safe on all zeros. */
void route_heartbeat_close(struct route_heartbeat *heartbeat);

#endif
