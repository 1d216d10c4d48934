/* Asks a SPIFFE Workload API once, as husk does, and judges its answer.
 *
 * Owns a loop and a stream on it. Waits until there is an answer, or the first attempt has failed. */
#ifndef HUSK_CHECK_WORKLOAD_SOURCE_H
#define HUSK_CHECK_WORKLOAD_SOURCE_H

#include "check/report.h"
#include "control/workload_api.h"
#include "trust/credentials.h"

#include <stdbool.h>
#include <stdint.h>

struct workload_source {
    struct ev_loop *loop; /* NULL: closed */
    struct log log;
    struct workload_api api;
    struct svid_message answer;
};

/* `limits`: as of the process. `now`: seconds since the epoch. True: the answer has no problem, and is in
 * `source`. Close also after a failure. */
bool workload_source_check(struct workload_source *source, struct report *report,
                           const struct credentials_options *options,
                           const struct workload_api_limits *limits, int64_t now);
/* Safe on all zeros. */
void workload_source_close(struct workload_source *source);

#endif
