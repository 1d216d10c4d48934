/* Puts the entries of a YAML map together: finds keys that are given twice, and adds merged entries.
 *
 * Merge keys are those of YAML 1.1 (https://yaml.org/type/merge.html): an entry of the map wins over merged
 * ones, an earlier source wins over a later one. */
#ifndef HUSK_CONFIG_YAML_MAP_H
#define HUSK_CONFIG_YAML_MAP_H

#include "config/mistakes.h"
#include "config/yaml_node.h"

#include <stdbool.h>
#include <stddef.h>

/* True for the plain scalar `<<`. */
bool yaml_map_is_merge_key(const struct yaml_node *key);

/* Adds an entry at the end. False when out of memory. */
MUST_CHECK bool yaml_map_add(struct yaml_node *map, const struct yaml_entry *entry);

/* Removes entries whose key an earlier entry has; each is a mistake. Then adds the entries of `merged`: a
 * map, a sequence of maps, or NULL for none; anything else is a mistake. Once per map, after its last
 * yaml_map_add. False when out of memory. */
MUST_CHECK bool yaml_map_finish(struct yaml_node *map, const struct yaml_node *merged,
                                struct mistakes *mistakes);

#endif
