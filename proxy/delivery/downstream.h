/* One accepted connection under `protocol: forward`: bytes in, messages out, acks back.
 *
 *   SECURING ──TLS, permit──▶ AUTHENTICATING ──shared key──▶ GRANTED ──▶ CLOSED     (see agent_access.h)
 *
 * Reads messages once access is granted. The peer is an agent, or a husk that speaks the link for many
 * agents. Owns its access, and its receiver with the answers that are not sent yet. The dispatcher owns the
 * messages that were submitted. The connection stays open until all its messages are settled, so that a reset
 * can still tell the agent of a failure.
 *
 * A connection retires when its peer is no longer trusted, when a certificate of either side ends, or at
 * --max-downstream-age. It then takes no message after the current one and ends when its messages are
 * settled. A calling husk is told so (retirement.h). An idle connection owns no scanner and no buffer.
 * Belongs to its worker's thread. */
#ifndef HUSK_DELIVERY_DOWNSTREAM_H
#define HUSK_DELIVERY_DOWNSTREAM_H

#include "delivery/agent_access.h"
#include "delivery/agent_clock.h"
#include "delivery/agent_reading.h"
#include "delivery/receiver.h"
#include "delivery/retirement.h"
#include "runtime/sweep.h"
#include "runtime/timer.h"

struct downstream {
    struct task task; /* first */
    LIST_ENTRY(downstream) sibling;
    struct downstreams *shared; /* borrowed */
    struct agent_access access;
    struct retirement retirement;
    bool was_answered; /* husk has written answers */
    struct receiver receiver;
    struct agent_reading reading;
    struct buffer outgoing; /* handshake messages, or one TLS record of answers, to be written */
    struct agent_clock clock;
    struct timer timer;
};

/* What the downstream connections of a route share on one worker, and the list of them (downstreams.h). */
struct downstreams {
    struct transport *transport; /* borrowed, as are the next two */
    struct dispatcher *dispatcher;
    struct read_budget *budget;
    struct receiver_shared receiving;
    struct message_meters meters;
    unsigned generation;    /* of the rules: counts how often the options of the route have changed */
    bool is_draining;       /* husk or the route ends soon: no batch waits */
    bool is_retiring;       /* the route ends soon: every connection retires in its next step */
    enum end_reason goaway; /* what downstream_say_goaway says */
    struct sweep sweep;     /* of the list, after a change for all connections */
    LIST_HEAD(, downstream) list;
};

/* Callbacks for the receiver and the read budget. */
extern const struct receiver_events downstream_receiver_events;
extern const struct read_budget_events downstream_budget_events;

/* Takes `fd`. The connection stays in the list until it ends. Resets the connection when out of memory. */
void downstream_open(struct downstreams *shared, int fd, const struct socket_address *peer);
/* Ends the connection because husk stops. False if bytes are lost that are not part of an unsettled
 * message. */
bool downstream_stop(struct downstream *downstream);
/* The upstream fails while husk stops: the connection retires if its peer sends unsettled messages again. */
void downstream_shed(struct downstream *downstream);
/* Tells a calling husk to send its next messages on another connection, because husk stops or, for
 * END_RETIRED, because the route ends or a new process has taken over. This connection continues. */
void downstream_say_goaway(struct downstream *downstream);
/* Hands up the batch that waits. */
void downstream_flush(struct downstream *downstream);
/* Runs the connection in the next turn of the loop: it may be able to go on, or its deadlines may be earlier
 * now. */
void downstream_wake(struct downstream *downstream);

#endif
