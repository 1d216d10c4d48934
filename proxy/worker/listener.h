/* Accepts connections on one or several sockets, pauses while a limit is reached, and refuses connections on
 * request. Limits and pauses apply to all sockets together.
 *
 * Owns its listening descriptors and one reserve descriptor. When the process is out of descriptors, the
 * reserve is spent to accept and reset the next connection, so that its peer learns of the failure. Belongs
 * to the thread of its worker. */
#ifndef HUSK_WORKER_LISTENER_H
#define HUSK_WORKER_LISTENER_H

#include "base/log.h"
#include "base/metrics.h"
#include "wire/address.h"

#include <ev.h>
#include <stdbool.h>

enum {
    LISTENER_SOCKETS_MAX = 16, /* addresses */
    LISTENER_FDS_MAX = 1024    /* sockets at these addresses */
};

/* A socket of a listener: non-blocking, close-on-exec, listening. */
struct listener_fd {
    int number;
    bool is_of_manager; /* a service manager has made the socket: it never stops listening */
};

struct listener_fds {
    struct listener_fd items[LISTENER_FDS_MAX];
    unsigned count;
};

/* Closes descriptors that no listener has taken. None is left. */
void listener_fds_close(struct listener_fds *fds);

/* In LISTENER_REFUSING a socket is bound but does not listen: the kernel refuses connections. A socket of a
 * service manager continues to listen. */
enum listener_mode { LISTENER_LISTENING, LISTENER_REFUSING };

/* Takes `fd`, which is non-blocking and close-on-exec. */
typedef void listener_on_accepted(void *owner, int fd, const struct socket_address *peer);

struct listener_options {
    struct ev_loop *loop;          /* borrowed */
    const struct listener_fd *fds; /* borrowed; the descriptors are taken */
    unsigned fd_count;             /* not 0 */
    struct metrics *metrics;       /* borrowed */
    struct log *log;               /* borrowed */
    listener_on_accepted *on_accepted;
    void *owner;
};

struct listener_socket {
    ev_io watcher; /* of `set`; of `fd` if there is no set */
    int fd;
    bool is_of_manager;
    int set;                 /* an epoll set that has `fd` alone; -1: there is none */
    enum listener_mode mode; /* differs from `wanted` while listening again fails */
};

struct listener {
    struct ev_loop *loop;
    struct listener_socket *sockets; /* owned */
    unsigned socket_count, socket_room;
    bool is_open;
    int reserve;          /* -1: spent until the pause is over */
    ev_timer pause;       /* descriptors or memory ran out */
    ev_timer retry;       /* a socket cannot listen again yet */
    double pause_seconds; /* length of the last pause; 0 after an accepted connection */
    bool throttled;
    enum listener_mode wanted; /* the mode last set */
    struct metrics *metrics;
    struct log *log;
    struct log_limiter limiter;
    listener_on_accepted *on_accepted;
    void *owner;
};

/* Begins to accept. The listener does not move in memory afterwards. */
void listener_open(struct listener *listener, const struct listener_options *options);
void listener_close(struct listener *listener);
/* Accepts the connections that wait, unless a limit is reached, and closes the listener. */
void listener_finish(struct listener *listener);
/* The same, while another process goes on at the sockets. */
void listener_hand_over(struct listener *listener);
/* Makes space for another socket. False: the listener is closed, has LISTENER_FDS_MAX, or is out of memory.
 */
MUST_CHECK bool listener_make_space(struct listener *listener);
/* Accepts on another socket too, for which there is space. Takes its descriptor. */
void listener_add(struct listener *listener, const struct listener_fd *fd);
/* Accepts the connections that wait at one of the sockets, unless a limit is reached, and closes the socket.
 */
void listener_remove(struct listener *listener, int fd);
bool listener_is_open(const struct listener *listener);

/* Connections accepted from now on are tuned so (socket_tune). */
void listener_tune(struct listener *listener, unsigned dead_peer_ms);

/* Whether a limit of the worker has been reached: a throttled listener leaves connections in the kernel's
 * queue. */
enum listener_admission { LISTENER_ADMIT, LISTENER_THROTTLE };
void listener_admit(struct listener *listener, enum listener_admission admission);

/* Only if each socket that husk has made has a TCP port that the settings give by number (see
 * socket_listen_pause). If listening again fails, the listener tries again each second. */
void listener_set_mode(struct listener *listener, enum listener_mode mode);

#endif
