/* Whether the program at the other end of an upstream connection acknowledges messages, and what husk does if
 * it never does.
 *
 * If an address has never acknowledged a message, and a connection to it is going to end because an ack is
 * late or an answer is no ack, husk first asks whether the program there reads at all (read_proof.h). When
 * --no-acks-after connections have shown that it reads, it is known that it never acknowledges. With
 * --on-no-acks continue, messages then settle when they are written, until an ack comes. What is known
 * belongs to the address, and all workers share it (endpoint_stats.h). Never on a link: a husk always
 * answers. Never with --delivery passthrough. Belongs to its worker's thread. */
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
    enum end_reason asks_for; /* while husk asks: why the connection ends; END_NONE: it does not ask */
    uint64_t asks_until_ms;   /* on the reactor's clock */
};

/* Tells the messages in flight whether acks come: another connection may have found out. */
void peer_acks_update(struct peer_acks *acks);

/* END_NONE, or END_ACK_TIMEOUT if the ack of the oldest message that expects one is late. */
enum end_reason peer_acks_check_time(struct peer_acks *acks);

/* The peer has acknowledged or refused a message. */
void peer_acks_note(struct peer_acks *acks);

/* The connection is going to end for `reason`. True when husk asks first: our direction ends, and the
 * connection waits for the peer's end. Acks may still come. */
bool peer_acks_ask(struct peer_acks *acks, enum end_reason reason);

/* While husk asks, after each event, when all that came is read: END_NONE, or why the connection ends now.
 * END_RETIRED: all acks have come, or messages settle without acks from now on, those in flight too. */
enum end_reason peer_acks_check(struct peer_acks *acks);

#endif
