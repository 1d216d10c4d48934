/* Turns groups of rules about names (`any_of`, `all_of`, `not`), which only files have, into rules. */
#ifndef HUSK_OPTIONS_MATCH_H
#define HUSK_OPTIONS_MATCH_H

#include "config/config_check.h"
#include "trust/peer_rule.h"

/* Whether an item before the one at `at` begins its group: all items of a kind of group are one rule. */
bool options_match_is_begun(const struct setting_list *list, size_t at);

/* Adds the maps of `list` that belong to the group. `path`: of the map in the route that has the list, such
 * as "allow" or "rules[1]". */
void options_match_fill(struct peer_rule *group, const struct setting_list *list,
                        const struct config_check *check, const char *path);

#endif
