#include "config/file_keys.h"

#include "config/nearest.h"

#include <stdio.h>
#include <string.h>

#define SECRET_FORMAT "%.50s" /* the name of a secret; its settings have a suffix more */

enum { MEANT_MAX = 2 }; /* settings of one name that are told */

static bool is_in_scope(const struct file_keys *keys, const struct setting *setting)
{
    return setting->is_for_process == (keys->scope == FILE_SCOPE_PROCESS);
}

static bool is_in_files(const struct file_keys *keys, const struct setting *setting)
{
    return setting->path && setting_is_in(keys->table, setting);
}

/* The rest of the setting's path below this map; NULL: it is elsewhere. */
static const char *path_below(const struct file_keys *keys, const struct setting *setting)
{
    size_t length = strlen(keys->prefix);

    if (!is_in_files(keys, setting) || !is_in_scope(keys, setting) ||
        strncmp(setting->path, keys->prefix, length) != 0)
        return NULL;
    return setting->path + length;
}

/* Whether a path is this key, or leads through it. */
static bool begins_with(const char *path, const char *key)
{
    size_t length = strlen(key);

    return length && strncmp(path, key, length) == 0 && (!path[length] || path[length] == '.');
}

const struct setting *file_keys_find(const struct file_keys *keys, const char *key)
{
    for (size_t i = 0; i < keys->table->count; i++) {
        const char *path = path_below(keys, &keys->table->rows[i]);
        if (path && !strchr(path, '.') && strcmp(path, key) == 0)
            return &keys->table->rows[i];
    }
    return NULL;
}

/* Whether this key, which may have dots, begins the path of a setting in or below this map. */
static bool is_begin(const struct file_keys *keys, const char *key)
{
    for (size_t i = 0; i < keys->table->count; i++) {
        const char *path = path_below(keys, &keys->table->rows[i]);
        if (path && begins_with(path, key))
            return true;
    }
    return false;
}

bool file_keys_has_map(const struct file_keys *keys, const char *key)
{
    return !strchr(key, '.') && is_begin(keys, key) && !file_keys_find(keys, key);
}

bool file_keys_is_other(const struct file_keys *keys, const char *key)
{
    const char *const *other = *keys->prefix ? NULL : keys->other_keys;

    while (other && *other && strcmp(*other, key) != 0)
        other++;
    return other && *other;
}

/* ---- unknown keys ---- */

/* Appends to a fault, cut to its size. */
static void append(struct fault *fault, const char *before, const char *text)
{
    size_t used = strlen(fault->text);

    snprintf(fault->text + used, sizeof fault->text - used, "%s%s", before, text);
}

/* Whether two names differ only in "-" and "_". */
static bool is_same_name(const char *a, const char *b)
{
    while (*a && (*a == '-' ? '_' : *a) == (*b == '-' ? '_' : *b)) {
        a++;
        b++;
    }
    return !*a && !*b;
}

/* Whether the last part of the path, or the name of the option, is this key. */
static bool is_called(const struct setting *setting, const char *key)
{
    const char *dot = strrchr(setting->path, '.');

    return is_same_name(dot ? dot + 1 : setting->path, key) || is_same_name(setting->name, key);
}

/* Names the settings of this scope, or of the other one, that have this name. False: there is none. */
static bool namesake_append(const struct file_keys *keys, const char *key, enum file_scope scope,
                            struct fault *fault)
{
    const struct file_keys there = { .table = keys->table, .scope = scope };
    unsigned count = 0;

    for (size_t i = 0; i < keys->table->count && count < MEANT_MAX; i++) {
        const struct setting *setting = &keys->table->rows[i];
        if (!is_in_files(&there, setting) || !is_in_scope(&there, setting) || !is_called(setting, key))
            continue;
        append(fault, count++ ? " or " : "; did you mean ", setting->path);
    }
    if (count && scope != keys->scope)
        append(fault, ", ", scope == FILE_SCOPE_PROCESS ? "at the left margin of the file" : "in a route");
    if (count)
        append(fault, "?", "");
    return count;
}

/* Copies the key of this map that leads to a setting; empty: the setting is elsewhere. */
static void key_copy(const struct file_keys *keys, const struct setting *setting, char key[NEAREST_WORD_MAX])
{
    const char *path = path_below(keys, setting);

    snprintf(key, NEAREST_WORD_MAX, "%.*s", path ? (int)strcspn(path, ".") : 0, path ? path : "");
}

/* Names the key of this map that is nearest. False: none is near. */
static bool nearest_append(const struct file_keys *keys, const char *key, struct fault *fault)
{
    struct nearest nearest = nearest_begin(key, strlen(key));
    char own[SETTINGS_MAX][NEAREST_WORD_MAX];

    for (size_t i = 0; i < keys->table->count; i++) {
        key_copy(keys, &keys->table->rows[i], own[i]);
        if (*own[i])
            nearest_add(&nearest, own[i]);
    }
    for (size_t i = 0; keys->other_keys && !*keys->prefix && keys->other_keys[i]; i++)
        nearest_add(&nearest, keys->other_keys[i]);
    if (!nearest.best)
        return false;
    append(fault, "; did you mean ", nearest.best);
    append(fault, "?", "");
    return true;
}

/* Names all keys of this map. Rows of one key can stand apart in the table. */
static void all_append(const struct file_keys *keys, struct fault *fault)
{
    char own[SETTINGS_MAX][NEAREST_WORD_MAX];
    unsigned count = 0;

    for (size_t i = 0; i < keys->table->count; i++) {
        bool is_new = true;
        key_copy(keys, &keys->table->rows[i], own[i]);
        for (size_t k = 0; k < i; k++)
            is_new = is_new && strcmp(own[k], own[i]) != 0;
        if (is_new && *own[i])
            append(fault, count++ ? ", " : "; known here: ", own[i]);
    }
    for (size_t i = 0; keys->other_keys && !*keys->prefix && keys->other_keys[i]; i++)
        append(fault, count++ ? ", " : "; known here: ", keys->other_keys[i]);
}

/* The setting that stands below this key in the other scope; NULL: none. */
static const struct setting *setting_elsewhere(const struct file_keys *keys, const char *key)
{
    for (size_t i = 0; i < keys->table->count && !*keys->prefix; i++) {
        const struct setting *setting = &keys->table->rows[i];
        if (is_in_files(keys, setting) && !is_in_scope(keys, setting) && begins_with(setting->path, key))
            return setting;
    }
    return NULL;
}

/* A secret that was written into the file: settings that have a suffix more say where it can be. */
static bool secret_explain(const struct file_keys *keys, const char *key, struct fault *fault)
{
    char variable[NEAREST_WORD_MAX], file[NEAREST_WORD_MAX];

    snprintf(variable, sizeof variable, SECRET_FORMAT "_env", key);
    snprintf(file, sizeof file, SECRET_FORMAT "_file", key);
    if (!file_keys_find(keys, variable))
        return false;
    fault_set(fault, "a secret does not stand in the file: name its environment variable in %s", variable);
    if (file_keys_find(keys, file))
        append(fault, ", or its file in ", file);
    return true;
}

void file_keys_explain(const struct file_keys *keys, const char *key, struct fault *fault)
{
    char variable[NEAREST_WORD_MAX];
    const struct setting *elsewhere = setting_elsewhere(keys, key);
    enum file_scope other = keys->scope == FILE_SCOPE_PROCESS ? FILE_SCOPE_ROUTE : FILE_SCOPE_PROCESS;

    if (secret_explain(keys, key, fault))
        return;
    if (elsewhere && elsewhere->is_for_process) {
        fault_set(fault, "is for the whole process: write it at the left margin of the file");
    } else if (elsewhere) {
        fault_set(fault, "is for a route: write it in a route, or in defaults for all routes");
    } else if (strchr(key, '.') && is_begin(keys, key)) {
        fault_set(fault, "a key has no dots: write each part on a line of its own, indented below the part "
                         "before");
    } else {
        fault_set(fault, "unknown key");
        snprintf(variable, sizeof variable, SECRET_FORMAT "_env", key);
        if (!namesake_append(keys, key, keys->scope, fault) && !nearest_append(keys, key, fault) &&
            !namesake_append(keys, key, other, fault) &&
            !namesake_append(keys, variable, FILE_SCOPE_ROUTE, fault))
            all_append(keys, fault);
    }
}
