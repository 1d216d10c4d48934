/* Parses the values of --upstream. */
#ifndef HUSK_OPTIONS_UPSTREAM_H
#define HUSK_OPTIONS_UPSTREAM_H

#include "base/fault.h"
#include "config/settings.h"
#include "control/discovery.h"
#include "worker/listening.h"

#include <stdbool.h>

/* Sets the targets of `options` (owned by it) from `texts`. Free with options_upstream_deinit, also after a
 * failure. */
MUST_CHECK bool options_upstream_set(struct discovery_options *options, const struct setting_list *texts,
                                     struct fault *fault);
/* Refuses a target that is a listener of this husk: husk would carry its traffic to itself. Compares IP
 * addresses and Unix paths; does not resolve names. */
MUST_CHECK bool options_upstream_check_loop(const struct discovery_options *options,
                                            const struct listening_options *listen, struct fault *fault);
/* Safe on all zeros. */
void options_upstream_deinit(struct discovery_options *options);

#endif
