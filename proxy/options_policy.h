/* Turns --allow-* and --rule into policies: who may connect, and who may write what. */
#ifndef HUSK_OPTIONS_POLICY_H
#define HUSK_OPTIONS_POLICY_H

#include "base/fault.h"
#include "config/config.h"
#include "delivery/message_policy.h"
#include "trust/peer_policy.h"

#include <stdbool.h>

/* Adds the --allow-* settings to `policy`, which the caller frees also after a failure. */
MUST_CHECK bool options_policy_set_peers(struct peer_policy *policy, const struct config *config,
                                         struct fault *fault);
/* Adds the --rule settings to `policy`, which the caller frees also after a failure. */
MUST_CHECK bool options_policy_set_rules(struct message_policy *policy, enum config_mode mode,
                                         const struct config *config, struct fault *fault);

#endif
