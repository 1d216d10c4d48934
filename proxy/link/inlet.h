/* A connection that was accepted: a leg, and the steps from accept until it is worth a dial.
 *
 *   SECURING ──TLS handshake, policy──▶ WAITING ──first byte, or --dial-delay──▶ READY
 *       └──refused──▶ REFUSED
 *
 * Owns its leg and is counted by its acceptor until it is closed. Its owner calls inlet_advance when anything
 * happens. Belongs to its worker's thread. */
#ifndef HUSK_LINK_INLET_H
#define HUSK_LINK_INLET_H

#include "link/acceptor.h"
#include "wire/address.h"
#include "wire/leg.h"

enum inlet_state { INLET_SECURING, INLET_WAITING, INLET_READY, INLET_REFUSED };

struct inlet {
    struct leg leg;
    struct acceptor *acceptor; /* borrowed */
    enum inlet_state state;
    uint64_t accepted_ms; /* in the reactor's now_ms, as below */
    uint64_t deadline_ms; /* 0: none */
    struct socket_address peer;
};

/* Takes `fd`. Runs `task` when something may be possible. With credentials a TLS handshake begins. */
void inlet_open(struct inlet *inlet, struct acceptor *acceptor, int fd, const struct socket_address *peer,
                struct task *task);
void inlet_close(struct inlet *inlet, enum leg_closing closing);

/* Goes as far as it can. END_NONE while it lives; else why it must end. A plaintext peer's bytes are left in
 * the socket, so that its write means little before its upstream is there. A TLS peer's first bytes are put
 * into `received`, since only reading tells data from an end. */
enum end_reason inlet_advance(struct inlet *inlet, struct buffer *received);

/* The TLS handshake has failed, and the leg stays open for its alert: it no longer counts as a handshake. */
void inlet_refuse(struct inlet *inlet);

/* What the peer has done while it waits. */
enum inlet_activity {
    INLET_SILENT,   /* nothing: watch the leg for reading */
    INLET_HAS_DATA, /* bytes are there; they can stay unread */
    INLET_GONE,     /* it left without a byte of payload: see inlet_departure */
};
enum inlet_activity inlet_check(struct inlet *inlet, struct buffer *received);

/* The reason to report for a peer that is gone before anybody has read from it: a probe, a peer that left, or
 * a failure. */
enum end_reason inlet_departure(const struct inlet *inlet);

#endif
