/* Answers UDP heartbeats while the upstream is healthy: one zero byte for each datagram, as the input of
 * Fluentd does for an agent with `heartbeat_type udp`.
 *
 * Owns its socket; lives on the loop of the control thread. Asks its owner whether to answer. The address of
 * a sender can be forged: therefore an answer is never longer than the question, and the number of answers is
 * limited. */
#ifndef HUSK_CONTROL_HEARTBEAT_H
#define HUSK_CONTROL_HEARTBEAT_H

#include "base/fault.h"
#include "wire/address.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

/* Whether to answer heartbeats now. */
typedef bool heartbeat_on_asked(void *owner);

struct heartbeat_options {
    struct socket_address address; /* an IP address, with its port */
    uint32_t per_second; /* datagrams read, at least 1; further ones wait in the socket's buffer, and the
                            kernel drops what does not fit */
    heartbeat_on_asked *on_asked;
    void *owner;
};

struct heartbeat {
    struct heartbeat_options options;
    struct ev_loop *loop; /* NULL: not open */
    int fd;
    ev_io watcher;
    ev_timer pause;           /* runs until the second is over in which the limit was reached */
    uint64_t second_start_ms; /* clock_monotonic_ms */
    uint32_t taken;           /* datagrams since then */
    uint64_t answered;        /* since the start */
};

/* Binds the socket and begins to answer. */
MUST_CHECK bool heartbeat_open(struct heartbeat *heartbeat, struct ev_loop *loop,
                               const struct heartbeat_options *options, struct fault *fault);
/* Safe on all zeros, and after a failure to open. */
void heartbeat_close(struct heartbeat *heartbeat);

#endif
