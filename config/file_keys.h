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
    FILE_SCOPE_ITEM, /* the parts of an item of a list */
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

/* The rest of the path of the setting below this map: "ack_timeout"; NULL: the setting is elsewhere. */
const char *file_keys_path(const struct file_keys *keys, const struct setting *setting);

/* Whether the path of the setting leads through this key of the map, or ends there. */
bool file_keys_is_below(const struct file_keys *keys, const struct setting *setting, const char *key);

/* Whether settings stand in a map below this key. */
bool file_keys_has_map(const struct file_keys *keys, const char *key);

/* Whether the key is one of `other_keys`. */
bool file_keys_is_other(const struct file_keys *keys, const char *key);

/* Whether a map below this key switches something on (map_is_switch). */
bool file_keys_has_switch(const struct file_keys *keys, const char *key);

/* Names all keys of this map, as "; known here: a, b", behind the text of the fault. */
void file_keys_append_all(const struct file_keys *keys, struct fault *fault);

/* What a wrong key may mean. */
struct file_keys_meaning {
    struct fault fault;          /* says what is wrong; does not name the key */
    bool settings[SETTINGS_MAX]; /* rows of the table that the key may have meant */
    const char *other_key;       /* one of `other_keys` that the key may have meant; NULL: none */
};

/* Explains a key that is no setting, no map of settings, and none of `other_keys`. */
void file_keys_explain(const struct file_keys *keys, const char *key, struct file_keys_meaning *meaning);

#endif
