/* The listening sockets of a route: at least one descriptor for each address and worker. More, if the process
 * has inherited more: a socket that listens has a queue of connections, and none is closed.
 *
 * Owns the descriptors until a worker takes its own, and the files of Unix sockets. Belongs to the control
 * thread. */
#ifndef HUSK_WORKER_LISTENING_H
#define HUSK_WORKER_LISTENING_H

#include "base/fault.h"
#include "wire/inherited.h"
#include "wire/socket.h"
#include "worker/listener.h"

struct listening_socket;

/* An address to listen on. */
struct listening_address {
    struct socket_address address;
    struct socket_access access; /* for a Unix socket that has a file */
    /* Other sockets of this process listen there, and are about to end: both listen for a moment. */
    bool is_taken_over;
    /* With is_taken_over: the socket that listens there and shares its address with no other socket, so that
     * it is duplicated. Borrowed until the change is committed. NULL: none. */
    struct listening_socket *from;
};

struct listening_options {
    struct listening_address *addresses; /* owned by the owner of the options */
    unsigned count;                      /* 1 to LISTENER_SOCKETS_MAX */
};

/* A descriptor, of the worker whose number is the index modulo the number of workers. Its number stays known
 * after the worker has taken it: see listening_fd_is_open. */
struct listening_fd {
    int number;
    ino_t inode; /* of the socket */
    bool is_taken;
};

/* Where the first socket of an address comes from. */
enum listening_origin {
    LISTENING_BOUND,        /* husk has bound it */
    LISTENING_FROM_HUSK,    /* inherited under a name of husk: from the husk before, or kept for it */
    LISTENING_FROM_MANAGER, /* inherited from whoever has started husk */
};

struct listening_socket {
    struct listening_address asked; /* in the options */
    struct socket_address address;  /* with the port that the kernel has chosen for port 0 */
    struct socket_file file;
    bool is_given_up;    /* the socket that takes over removes the file */
    bool is_others_file; /* a service manager has made the file */
    enum listening_origin origin;
    struct listening_fd *fds; /* owned: at least one per worker */
    unsigned fd_count;
};

/* All zeros: nothing is open. */
struct listening {
    struct listening_socket *sockets; /* owned */
    unsigned count;
    unsigned workers;
    /* Until the first addresses are open; borrowed. */
    struct inherited *inherited; /* sockets that may be for these addresses; NULL: none */
    const char *route;           /* its name, for `inherited` */
};

/* Binds and listens; connections wait in the kernel's queue. Call it while no other thread makes files (see
 * socket_listen). The fault names the address and no setting. A failure leaves nothing behind. */
MUST_CHECK bool listening_open(struct listening *listening, const struct listening_options *options,
                               unsigned workers, struct fault *fault);
/* The descriptors of a worker that it has not taken. The caller owns them from now on. */
struct listener_fds listening_take(struct listening *listening, unsigned worker);
/* Whether the number still is of this socket. A worker without memory closes a socket that it has taken, and
 * another descriptor gets the number. */
bool listening_fd_is_open(const struct listening_fd *fd);
/* Whether husk has made sockets, and all of these can stop listening and begin again: a Unix path cannot be
 * bound again, and the kernel chooses another port for port 0. The sockets of a service manager do not stop:
 * the copies of the service manager would stop, too, and systemd gives up such a socket. */
bool listening_can_pause(const struct listening *listening);
/* The socket at an address that it shares with no other socket: a Unix socket whose name still is of this
 * socket, or a TCP socket that was inherited without SO_REUSEPORT. NULL: there is none. */
struct listening_socket *listening_find_alone(struct listening *listening,
                                              const struct socket_address *address);
/* Whether the file of a Unix socket has gone, so that nobody can connect. */
bool listening_has_lost_file(const struct listening *listening);
/* Removes the files of the Unix sockets: nobody can connect there any more. */
void listening_remove_files(struct listening *listening);
/* Logs each address for the route. */
void listening_log(const struct listening *listening, struct log *log, const char *route);
/* Logs each address of the route that continues to listen while other addresses refuse connections. */
void listening_log_fixed(const struct listening *listening, struct log *log, const char *route);
/* Another process goes on at the addresses: the files of the Unix sockets stay. */
void listening_give_up_files(struct listening *listening);
/* Closes the descriptors that no worker has taken, and removes the files. Safe on all zeros. */
void listening_close(struct listening *listening);

/* ---- other addresses ---- */

/* Opens the addresses that are new in `options`, and closes those that are not in it any more. An address
 * that stays keeps its descriptors; a Unix socket whose file is gone is bound again. Three steps, so that
 * several routes change together or not at all. */
struct listening_change;

/* Binds the new addresses: nobody can connect yet. Borrows `listening`, whose `workers` is set. The fault
 * names the address and no setting. NULL: a failure, which leaves nothing behind. */
struct listening_change *listening_change_new(struct listening *listening,
                                              const struct listening_options *options, struct fault *fault);
/* Gives the files of Unix sockets their new rights. Harmless the second time. */
MUST_CHECK bool listening_change_set_rights(struct listening_change *change, struct fault *fault);
/* Sets the rights, unless they are set, and listens at the new addresses. A change that is cancelled
 * afterwards resets the connections that have come: routes that change together set all their rights first.
 */
MUST_CHECK bool listening_change_listen(struct listening_change *change, struct fault *fault);
/* The change is made. Moves the descriptors that workers have taken and that are to be closed to `removed`,
 * one set for each worker; NULL: no worker has taken one. Frees `change`. */
void listening_change_commit(struct listening_change *change, struct listener_fds *removed);
/* Nothing has changed. Frees `change`. NULL is fine. */
void listening_change_cancel(struct listening_change *change);

#endif
