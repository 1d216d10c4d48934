/* The admin endpoint: HTTP/1.1 by http-parser, on the control thread's loop.
 *
 * Owns its listener, its connections and one descriptor in reserve. Answers GET and HEAD of /live, /ready and
 * /metrics; knows nothing of routes beyond what `admin_source` tells. Limits: see admin_options and
 * http_connection.h. Out of descriptors it serves one connection at a time by the reserve, so that a process
 * that is merely full is not taken for dead; while that one is open it pauses accepting, with a back-off. */
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

/* Where the answers come from: copied, but its owner outlives the endpoint. All calls are made on the control
 * thread. */
struct admin_source {
    void *owner;
    /* True when ready; else writes the reasons, one per line, to `text` (empty at first; terminated, cut to
     * size). */
    bool (*ready)(void *owner, char *text, size_t size);
    /* Fills *snapshot (zeroed) with what is known at this moment; it need not live longer than until the next
     * call. */
    void (*snapshot)(void *owner, struct metrics_snapshot *snapshot);
};

struct admin_options {
    struct socket_address listen;
    unsigned max_connections;    /* further ones are closed at once; not 0 */
    unsigned request_timeout_ms; /* for a request, from accept or the last answer to its end, and for taking
                                    the answer; not 0 */
};

struct admin; /* owned by its opener */

/* Binds and starts answering. NULL and a fault when the address cannot be bound. `log` is borrowed. A Unix
 * socket's file is created, with the permissions the umask leaves, in place of one on which nobody answers.
 */
MUST_CHECK struct admin *admin_open(struct ev_loop *loop, const struct admin_options *options,
                                    const struct admin_source *source, struct log *log, struct fault *fault);
/* Stops; open connections are closed and a Unix socket's file is removed. Not from inside a call of `source`.
 * NULL is fine. */
void admin_close(struct admin *admin);

/* The address really bound (for port 0). */
const struct socket_address *admin_address(const struct admin *admin);

#endif
