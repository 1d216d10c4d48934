#include "delivery/retirement.h"

#include "runtime/timer.h"
#include "wire/socket.h"

#include <stdlib.h>

static const struct transport *transport_of(const struct receiver *receiver)
{
    return receiver->shared->dispatcher->transport;
}

void retirement_init(struct retirement *retirement)
{
    *retirement = (struct retirement) { .age_draw = arc4random() };
}

/* 0: the age is not limited. */
static uint64_t old_at(const struct retirement *retirement, const struct inlet *inlet)
{
    uint64_t age_ms = inlet->transport->route->max_downstream_age_ms;
    uint64_t spread_ms = age_ms / 5 * retirement->age_draw >> 32;

    return age_ms ? inlet->accepted_ms + age_ms - age_ms / 10 + spread_ms : 0;
}

bool retirement_is_due(const struct retirement *retirement, const struct inlet *inlet)
{
    uint64_t old_at_ms = old_at(retirement, inlet);

    return old_at_ms && inlet->transport->reactor->now_ms >= old_at_ms;
}

uint64_t retirement_deadline(const struct retirement *retirement, const struct agent_access *access)
{
    const struct inlet *inlet = &access->inlet;

    if (retirement->reason == END_NONE)
        return timer_earlier(inlet->life.due_ms,
                             access->state == ACCESS_GRANTED ? old_at(retirement, inlet) : 0);
    return inlet->transport->reactor->now_ms < retirement->reads_until_ms
               ? timer_earlier(retirement->reads_until_ms, retirement->end_at_ms)
               : retirement->end_at_ms;
}

void retirement_update(struct retirement *retirement, struct agent_access *access, struct receiver *receiver,
                       enum end_reason wanted)
{
    const struct transport *transport = transport_of(receiver);
    const struct inlet *inlet = &access->inlet;
    enum end_reason reason = inlet_judge(&access->inlet);
    bool is_old = access->state == ACCESS_GRANTED && retirement_is_due(retirement, inlet);

    if (reason == END_NONE)
        reason = is_old ? END_RETIRED : wanted;
    if (reason == END_NONE || !leg_is_secured(&inlet->leg))
        return;
    if (access->state == ACCESS_AUTHENTICATING && receiver->senders.peer && reason == END_RETIRED)
        return; /* for the calling husk, an end in the handshake is a failure of this address */
    if (access->state == ACCESS_AUTHENTICATING)
        framer_stop(&receiver->framer); /* the peer has sent no message yet */
    else if (senders_say_goaway(&receiver->senders, reason) && reason == END_RETIRED &&
             retirement->reason == END_NONE)
        retirement->reads_until_ms = transport->reactor->now_ms + transport->route->linger_timeout_ms;
    retirement_begin(retirement, reason, receiver, &inlet->leg);
}

void retirement_begin(struct retirement *retirement, enum end_reason reason, struct receiver *receiver,
                      const struct leg *leg)
{
    const struct transport *transport = transport_of(receiver);

    if (reason != END_RETIRED)
        retirement->reads_until_ms = 0; /* also if the peer loses trust later */
    if (retirement->reason != END_NONE)
        return;
    retirement->reason = reason;
    retirement->left_bytes = UINT32_MAX;
    retirement->end_at_ms = transport->reactor->now_ms + transport->route->drain_timeout_ms;
    retirement_note_read(retirement, receiver, leg, 0);
}

void retirement_shed(struct retirement *retirement, struct receiver *receiver, const struct leg *leg)
{
    framer_stop(&receiver->framer);
    retirement_begin(retirement, END_RETIRED, receiver, leg);
    retirement->is_shed = true;
}

void retirement_note_read(struct retirement *retirement, struct receiver *receiver, const struct leg *leg,
                          size_t bytes)
{
    bool reads_on = transport_of(receiver)->reactor->now_ms < retirement->reads_until_ms && !leg->read_over;

    if (retirement->reason == END_NONE || reads_on)
        return;
    /* TLS records are longer than what is in them: the kernel knows when all of them are read. */
    size_t unread = leg->read_over ? 0 : socket_unread(leg->fd);
    size_t left = retirement->left_bytes > bytes ? retirement->left_bytes - bytes : 0;
    retirement->left_bytes = (uint32_t)(unread < left ? unread : left);
    /* Messages that a rate limit delays are read, and not scanned. */
    if (!retirement->left_bytes &&
        !framer_wait_ms(&receiver->framer, transport_of(receiver)->reactor->now_ms))
        framer_stop(&receiver->framer);
}

bool retirement_is_over(const struct retirement *retirement, const struct receiver *receiver,
                        const struct leg *leg, const struct buffer *outgoing)
{
    bool is_left = retirement->is_shed ? receiver_can_be_left(receiver) : receiver_is_settled(receiver);

    return retirement->reason != END_NONE && framer_has_stopped(&receiver->framer) && is_left &&
           !outgoing->length && !leg->unsent.length;
}

bool retirement_is_late(const struct retirement *retirement, uint64_t now_ms)
{
    return retirement->reason != END_NONE && now_ms >= retirement->end_at_ms;
}
