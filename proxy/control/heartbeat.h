/* Answers UDP heartbeats while the upstream is healthy: one zero byte for each datagram, as the input of
 * Fluentd does for an agent with `heartbeat_type udp`.
 *
 * Owns its sockets; lives on the loop of the control thread. Asks its owner whether to answer. The source of
 * a datagram can be forged, and then two programs that answer heartbeats answer each other. Therefore an
 * answer is one byte, and limits hold for all answers together and for each source. A datagram beyond the
 * limit of its source never gets an answer, which ends the exchange of two programs. */
#ifndef HUSK_CONTROL_HEARTBEAT_H
#define HUSK_CONTROL_HEARTBEAT_H

#include "base/fault.h"
#include "base/log.h"
#include "control/source_limit.h"
#include "wire/address.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

/* Whether to answer heartbeats now. */
typedef bool heartbeat_on_asked(void *owner);

enum { HEARTBEAT_SOCKETS_MAX = 16 };

struct heartbeat_options {
    const char *route;   /* borrowed: its name, for the log; NULL: none */
    uint32_t per_second; /* datagrams read on all sockets, at least 1; further ones wait in the sockets'
                            buffers, and the kernel drops what does not fit */
    uint32_t per_second_and_source; /* datagrams answered, see source_limit; 0: no limit */
    struct log *log;                /* borrowed */
    heartbeat_on_asked *on_asked;
    void *owner;
};

struct heartbeat {
    struct heartbeat_options options;
    struct ev_loop *loop;                  /* NULL: not open */
    ev_io watchers[HEARTBEAT_SOCKETS_MAX]; /* one per socket */
    unsigned count;
    ev_timer pause;           /* runs to the end of the second in which the limit was reached */
    uint64_t second_start_ms; /* clock_monotonic_ms */
    uint32_t taken;           /* datagrams since then */
    struct source_limit sources;
    struct log_limiter limiter;
    /* Since the first open; limited: not answered, because their source asked too often. */
    uint64_t answered, limited;
};

/* Zero-initialise. `heartbeat` does not move in memory afterwards. */
void heartbeat_open(struct heartbeat *heartbeat, struct ev_loop *loop,
                    const struct heartbeat_options *options);
/* Goes on with other options. */
void heartbeat_set_options(struct heartbeat *heartbeat, const struct heartbeat_options *options);
/* Binds a socket to `address`, an IP address with its port, and begins to answer there, unless it does so
 * already. At most HEARTBEAT_SOCKETS_MAX addresses. Fails also if the socket would take one of the last
 * descriptors, which connections need. A failure changes nothing. */
MUST_CHECK bool heartbeat_bind(struct heartbeat *heartbeat, const struct socket_address *address,
                               struct fault *fault);
/* Closes the sockets at other addresses than these. */
void heartbeat_keep(struct heartbeat *heartbeat, const struct socket_address *addresses, unsigned count);
/* Keeps the counts. Safe on all zeros. */
void heartbeat_close(struct heartbeat *heartbeat);

#endif
