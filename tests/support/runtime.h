/* A reactor, a route and a transport for tests of connections. The loop runs only when a test turns it; a
 * test may move the reactor's clock on. */
#ifndef HUSK_TESTS_SUPPORT_RUNTIME_H
#define HUSK_TESTS_SUPPORT_RUNTIME_H

#include "link/transport.h"

enum { RUNTIME_LOG_BYTES = 16384 };

struct runtime {
    struct reactor reactor;
    struct route_options route; /* a test may change it */
    struct log log;
    struct transport transport;
    int log_pipe[2];
};

/* A plaintext route with at-least-once delivery and without timeouts that a test does not set. The runtime
 * must not move in memory afterwards. */
void runtime_open(struct runtime *runtime);
/* Frees ended connections too. */
void runtime_close(struct runtime *runtime);

/* Moves the reactor's clock on. */
void runtime_pass(struct runtime *runtime, uint64_t duration_ms);

/* Gives the dialer endpoints at these ports of 127.0.0.1, with these tiers; NULL: all in tier 0. */
void runtime_set_endpoints(struct runtime *runtime, const uint16_t *ports, const unsigned *tiers,
                           size_t count);

/* Moves what was logged since the last call to `text`. */
void runtime_read_log(struct runtime *runtime, char text[RUNTIME_LOG_BYTES]);

#endif
