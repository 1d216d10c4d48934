/* A connection that was accepted: a leg, and the way from accept to being worth a dial.
 *
 *   SECURING ──handshake, policy──▶ WAITING ──first byte, or patience──▶ READY
 *
 * Owns its leg. Whoever conducts it calls inlet_advance when anything happens. Belongs to its worker's
 * thread. */
#ifndef HUSK_LINK_INLET_H
#define HUSK_LINK_INLET_H

#include "wire/address.h"
#include "wire/leg.h"

struct worker;

enum inlet_state { INLET_SECURING, INLET_WAITING, INLET_READY };

struct inlet {
    struct leg leg;
    struct worker *worker; /* borrowed */
    enum inlet_state state;
    uint64_t accepted_ms; /* clock_monotonic_ms */
    uint64_t deadline_ms; /* clock_monotonic_ms; 0: none */
    struct socket_address peer;
};

/* Takes `fd`. With credentials on the downstream side a TLS handshake begins. */
void inlet_open(struct inlet *inlet, struct worker *worker, int fd, const struct socket_address *peer,
                leg_on_ready *on_ready, void *owner);

/* Goes as far as it can. END_NONE while it lives; else why it must end. A plain peer's bytes are left in the
 * socket, so that its write means little before its upstream is there; a TLS peer's first bytes are put into
 * `early`, for only reading tells data from an end. */
enum end_reason inlet_advance(struct inlet *inlet, struct buffer *early);

/* What the peer has done while it waits. */
enum inlet_news {
    INLET_SILENT,   /* nothing: watch it for reading */
    INLET_HAS_DATA, /* there is something to be read: it can wait unread */
    INLET_GONE,     /* it left without a byte of payload: see inlet_departure */
};
enum inlet_news inlet_listen(struct inlet *inlet, struct buffer *early);

/* How to call it that an inlet is gone that nobody has read: a probe, one that left, or something worse. */
enum end_reason inlet_departure(const struct inlet *inlet);

#endif
