/* The composition root: creates the parts of a running proxy, connects their callbacks, and runs the control
 * thread.
 *
 * Owns all parts. Decides the exit status of the process. */
#ifndef HUSK_DAEMON_H
#define HUSK_DAEMON_H

#include "config/config.h"
#include "config/mistakes.h"

/* Runs the proxy until a signal stops it. Returns the exit status of the process: 0: stopped in order; 1:
 * could not start, or left undelivered bytes behind; 2: the settings are wrong, and `mistakes` tells how.
 * `version` is the version of husk. */
int daemon_run(const struct config *config, const char *version, struct mistakes *mistakes);
#include "options.h"

#include <stddef.h>

/* What the process does. All borrowed. */
struct daemon_plan {
    const struct process_options *process;
    struct options *const *routes; /* do not move */
    size_t route_count;
    const char *version; /* of husk */
};

/* Runs the proxy until a signal stops it. Call process_prepare before. Returns the exit status of the
 * process: 0: stopped in order; 1: could not start, or left undelivered bytes behind. */
int daemon_run_plan(const struct daemon_plan *plan);

/* The same for one route that the configuration describes. Also returns 2: wrong usage. */
int daemon_run(enum config_mode mode, const struct config *config, const char *version);

#endif
