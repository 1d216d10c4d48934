/* Accepts connections, pauses while a limit is reached, and refuses connections on request.
 *
 * Owns its listening descriptor and one reserve descriptor. When the process is out of descriptors, the
 * reserve is spent to accept and reset the next connection, so that its peer learns of the failure. Belongs
 * to the thread of its worker. */
#ifndef HUSK_WORKER_LISTENER_H
#define HUSK_WORKER_LISTENER_H

#include "base/log.h"
#include "base/metrics.h"
#include "wire/address.h"

#include <ev.h>
#include <stdbool.h>

/* In LISTENER_REFUSING the socket is bound but does not listen: the kernel refuses connections. */
enum listener_mode { LISTENER_LISTENING, LISTENER_REFUSING };

/* Takes `fd`, which is non-blocking and close-on-exec. */
typedef void listener_on_accepted(void *owner, int fd, const struct socket_address *peer);

struct listener_options {
    struct ev_loop *loop;    /* borrowed */
    int fd;                  /* a listening socket; taken */
    struct metrics *metrics; /* borrowed */
    struct log *log;         /* borrowed */
    listener_on_accepted *on_accepted;
    void *owner;
};

struct listener {
    struct ev_loop *loop;
    int fd;
    int reserve; /* -1: spent until the pause is over */
    ev_io watcher;
    ev_timer pause;
    double pause_seconds; /* length of the last pause; 0 after an accepted connection */
    bool throttled;
    enum listener_mode wanted; /* the mode last set */
    enum listener_mode actual; /* the mode of the socket: listening again can fail for a while */
    struct metrics *metrics;
    struct log *log;
    struct log_limiter limiter;
    listener_on_accepted *on_accepted;
    void *owner;
};

/* Begins to accept. */
void listener_open(struct listener *listener, const struct listener_options *options);
void listener_close(struct listener *listener);

/* Whether a limit of the worker has been reached: a throttled listener leaves connections in the kernel's
 * queue. */
enum listener_admission { LISTENER_ADMIT, LISTENER_THROTTLE };
void listener_admit(struct listener *listener, enum listener_admission admission);

/* Only for TCP ports that were asked for by number (see socket_listen_pause). When listening again fails, the
 * listener tries again each second. */
void listener_set_mode(struct listener *listener, enum listener_mode mode);

#endif
