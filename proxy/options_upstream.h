/* Interprets the addresses of the upstream. */
#ifndef HUSK_OPTIONS_UPSTREAM_H
#define HUSK_OPTIONS_UPSTREAM_H

#include "config/config_check.h"
#include "control/discovery.h"
#include "worker/listening.h"

#include <stdbool.h>

/* Sets the targets of `options` (owned by it) from the setting `upstream`. Refuses a target that is a
 * listener of this route: husk would carry its traffic to itself. Compares IP addresses and Unix paths; does
 * not resolve names. Free with options_upstream_deinit, also after a mistake. */
void options_upstream_set(struct discovery_options *options, const struct listening_options *listen,
                          const struct config_check *check);
/* Safe on all zeros. */
void options_upstream_deinit(struct discovery_options *options);

#endif
