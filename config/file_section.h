/* Fills a struct from a map of a file, by a table of settings.
 *
 * The path of a setting leads through maps to its value: `delivery.ack_timeout` is the key `ack_timeout` of
 * the map `delivery`. Adds every mistake and goes on. Knows no particular setting. */
#ifndef HUSK_CONFIG_FILE_SECTION_H
#define HUSK_CONFIG_FILE_SECTION_H

#include "config/file_keys.h"
#include "config/file_texts.h"
#include "config/key_path.h"
#include "config/mistakes.h"
#include "config/setting.h"
#include "config/yaml_node.h"

struct file_section {
    const struct settings_table *table; /* its user is the file; it has sources */
    void *target; /* defaults are set; a list that the map gives replaces the one before */
    enum file_scope scope;
    const char *const *other_keys; /* keys of the map that are no settings; NULL-terminated; NULL: none */
    bool *other_meant;             /* one for each of them, set if a wrong key may have meant it */
    struct key_path *path;         /* of the map; unchanged at the end */
    struct file_texts *texts;      /* the target borrows from it, too */
    struct mistakes *mistakes;
};

/* `map` is a map, whose texts the target borrows. Checks no required settings. Settings that a wrong key may
 * have meant count as given, and as wrong (struct setting_source). */
void file_section_fill(const struct file_section *section, const struct yaml_node *map);

#endif
