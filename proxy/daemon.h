/* The composition root: creates the parts of a running proxy from its configuration, connects their
 * callbacks, and runs the control thread.
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

#endif
