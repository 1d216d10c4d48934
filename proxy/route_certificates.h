/* What the control thread looks after for the certificates of a route: it tells their end ahead, tells which
 * revocation lists are stale, and notices a jump of the wall clock, by which certificates end. */
#ifndef HUSK_ROUTE_CERTIFICATES_H
#define HUSK_ROUTE_CERTIFICATES_H

#include "control/expiry_watch.h"
#include "control/reload.h"
#include "control/revocation_watch.h"

#include <stdbool.h>
#include <stdint.h>

struct route_certificates {
    struct expiry_watch expiry[SIDE_COUNT];
    struct revocation_watch revocation[SIDE_COUNT];
    int64_t clock_offset_ms; /* wall clock minus monotonic clock, at the last jump */
};

/* Call it before the route has a connection. */
void route_certificates_begin(struct route_certificates *certificates);
/* Safe on all zeros. */
void route_certificates_deinit(struct route_certificates *certificates);

/* Call it about once a second. Logs what is to be told of the credentials in use. True: the wall clock has
 * jumped forward, or has gone faster than the monotonic clock for long, since the last call, or a revocation
 * list has become stale that REVOCATION_REQUIRE demands; each connection is to be judged again. */
bool route_certificates_watch(struct route_certificates *certificates, const struct reload *reload);

#endif
