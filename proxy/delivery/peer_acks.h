/* Whether the program at the other end of an upstream connection acknowledges messages, and what husk does if
 * it never does.
 *
 * If an address has never acknowledged a message, and a connection to this address is going to end because an
 * ack is late or an answer is no ack, husk first *asks*: husk ends its direction of the connection, to test
 * whether the program at the address reads (read_proof.h). When --no-acks-after connections have proved that
 * the program reads, husk concludes that the address never acknowledges. With --on-no-acks continue, messages
 * then settle when they are written, until an ack comes. All workers share this conclusion about the address
 * (endpoint_stats.h). husk never asks on a link, because a husk always answers, and never with --delivery
 * passthrough. Belongs to its worker's thread. */
#ifndef HUSK_DELIVERY_PEER_ACKS_H
#define HUSK_DELIVERY_PEER_ACKS_H

#include "delivery/upstream_stream.h"
#include "link/outlet.h"
#include "link/transport.h"

/* All pointers are borrowed. */
struct peer_acks {
    struct transport *transport;
    struct outlet *outlet;
    struct upstream_stream *stream;
    enum end_reason asks_for; /* while husk asks: why the connection ends; END_NONE: husk does not ask */
    uint64_t asks_until_ms;   /* on the reactor's clock */
};

/* Sets whether the messages in flight wait for acks: another connection may have changed the conclusion. */
void peer_acks_update(struct peer_acks *acks);

/* END_NONE, or END_ACK_TIMEOUT if the ack of the oldest message that expects one is late. */
enum end_reason peer_acks_check_time(struct peer_acks *acks);

/* The peer has acknowledged or refused a message. */
void peer_acks_note(struct peer_acks *acks);

/* The connection is going to end for `reason`. True when husk asks first: husk has ended its direction, and
 * the connection waits for the peer's end. Acks may still come. */
bool peer_acks_ask(struct peer_acks *acks, enum end_reason reason);

/* Call it while husk asks, after each event, when all available bytes are read. END_NONE, or why the
 * connection ends now. END_RETIRED: all acks have come, or messages settle without acks from now on,
 * including the messages in flight. */
enum end_reason peer_acks_check(struct peer_acks *acks);

#endif
