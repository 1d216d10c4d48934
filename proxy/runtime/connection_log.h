/* One log line for each connection that ended, and one for those it left out.
 *
 * A failure is a warning, at most --log-burst of them per reason and LOG_LIMITER_WINDOW_MS; the others are
 * counted and told in sum when the window is over. An ordinary end is a debug line. Belongs to its worker's
 * thread. */
#ifndef HUSK_RUNTIME_CONNECTION_LOG_H
#define HUSK_RUNTIME_CONNECTION_LOG_H

#include "base/end_reason.h"
#include "base/log.h"
#include "runtime/route.h"
#include "runtime/timer.h"
#include "wire/address.h"

struct connection_log {
    struct log *log;                   /* borrowed */
    const struct route_options *route; /* borrowed */
    struct log_limiter limiters[END_REASON_COUNT];
    struct timer summary; /* runs while lines were left out */
    bool has_hinted;
};

void connection_log_init(struct connection_log *connection_log, struct reactor *reactor, struct log *log,
                         const struct route_options *route);
/* Tells of what was left out and stops. */
void connection_log_close(struct connection_log *connection_log);

/* All borrowed. What is NULL or empty is left out. */
struct connection_end {
    enum side side; /* where the reason was found */
    enum end_reason reason;
    const char *phase;
    const char *detail;
    const struct leg *inlet;               /* for the identity of its peer */
    const struct socket_address *peer;     /* who called */
    const struct socket_address *upstream; /* whom we dialled */
    uint64_t opened_ms;                    /* in the reactor's now_ms */
};

void connection_log_write(struct connection_log *connection_log, const struct connection_end *end);

/* Says `hint` about a peer, once. */
void connection_log_hint(struct connection_log *connection_log, const char *hint,
                         const struct socket_address *peer);

#endif
