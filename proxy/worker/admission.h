/* Keeps a worker within its limits: stops accepting while --max-connections or --max-handshakes is reached.
 * While --max-handshakes is reached, makes the worker check the deadlines of its TLS handshakes.
 *
 * Observes the acceptor and owns nothing else. Belongs to its worker's thread. */
#ifndef HUSK_WORKER_ADMISSION_H
#define HUSK_WORKER_ADMISSION_H

#include "link/acceptor.h"
#include "runtime/timer.h"
#include "worker/listener.h"

/* The deadlines of TLS handshakes are earlier now (acceptor_handshake_deadline_ms). */
typedef void admission_on_handshakes_full(void *owner);

struct admission {
    struct acceptor *acceptor; /* borrowed */
    struct listener *listener; /* borrowed */
    struct timer timer;        /* runs while --max-handshakes is reached */
    admission_on_handshakes_full *on_handshakes_full;
    void *owner;
};

/* Call after listener_open. */
void admission_init(struct admission *admission, struct acceptor *acceptor, struct listener *listener,
                    admission_on_handshakes_full *on_handshakes_full, void *owner);

#endif
