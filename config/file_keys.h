/* The keys of a map in a file: which keys are settings, and which setting a person may have meant by a wrong
 * key.
 *
 * Reads a table of settings; knows no particular setting, and no values. */
#ifndef HUSK_CONFIG_FILE_KEYS_H
#define HUSK_CONFIG_FILE_KEYS_H

#include "base/fault.h"
#include "config/setting.h"

#include <stdbool.h>

enum file_scope {
    FILE_SCOPE_PROCESS, /* settings that a file gives once */
    FILE_SCOPE_ROUTE,
};

/* The map. */
struct file_keys {
    const struct settings_table *table; /* its user is the file */
    enum file_scope scope;
    const char *const *other_keys; /* keys that are no settings; NULL-terminated; NULL: none */
    const char *prefix;            /* of the paths of the settings in this map: "delivery.", or empty */
};

/* The setting of this key; NULL: none. */
const struct setting *file_keys_find(const struct file_keys *keys, const char *key);

/* Whether settings stand in a map below this key. */
bool file_keys_has_map(const struct file_keys *keys, const char *key);

/* Whether the key is one of `other_keys`. */
bool file_keys_is_other(const struct file_keys *keys, const char *key);

/* Says what is wrong with a key that is no setting, no map of settings, and none of `other_keys`. The fault
 * does not name the key. */
void file_keys_explain(const struct file_keys *keys, const char *key, struct fault *fault);

#endif
