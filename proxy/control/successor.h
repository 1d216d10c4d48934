/* The process that is to take the place of this one: the same program, started again.
 *
 *   NONE ──start──▶ STARTING ──it says that it is ready──▶ READY ──release──▶ RELEASED
 *    ▲                 │
 *    └──on_ended───────┘  it has ended, or was late and was ended
 *
 * The successor loads everything and begins to accept connections. Then it is ready. The successor is
 * released when this process has stopped accepting. Both processes talk over a pair of sockets; the successor
 * has one of them under the name `successor_channel`. The successor writes a byte when it is ready, and reads
 * a byte when it is released. The end of this process also releases the successor. If the successor ends
 * before this process has read the byte, the successor was never ready, and this process continues to accept.
 *
 * Owns a timer and the watchers of the channel and of the child, on the loop of the control thread, which is
 * the default loop. */
#ifndef HUSK_CONTROL_SUCCESSOR_H
#define HUSK_CONTROL_SUCCESSOR_H

#include "base/fault.h"
#include "control/spawn.h"

#include <ev.h>
#include <stdint.h>

extern const char successor_channel[];

struct successor_options {
    struct ev_loop *loop; /* borrowed */
    uint64_t timeout_ms;  /* from the start until it is ready */
    void (*on_ready)(void *owner);
    /* It is gone. `status` is as of waitpid(2); `how` says the same in words: "has ended with status 2". */
    void (*on_ended)(void *owner, int status, const char *how);
    void *owner;
};

enum successor_state { SUCCESSOR_NONE, SUCCESSOR_STARTING, SUCCESSOR_READY, SUCCESSOR_RELEASED };

/* Zero-initialise. */
struct successor {
    struct successor_options options;
    enum successor_state state;
    pid_t pid;   /* unless SUCCESSOR_NONE */
    int channel; /* STARTING and READY */
    bool is_late;
    ev_io watcher;
    ev_timer deadline;
    ev_child child;
};

/* Starts the successor with `sockets`, to which the channel is added. The state is SUCCESSOR_NONE. False and
 * a fault: there is no successor. The struct does not move in memory afterwards. */
MUST_CHECK bool successor_start(struct successor *successor, const struct successor_options *options,
                                struct spawn_sockets *sockets, struct fault *fault);
/* This process has stopped accepting: tells the successor so. The state is SUCCESSOR_READY. */
void successor_release(struct successor *successor);
/* Ends a successor that starts; on_ended does not follow. Harmless in the other states. */
void successor_cancel(struct successor *successor);

/* To be called in the successor when it accepts connections. Says that the successor is ready, and waits
 * until it is released. Takes `channel`. */
void successor_wait(int channel);

#endif
