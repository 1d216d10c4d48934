/* The admin endpoint: HTTP/1.1 by http-parser, on the control thread's loop.
 *
 * Owns its listener and connections. Answers GET and HEAD of /live, /ready and /metrics; knows nothing of
 * routes beyond what `admin_source` tells. Limits: see admin_options. */
#ifndef HUSK_ADMIN_ADMIN_H
#define HUSK_ADMIN_ADMIN_H

#include "base/fault.h"
#include "base/log.h"
#include "base/metrics.h"
#include "wire/address.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the answers come from: filled by the daemon, which outlives the endpoint. All calls are made on the
 * control thread. */
struct admin_source {
    void *owner;
    /* Appends reasons for not being ready, one per line, to `text` (terminated, cut to size); true when
     * ready. */
    bool (*ready)(void *owner, char *text, size_t size);
    /* Sums up what is known at this moment. */
    void (*snapshot)(void *owner, struct metrics_snapshot *snapshot);
};

struct admin_options {
    struct socket_address listen;
    unsigned max_connections;    /* further ones are closed at once */
    unsigned request_timeout_ms; /* from accept or the last answer to the end of the next request's head */
};

struct admin; /* owned by its opener */

/* Binds and starts answering. NULL and a fault when the address cannot be bound. `source` and `log` are
 * borrowed. */
MUST_CHECK struct admin *admin_open(struct ev_loop *loop, const struct admin_options *options,
                                    const struct admin_source *source, struct log *log, struct fault *fault);
/* Stops; open connections are closed. NULL is fine. */
void admin_close(struct admin *admin);

/* The address really bound (for port 0). */
const struct socket_address *admin_address(const struct admin *admin);

#endif
