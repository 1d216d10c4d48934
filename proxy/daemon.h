/* The composition root: configuration → options → workers, and the control thread that watches over them.
 *
 * Owns everything of a running proxy. May end the process, by its status. */
#ifndef HUSK_DAEMON_H
#define HUSK_DAEMON_H

#include "config/config.h"

/* Runs the proxy until it is told to stop. Returns the process's exit status: 0 ended in order; 1 could not
 * start, or left undelivered bytes behind; 2 wrong usage. `version` is husk's own. */
int daemon_run(enum config_mode mode, const struct config *config, const char *version);

#endif
