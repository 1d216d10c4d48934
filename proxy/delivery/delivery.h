/* The Forward engine of one worker: what `protocol: forward` does with accepted connections.
 *
 * Connects its parts: downstream connections, read budget, dispatcher, and what they share. Belongs to its
 * worker's thread. */
#ifndef HUSK_DELIVERY_DELIVERY_H
#define HUSK_DELIVERY_DELIVERY_H

#include "delivery/downstreams.h"

struct delivery {
    struct read_budget budget;
    struct chunk_ids chunk_ids;
    struct hash_key hash_key; /* random, of this worker */
    struct body_filter bodies;
    struct dispatcher dispatcher;
    struct downstreams downstreams;
};

/* Borrows `transport`. The engine must not move in memory afterwards. False when the system gives no
 * randomness. */
MUST_CHECK bool delivery_open(struct delivery *delivery, struct transport *transport, struct fault *fault);
/* This process is going to end: messages that wait for a retry do not wait for long any more. */
void delivery_drain(struct delivery *delivery);
/* The upstream fails meanwhile: connections of peers that send unsettled messages again end between two
 * messages, and these messages are dropped. */
void delivery_shed(struct delivery *delivery);
/* The route is going to end: as delivery_drain, and downstream connections end between two messages. */
void delivery_retire(struct delivery *delivery);
/* Ends every connection. Returns the number of unsettled messages, plus the number of agents with other
 * undelivered bytes. */
unsigned delivery_end(struct delivery *delivery);
/* Frees the engine. Call it after the loop has ended. */
void delivery_close(struct delivery *delivery);

/* Takes `fd`. */
void delivery_accept(struct delivery *delivery, int fd, const struct socket_address *peer);

/* The upstream's addresses are known for the first time or have changed; the credentials of a side have
 * changed. */
void delivery_endpoints_changed(struct delivery *delivery);
void delivery_credentials_changed(struct delivery *delivery);

/* The first connection (first_connection.h) is awaited from now on, if the options ask for it. The next
 * change that delivery is told of begins the dial. The connection stays open for the first message. */
void delivery_await_first(struct delivery *delivery);

/* The options of the route are going to change, between the two calls. `before`: what they were. */
void delivery_prepare_options(struct delivery *delivery);
void delivery_options_changed(struct delivery *delivery, const struct route_options *before);

#endif
