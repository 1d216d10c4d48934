/* An accepted connection: a leg, and its states from accept until the upstream is dialled for it.
 *
 *   SECURING ──TLS handshake, policy──▶ WAITING ──first byte, or --dial-delay──▶ READY
 *
 * Owns its leg. The acceptor counts the connection until inlet_close. The owner calls inlet_advance after
 * every event. Belongs to its worker's thread. */
#ifndef HUSK_LINK_INLET_H
#define HUSK_LINK_INLET_H

#include "base/step.h"
#include "link/tls_life.h"
#include "link/transport.h"
#include "wire/address.h"
#include "wire/leg.h"

enum inlet_state { INLET_SECURING, INLET_WAITING, INLET_READY };

struct inlet {
    struct leg leg;
    struct transport *transport;    /* borrowed */
    struct tls_handshake handshake; /* while SECURING */
    enum inlet_state state;
    unsigned generation;  /* of the acceptor's credentials that judged the peer last */
    struct lifetime life; /* until a certificate ends; all zeros while SECURING, and without TLS */
    uint64_t accepted_ms; /* on the reactor's clock, as below */
    uint64_t deadline_ms; /* 0: none */
    struct socket_address peer;
};

/* Takes `fd`. Runs `task` when the leg may be ready. Begins a TLS handshake if the acceptor has
 * credentials. */
void inlet_open(struct inlet *inlet, struct transport *transport, int fd, const struct socket_address *peer,
                struct task *task);
/* Closes the connection. If husk has failed the TLS handshake with an alert, the connection leaves the inlet
 * and stays open until the peer has had time to read the alert (link/refusal.h). */
void inlet_close(struct inlet *inlet, enum leg_closing closing);
/* Ends our direction in order, after the last answers. The connection leaves the inlet and stays open until
 * the peer has had time to read the answers (link/refusal.h). False when out of memory: the connection stays
 * in the inlet. inlet_close must follow in both cases. */
MUST_CHECK bool inlet_linger(struct inlet *inlet);

/* Advances the state as far as possible. Goes on once READY. Bytes of a plaintext peer stay in the socket:
 * husk does not accept them before the upstream is connected. The first bytes of a TLS peer are put into
 * `received`, because only reading distinguishes data from an end. */
struct step inlet_advance(struct inlet *inlet, struct buffer *received);

/* Once SECURING is over: judges the peer if the acceptor's credentials have been replaced since the last
 * judgement. END_NONE; END_DISTRUSTED: the new credentials do not admit the peer; or END_EXPIRED: a
 * certificate of either side ends. leg_detail says why. Call it also at life.due_ms. A reason is returned
 * once for each judgement. */
enum end_reason inlet_judge(struct inlet *inlet);

/* Watches for what inlet_advance waits for. */
void inlet_watch(struct inlet *inlet);

/* What the peer has done while the upstream is not connected. */
enum inlet_activity {
    INLET_SILENT,   /* nothing: watch the leg for reading */
    INLET_HAS_DATA, /* it has sent bytes, which can stay unread */
    INLET_GONE,     /* it has left and sent no payload: see inlet_departure */
};
enum inlet_activity inlet_poll(struct inlet *inlet, struct buffer *received);

/* The reason to report after INLET_GONE: a probe, a peer that left, or a failure. */
enum end_reason inlet_departure(const struct inlet *inlet);

#endif
