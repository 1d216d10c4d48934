/* Turns the settings `allow`, `deny` and `rules` into policies: who may connect, and who may write what; and
 * the setting `add_identity` into fields. */
#ifndef HUSK_OPTIONS_POLICY_H
#define HUSK_OPTIONS_POLICY_H

#include "config/config_check.h"
#include "delivery/message_policy.h"
#include "runtime/route.h"
#include "trust/peer_policy.h"

/* Adds the settings `allow` and `deny` to `policy`, which the caller frees also after a mistake. */
void options_policy_set_peers(struct peer_policy *policy, const struct config_check *check);
/* Adds the setting `allow_server` to `policy`, which the caller frees also after a mistake, and checks
 * whether the other settings allow that the server name is ignored. */
void options_policy_set_servers(struct peer_policy *policy, const struct config_check *check);
/* Adds the setting `rules` to `policy`, which the caller frees also after a mistake. */
void options_policy_set_rules(struct message_policy *policy, const struct config_check *check);
/* Sets the fields of the setting `add_identity`, and checks whether the other settings allow it. */
void options_policy_set_fields(struct route_identity_fields *fields, const struct config_check *check);

#endif
