#include "delivery/agent_access.h"

static uint64_t now_ms(const struct agent_access *access)
{
    return access->inlet.transport->reactor->now_ms;
}

void agent_access_open(struct agent_access *access, struct transport *transport, int fd,
                       const struct socket_address *peer, struct task *task)
{
    *access = (struct agent_access) { .state = ACCESS_SECURING };
    inlet_open(&access->inlet, transport, fd, peer, task);
}

void agent_access_close(struct agent_access *access, enum leg_closing closing)
{
    access->state = ACCESS_CLOSED;
    inlet_close(&access->inlet, closing);
    authentication_end(&access->authentication);
    message_permit_close(&access->permit);
}

/* ---- steps ---- */

/* The peer's identity is known. */
static enum end_reason permit_open(struct agent_access *access, struct message_meters *meters)
{
    const struct route_options *route = access->inlet.transport->route;
    const struct tls_channel *tls = access->inlet.leg.tls;
    const struct identity *identity = tls ? tls_channel_peer(tls) : NULL;

    enum end_reason reason =
        message_permit_open(&access->permit, route->policy, meters, identity, now_ms(access));
    return reason == END_NONE ? message_permit_set_fields(&access->permit, &route->identity_fields, identity)
                              : reason;
}

/* A batch that waits has been made by the old permit. */
enum end_reason agent_access_update(struct agent_access *access, struct framer *framer,
                                    struct message_meters *meters, unsigned generation)
{
    if (access->generation == generation)
        return END_NONE;
    if (framer_is_mid_message(framer)) {
        framer_pause(framer);
        return END_NONE;
    }
    enum end_reason reason = framer_flush(framer);
    access->generation = generation;
    framer_resume(framer);
    if (reason != END_NONE || access->state == ACCESS_SECURING) /* that has no permit yet */
        return reason;
    message_permit_close(&access->permit);
    return permit_open(access, meters);
}

static struct step authentication_open(struct agent_access *access, struct message_meters *meters,
                                       struct buffer *out)
{
    const struct route_options *route = access->inlet.transport->route;
    struct shared_key_slot *key = route->key[SIDE_DOWNSTREAM];

    access->state = ACCESS_GRANTED;
    enum end_reason reason = permit_open(access, meters);
    if (reason == END_NONE && key) {
        access->state = ACCESS_AUTHENTICATING;
        reason = authentication_begin(&access->authentication, HANDSHAKE_ACCEPTING, key,
                                      now_ms(access) + route->handshake_timeout_ms, out);
    }
    return step_goes_on_unless(reason);
}

struct step agent_access_secure(struct agent_access *access, struct message_meters *meters,
                                struct buffer *received, struct buffer *out)
{
    if (access->inlet.state == INLET_SECURING) {
        struct step step = inlet_advance(&access->inlet, received);
        if (access->inlet.state == INLET_SECURING)
            return step; /* else the next steps of the connection find an end after the handshake */
    }
    enum end_reason reason = inlet_judge(&access->inlet); /* the credentials may be new since the accept */
    if (reason != END_NONE)
        return step_goes_on_unless(reason);
    return authentication_open(access, meters, out);
}

struct step agent_access_authenticate(struct agent_access *access, struct buffer *in, struct buffer *out)
{
    enum end_reason reason = authentication_advance(&access->authentication, in, out);

    if (reason != END_NONE)
        (void)leg_write(&access->inlet.leg, out);
    else if (!authentication_is_running(&access->authentication))
        access->state = ACCESS_GRANTED;
    return access->state == ACCESS_GRANTED ? step_goes_on_unless(END_NONE) : step_waits_unless(reason);
}

enum end_reason agent_access_verdict(const struct agent_access *access)
{
    if (access->state != ACCESS_AUTHENTICATING)
        return END_NONE;
    if (access->inlet.leg.read_over)
        return END_PROBE;
    return now_ms(access) >= authentication_deadline_ms(&access->authentication) ? END_KEY_TIMEOUT : END_NONE;
}

bool agent_access_has_answered(const struct agent_access *access, const struct buffer *in,
                               const struct buffer *out)
{
    return access->state == ACCESS_AUTHENTICATING && access->inlet.leg.broken == END_NONE && !in->length &&
           !out->length;
}

/* ---- for the log ---- */

const char *agent_access_phase(const struct agent_access *access)
{
    static const char *const names[] = { "handshake", "shared_key", "read", "closed" };

    return names[access->state];
}

const char *agent_access_detail(const struct agent_access *access)
{
    if (*message_permit_detail(&access->permit))
        return message_permit_detail(&access->permit);
    return access->state == ACCESS_AUTHENTICATING ? authentication_detail(&access->authentication)
                                                  : leg_detail(&access->inlet.leg);
}
