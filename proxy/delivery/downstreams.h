/* The downstream connections of one route on one worker, all together.
 *
 * Knows the list of connections, and no step of a connection. Belongs to its worker's thread. */
#ifndef HUSK_DELIVERY_DOWNSTREAMS_H
#define HUSK_DELIVERY_DOWNSTREAMS_H

#include "delivery/downstream.h"

/* Borrows the arguments. */
void downstreams_init(struct downstreams *downstreams, struct dispatcher *dispatcher,
                      struct body_filter *bodies);
/* The credentials have changed: each connection judges its peer in one of the next turns. */
void downstreams_credentials_changed(struct downstreams *downstreams);
/* The options of the route are going to change: hands up the batches that wait. */
void downstreams_flush(struct downstreams *downstreams);
/* The options have changed: each connection goes on with the new rules after its current message, and sets
 * its deadlines anew in one of the next turns. */
void downstreams_options_changed(struct downstreams *downstreams);
/* The process is going to end: from now on a step hands up batches without delay. Calling husks are told to
 * send their next messages on other connections. */
void downstreams_drain(struct downstreams *downstreams);
/* The upstream fails while husk stops: connections of peers that send unsettled messages again retire. */
void downstreams_shed(struct downstreams *downstreams);
/* The route is going to end: each connection retires in one of the next turns. */
void downstreams_retire(struct downstreams *downstreams);
/* Call it after every connection has ended. */
void downstreams_deinit(struct downstreams *downstreams);

#endif
