/* The listening sockets of a route: one descriptor for each address and worker.
 *
 * Owns the descriptors until a worker takes its own, and the files of Unix sockets. Belongs to the control
 * thread. */
#ifndef HUSK_WORKER_LISTENING_H
#define HUSK_WORKER_LISTENING_H

#include "base/fault.h"
#include "wire/socket.h"
#include "worker/listener.h"

/* An address to listen on. */
struct listening_address {
    struct socket_address address;
    struct socket_access access; /* for a Unix socket that has a file */
};

struct listening_options {
    struct listening_address addresses[LISTENER_SOCKETS_MAX];
    unsigned count; /* at least 1 */
};

struct listening_socket {
    struct socket_address address; /* with the port that the kernel has chosen for port 0 */
    struct socket_file file;
};

/* All zeros: nothing is open. */
struct listening {
    struct listening_socket sockets[LISTENER_SOCKETS_MAX];
    unsigned count;
    struct listener_fds *fds; /* per worker; count 0: taken */
    unsigned workers;
};

/* Binds and listens; connections wait in the kernel's queue. Call it while the process has one thread (see
 * socket_listen). The fault names the address and no setting. Call listening_close also after a failure. */
MUST_CHECK bool listening_open(struct listening *listening, const struct listening_options *options,
                               unsigned workers, struct fault *fault);
/* The descriptors of a worker, which the caller owns from now on. */
struct listener_fds listening_take(struct listening *listening, unsigned worker);
/* Closes the descriptors that no worker has taken, and removes the files. Safe on all zeros. */
void listening_close(struct listening *listening);

#endif
