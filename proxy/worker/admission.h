/* Keeps a worker within its limits: stops accepting while --max-connections is reached or the handshakes are
 * full. While the handshakes are full, makes those overdue that keep others out.
 *
 * Observes the acceptor and owns nothing else. Belongs to its worker's thread. */
#ifndef HUSK_WORKER_ADMISSION_H
#define HUSK_WORKER_ADMISSION_H

#include "link/acceptor.h"
#include "runtime/timer.h"
#include "worker/listener.h"

struct admission {
    struct acceptor *acceptor; /* borrowed */
    struct listener *listener; /* borrowed */
    struct timer timer;        /* runs while the handshakes are full */
};

/* Call after listener_open. */
void admission_init(struct admission *admission, struct acceptor *acceptor, struct listener *listener);
/* Observes the acceptor no longer. */
void admission_close(struct admission *admission);

#endif
