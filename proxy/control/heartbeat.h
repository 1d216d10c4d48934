/* Answers UDP heartbeats while the upstream is healthy: one zero byte for each datagram, as Fluentd's input
 * does for an agent with `heartbeat_type udp`.
 *
 * Owns its socket; lives on the control thread's loop. Knows nothing of health: it asks. An answer is never
 * longer than the question, and there are no more of them than a limit allows: a sender's address can be
 * forged. */
#ifndef HUSK_CONTROL_HEARTBEAT_H
#define HUSK_CONTROL_HEARTBEAT_H

#include "base/fault.h"
#include "wire/address.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

/* Whether heartbeats are to be answered now. */
typedef bool heartbeat_on_asked(void *owner);

struct heartbeat_options {
    struct socket_address address; /* an IP address, with its port */
    uint32_t per_second; /* datagrams taken; beyond that they wait in the kernel, which drops what is
                            too much; at least 1 */
    heartbeat_on_asked *on_asked;
    void *owner;
};

struct heartbeat {
    struct heartbeat_options options;
    struct ev_loop *loop; /* NULL: not open */
    int fd;
    ev_io watcher;
    ev_timer pause;           /* runs while the limit is reached */
    uint64_t second_start_ms; /* clock_monotonic_ms */
    uint32_t taken;           /* since then */
    uint64_t answered;        /* ever */
};

/* Binds its socket and begins to answer. */
MUST_CHECK bool heartbeat_open(struct heartbeat *heartbeat, struct ev_loop *loop,
                               const struct heartbeat_options *options, struct fault *fault);
/* Safe on all zeros, and after a failure to open. */
void heartbeat_close(struct heartbeat *heartbeat);

#endif
