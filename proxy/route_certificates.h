/* What the control thread does for the certificates of a route: logs in advance when they end, logs which
 * revocation lists are stale, and notices a jump of the wall clock, which decides when certificates end. */
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

/* Call it about once a second. Logs what is to be told of the credentials in use. True: each connection is to
 * be judged again. Since the last call the wall clock has jumped forward, or has run faster than the
 * monotonic clock for long, or a revocation list that REVOCATION_REQUIRE demands has become stale. */
bool route_certificates_watch(struct route_certificates *certificates, const struct reload *reload);

#endif
