/* The composition root: creates the parts of a running proxy, connects their callbacks, and runs the control
 * thread.
 *
 * Owns all parts. Decides the exit status of the process. */
#ifndef HUSK_DAEMON_H
#define HUSK_DAEMON_H

#include "plan.h"

/* Runs the proxy until a signal stops it. Call process_prepare before. `version` is the version of husk.
 * Returns the exit status of the process: 0: stopped in order; 1: could not start, or left undelivered bytes
 * behind. */
int daemon_run(struct plan *plan, const char *version);

#endif
