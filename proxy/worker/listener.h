/* Accepts connections, stops accepting while there is no room for more, and refuses them when told to.
 *
 * Owns its listening descriptor and one descriptor in reserve, so that running out of them can be told to the
 * peer that knocks. Belongs to its worker's thread. */
#ifndef HUSK_WORKER_LISTENER_H
#define HUSK_WORKER_LISTENER_H

#include "base/log.h"
#include "base/metrics.h"
#include "wire/address.h"

#include <ev.h>
#include <stdbool.h>

/* Whether it listens at all: what is shut, the kernel refuses. */
enum listener_door { LISTENER_OPEN, LISTENER_SHUT };

/* Takes `fd`, which is non-blocking and close-on-exec. */
typedef void listener_on_accepted(void *owner, int fd, const struct socket_address *peer);

struct listener {
    struct ev_loop *loop;
    int fd;
    int reserve; /* -1: used up for the moment */
    ev_io watcher;
    ev_timer pause;
    double pause_seconds; /* the next back-off; 0: none under way */
    bool throttled;
    enum listener_door door; /* as told */
    bool shut;               /* as it is: opening it can fail for a while */
    struct metrics *metrics;
    struct log *log;
    struct log_limiter limiter;
    listener_on_accepted *on_accepted;
    void *owner;
};

/* Takes `fd`, a listening socket; begins to accept. */
void listener_open(struct listener *listener, struct ev_loop *loop, int fd, struct metrics *metrics,
                   struct log *log, listener_on_accepted *on_accepted, void *owner);
void listener_close(struct listener *listener);

/* Whether a limit of the worker has been reached. */
enum listener_admission { LISTENER_ADMIT, LISTENER_THROTTLE };
void listener_admit(struct listener *listener, enum listener_admission admission);

/* For TCP ports that were asked for by number. */
void listener_turn(struct listener *listener, enum listener_door door);

#endif
