/* What an agent must pass before husk reads its messages: the TLS handshake, the permit for its identity, and
 * shared-key authentication. Each is left out where it is not configured.
 *
 *   SECURING ──TLS, permit──▶ AUTHENTICATING ──shared key──▶ GRANTED        (each of them: ──end──▶ CLOSED)
 *       └──TLS, permit, no shared key configured──────────────┘
 *
 * Owns the inlet and the permit. Belongs to its worker's thread. */
#ifndef HUSK_DELIVERY_AGENT_ACCESS_H
#define HUSK_DELIVERY_AGENT_ACCESS_H

#include "delivery/framer.h"
#include "delivery/message_policy.h"
#include "link/authentication.h"
#include "link/inlet.h"

enum agent_access_state { ACCESS_SECURING, ACCESS_AUTHENTICATING, ACCESS_GRANTED, ACCESS_CLOSED };

struct agent_access {
    enum agent_access_state state;
    struct inlet inlet;
    struct authentication authentication;
    struct message_permit permit; /* what the agent may write */
    unsigned generation;          /* of the rules that the permit is from */
};

/* Takes `fd`. Runs `task` when the connection may be ready to read or to write. */
void agent_access_open(struct agent_access *access, struct transport *transport, int fd,
                       const struct socket_address *peer, struct task *task);
void agent_access_close(struct agent_access *access, enum leg_closing closing);

/* While SECURING: advances the TLS handshake, then opens the permit and begins authentication, whose HELO is
 * put into `out`. The first bytes of a TLS agent are put into `received`. Goes on when SECURING is over. */
struct step agent_access_secure(struct agent_access *access, struct message_meters *meters,
                                struct buffer *received, struct buffer *out);

/* Call it before each step, with the `generation` of the rules, which counts their changes. After a change,
 * opens a new permit: at once, or after the current message of `framer`, which pauses then. END_NONE, or why
 * the agent may write nothing any more. */
MUST_CHECK enum end_reason agent_access_update(struct agent_access *access, struct framer *framer,
                                               struct message_meters *meters, unsigned generation);

/* While AUTHENTICATING: takes the bytes of the handshake off the front of `in`. Goes on when access is
 * granted. A PONG that refuses the agent is written before the step ends. */
struct step agent_access_authenticate(struct agent_access *access, struct buffer *in, struct buffer *out);

/* Whether authentication must end without an answer of the agent: it has left, or it is late. END_NONE: it
 * goes on, or is over. */
enum end_reason agent_access_verdict(const struct agent_access *access);

/* Whether husk, while AUTHENTICATING, has sent everything in `out`, and the agent has sent nothing after its
 * handshake messages. The owner closes such an agent without a reset, so that the agent can read a PONG that
 * refuses the agent. */
bool agent_access_has_answered(const struct agent_access *access, const struct buffer *in,
                               const struct buffer *out);

/* The phase for the log: "handshake", "shared_key" or "read"; and what is known about a failure. */
const char *agent_access_phase(const struct agent_access *access);
const char *agent_access_detail(const struct agent_access *access);

#endif
