#include "worker/admission.h"

static void timer_arm(struct admission *admission)
{
    if (acceptor_handshakes_are_full(admission->acceptor))
        timer_set(&admission->timer, admission->timer.reactor->now_ms + ACCEPTOR_FULL_HANDSHAKE_MS);
}

static void on_change(void *owner)
{
    struct admission *admission = owner;

    timer_arm(admission);
    if (listener_is_open(admission->listener))
        listener_admit(admission->listener,
                       acceptor_is_full(admission->acceptor) ? LISTENER_THROTTLE : LISTENER_ADMIT);
}

static void on_timer(void *owner)
{
    struct admission *admission = owner;

    if (acceptor_handshakes_are_full(admission->acceptor))
        admission->on_handshakes_full(admission->owner);
    timer_arm(admission);
}

void admission_init(struct admission *admission, struct acceptor *acceptor, struct listener *listener,
                    admission_on_handshakes_full *on_handshakes_full, void *owner)
{
    *admission = (struct admission) {
        .acceptor = acceptor,
        .listener = listener,
        .on_handshakes_full = on_handshakes_full,
        .owner = owner,
    };
    timer_init(&admission->timer, acceptor->reactor, on_timer, admission);
    acceptor_observe(acceptor, on_change, admission);
}
