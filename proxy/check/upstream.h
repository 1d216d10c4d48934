/* Checks the upstreams of a route: whether their names resolve, and, if asked to, one connection to each
 * address (check/probe.h).
 *
 * Runs a loop of its own until all is checked: each wait has a limit. */
#ifndef HUSK_CHECK_UPSTREAM_H
#define HUSK_CHECK_UPSTREAM_H

#include "check/report.h"
#include "control/discovery.h"
#include "link/shared_key.h"
#include "runtime/route.h"
#include "trust/credentials.h"

#include <stdbool.h>
#include <stdint.h>

/* Everything is borrowed. */
struct upstream_check {
    const struct discovery_options *discovery;
    const struct route_options *route;             /* the name, the deadlines; its keys are not used */
    const struct credentials_options *credentials; /* NULL: the upstream is plain */
    const struct svid_message *answer; /* of the Workload API, if the credentials are from there; else NULL */
    const struct shared_key_options *key; /* NULL: husk has no shared key for the upstream */
    bool connects;                        /* make the connections, too */
    const char *tag;        /* of the message without events: at most EMPTY_MESSAGE_TAG_BYTES_MAX bytes */
    const char *no_message; /* why no message is sent, in words; NULL: it is sent */
    uint64_t answer_ms;     /* longest wait for its ack */
};

void upstream_check(struct report *report, const struct upstream_check *check);

#endif
