/* One agent's connection under `protocol: forward`: bytes in, messages out, acks back.
 *
 *   SECURING ──TLS handshake, if any──▶ AUTHENTICATING ──shared key, if any──▶ READING ──▶ ENDED
 *
 * Owns its inlet, its framer, its cut-through while one is under way, and the acks the agent is owed. A
 * message it has submitted belongs to the dispatcher. The connection stays open until all its messages are
 * settled, so that a failure can still be told by a reset. An idle one owns no scanner and no buffer. Belongs
 * to its worker's thread. */
#ifndef HUSK_DELIVERY_DOWNSTREAM_H
#define HUSK_DELIVERY_DOWNSTREAM_H

#include "delivery/agent_acks.h"
#include "delivery/agent_clock.h"
#include "delivery/cut_through.h"
#include "delivery/dispatcher.h"
#include "delivery/framer.h"
#include "delivery/message_policy.h"
#include "delivery/read_budget.h"
#include "delivery/sender.h"
#include "link/authentication.h"
#include "link/inlet.h"
#include "runtime/timer.h"

enum downstream_state {
    DOWNSTREAM_SECURING,
    DOWNSTREAM_AUTHENTICATING,
    DOWNSTREAM_READING,
    DOWNSTREAM_ENDED
};

struct downstream {
    struct task task; /* first */
    LIST_ENTRY(downstream) sibling;
    struct downstream_shared *shared; /* borrowed */
    enum downstream_state state;
    bool is_blocked; /* it would be read if there was budget, or if its cut-through could flow */
    struct inlet inlet;
    struct authentication authentication;
    struct message_permit permit; /* what the agent may write */
    struct framer framer;
    struct sender sender;
    struct cut_through *cut_through; /* owned; NULL: no message is cut through */
    struct read_share share;         /* of the read budget */
    struct agent_acks acks;          /* owed to the agent */
    struct buffer outgoing;          /* acks and handshake messages to be written: one record of them */
    struct agent_clock clock;
    struct timer timer;
};

/* What the downstream connections of one worker share, and the list of them. */
struct downstream_shared {
    struct transport *transport; /* borrowed, as are the next two */
    struct dispatcher *dispatcher;
    struct read_budget *budget;
    struct framer_shared framing;
    struct message_meters meters;
    LIST_HEAD(, downstream) list;
};

/* How the read budget and the framers call downstream connections. */
extern const struct read_budget_events downstream_budget_events;
extern const struct framer_events downstream_framer_events;

/* Takes `fd`; the connection is in the list until it ends. When there is no memory it is reset. */
void downstream_open(struct downstream_shared *shared, int fd, const struct socket_address *peer);
/* Ends it because husk stops. False when bytes on their way are lost that belong to no unsettled message. */
bool downstream_stop(struct downstream *downstream);
/* Runs it soon: what it waits for may have come, or its deadlines may have come nearer. */
void downstream_wake(struct downstream *downstream);

#endif
