/* A connection that was accepted: a leg, and the way from accept to being worth a dial.
 *
 *   SECURING ──handshake, policy──▶ WAITING ──first byte, or patience──▶ READY
 *
 * Owns its leg. Whoever conducts it calls inlet_advance when anything happens. Belongs to its worker's
 * thread. */
#ifndef HUSK_RELAY_INLET_H
#define HUSK_RELAY_INLET_H

#include "wire/address.h"
#include "wire/leg.h"

struct worker;

enum inlet_state { INLET_SECURING, INLET_WAITING, INLET_READY };

struct inlet {
    struct leg leg;
    struct worker *worker; /* borrowed */
    enum inlet_state state;
    uint64_t deadline_ms; /* worker's clock; 0: none */
    struct socket_address peer;
};

/* Takes `fd`. With credentials on the downstream side a TLS handshake begins. */
void inlet_open(struct inlet *inlet, struct worker *worker, int fd, const struct socket_address *peer,
                leg_on_ready *on_ready, void *owner);

/* Goes as far as it can. END_NONE while it lives; else why it must end. Bytes that come along with the end of
 * the handshake are put into `early`; a plain peer's bytes are left in the socket. */
enum end_reason inlet_advance(struct inlet *inlet, struct buffer *early);

/* Whether the peer has gone without a byte of payload, while nothing is read from it. END_NONE or why. */
enum end_reason inlet_check(struct inlet *inlet, const struct buffer *early);

#endif
