#include "worker/admission.h"

static void on_change(void *owner)
{
    struct admission *admission = owner;

    timer_set(&admission->timer, tls_handshakes_relief_ms(&admission->acceptor->handshakes));
    if (listener_is_open(admission->listener))
        listener_admit(admission->listener,
                       acceptor_is_full(admission->acceptor) ? LISTENER_THROTTLE : LISTENER_ADMIT);
}

static void on_timer(void *owner)
{
    struct admission *admission = owner;

    tls_handshakes_relieve(&admission->acceptor->handshakes);
    timer_set(&admission->timer, tls_handshakes_relief_ms(&admission->acceptor->handshakes));
}

void admission_init(struct admission *admission, struct acceptor *acceptor, struct listener *listener)
{
    *admission = (struct admission) { .acceptor = acceptor, .listener = listener };
    timer_init(&admission->timer, acceptor->reactor, on_timer, admission);
    acceptor_observe(acceptor, on_change, admission);
}

void admission_close(struct admission *admission)
{
    acceptor_observe(admission->acceptor, NULL, NULL);
    timer_stop(&admission->timer);
}
