/* The composition root: creates the parts of a running proxy from its configuration, connects their
 * callbacks, and runs the control thread.
 *
 * Owns all parts. Decides the exit status of the process. */
#ifndef HUSK_DAEMON_H
#define HUSK_DAEMON_H

#include "config/config.h"

/* Runs the proxy until a signal stops it. Returns the exit status of the process: 0: stopped in order; 1:
 * could not start, or left undelivered bytes behind; 2: wrong usage. `version` is the version of husk. */
int daemon_run(enum config_mode mode, const struct config *config, const char *version);

#endif
