/* Parses the values of --upstream. */
#ifndef HUSK_OPTIONS_UPSTREAM_H
#define HUSK_OPTIONS_UPSTREAM_H

#include "base/fault.h"
#include "config/settings.h"
#include "control/discovery.h"

#include <stdbool.h>

/* Sets the targets of `options` (owned by it) from `texts`. Free with options_upstream_deinit, also after a
 * failure. */
MUST_CHECK bool options_upstream_set(struct discovery_options *options, const struct setting_list *texts,
                                     struct fault *fault);
/* Safe on all zeros. */
void options_upstream_deinit(struct discovery_options *options);

#endif
