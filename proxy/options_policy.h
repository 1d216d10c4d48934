/* Turns the settings `allow` and `rules` into policies: who may connect, and who may write what. */
#ifndef HUSK_OPTIONS_POLICY_H
#define HUSK_OPTIONS_POLICY_H

#include "config/config_check.h"
#include "delivery/message_policy.h"
#include "trust/peer_policy.h"

/* Adds the setting `allow` to `policy`, which the caller frees also after a mistake. */
void options_policy_set_peers(struct peer_policy *policy, const struct config_check *check);
/* Adds the setting `rules` to `policy`, which the caller frees also after a mistake. */
void options_policy_set_rules(struct message_policy *policy, const struct config_check *check);

#endif
