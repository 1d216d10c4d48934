/* The one log line about a connection that ended.
 *
 * Failures are warnings, at most log_burst of them per reason and ten seconds; ordinary ends are debug lines.
 */
#ifndef HUSK_RUNTIME_CONNECTION_LOG_H
#define HUSK_RUNTIME_CONNECTION_LOG_H

#include "base/end_reason.h"
#include "wire/address.h"
#include "wire/leg.h"

struct worker;

/* All borrowed; what is NULL or empty is left out. */
struct end_report {
    enum side side; /* where the reason was found */
    enum end_reason reason;
    const char *phase;
    const char *detail;
    const struct leg *inlet;               /* for the identity of its peer */
    const struct socket_address *peer;     /* who called */
    const struct socket_address *upstream; /* whom we dialled */
    uint64_t opened_us;                    /* clock_monotonic_us */
};

void end_report_log(struct worker *worker, const struct end_report *report);

#endif
