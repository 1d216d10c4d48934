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
    bool is_taken_over; /* from another socket of this process, which is about to end: both listen for a
                           moment */
};

struct listening_options {
    struct listening_address addresses[LISTENER_SOCKETS_MAX];
    unsigned count; /* at least 1 */
};

/* The descriptor of one worker. Its number stays known after the worker has taken it. */
struct listening_fd {
    int number; /* -1: none */
    bool is_taken;
};

struct listening_socket {
    struct listening_address asked; /* in the options */
    struct socket_address address;  /* with the port that the kernel has chosen for port 0 */
    struct socket_file file;
    struct listening_fd *fds; /* owned: one per worker */
};

/* All zeros: nothing is open. */
struct listening {
    struct listening_socket sockets[LISTENER_SOCKETS_MAX];
    unsigned count;
    unsigned workers;
};

/* Binds and listens; connections wait in the kernel's queue. Call it while no other thread makes files (see
 * socket_listen). The fault names the address and no setting. Call listening_close also after a failure. */
MUST_CHECK bool listening_open(struct listening *listening, const struct listening_options *options,
                               unsigned workers, struct fault *fault);
/* The descriptors of a worker that it has not taken. The caller owns them from now on. */
struct listener_fds listening_take(struct listening *listening, unsigned worker);
/* Closes the descriptors that no worker has taken, and removes the files. Safe on all zeros. */
void listening_close(struct listening *listening);

/* Opens the addresses that are new in `options`, and closes those that are not in it any more. An address
 * that stays keeps its descriptors; a Unix socket gets its new access rights. Moves the descriptors that
 * workers have taken and that are to be closed to `removed`, one set for each worker. A failure changes no
 * address. */
MUST_CHECK bool listening_change(struct listening *listening, const struct listening_options *options,
                                 struct listener_fds *removed, struct fault *fault);

#endif
