/* Tells in the log, and to its owner, when revocation lists become stale, are missing, or are fresh again.
 * Owns what was told last. */
#ifndef HUSK_CONTROL_REVOCATION_WATCH_H
#define HUSK_CONTROL_REVOCATION_WATCH_H

#include "base/fault.h"
#include "base/log.h"
#include "trust/revocation_state.h"

#include <stdbool.h>
#include <stddef.h>

struct revocation_watch {
    char *said;   /* what was told last; NULL: nothing */
    size_t stale; /* lists at the last look */
};

/* Safe on all zeros. */
void revocation_watch_deinit(struct revocation_watch *watch);

/* Call it about once a second. Logs each line of revocation_state_describe that is not told yet. `route`: for
 * the log. True: a list has become stale since the last look, and REVOCATION_REQUIRE demands that open
 * connections are judged again. */
MUST_CHECK bool revocation_watch_look(struct revocation_watch *watch, struct revocation_use use,
                                      const char *route, struct log *log);

#endif
