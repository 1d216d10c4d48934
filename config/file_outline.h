/* Walks through all that a file can contain, in the order in which documents show it: the settings of a map,
 * then the maps below it. Pure. */
#ifndef HUSK_CONFIG_FILE_OUTLINE_H
#define HUSK_CONFIG_FILE_OUTLINE_H

#include "config/file_section.h"
#include "config/setting.h"

struct file_outline_visitor {
    void *target; /* borrowed */
    void (*on_setting)(void *target, const struct setting *setting, const char *key);
    /* `path` of the map ends with a dot, and is valid during the call: "tls.upstream." for the key upstream.
     */
    void (*on_map)(void *target, const char *key, const char *path);
    void (*on_map_end)(void *target);
};

/* Calls the visitor for the settings that the user of the table has in this scope. */
void file_outline_visit(const struct settings_table *table, enum file_scope scope,
                        const struct file_outline_visitor *visitor);

/* Whether a setting of this scope stands in a file. */
bool file_outline_has(const struct settings_table *table, enum file_scope scope,
                      const struct setting *setting);

#endif
