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

const char *file_keys_path(const struct file_keys *keys, const struct setting *setting)
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

bool file_keys_is_below(const struct file_keys *keys, const struct setting *setting, const char *key)
{
    const char *path = file_keys_path(keys, setting);

    return path && begins_with(path, key);
}

const struct setting *file_keys_find(const struct file_keys *keys, const char *key)
{
    for (size_t i = 0; i < keys->table->count; i++) {
        const char *path = file_keys_path(keys, &keys->table->rows[i]);
        if (path && !strchr(path, '.') && strcmp(path, key) == 0)
            return &keys->table->rows[i];
    }
    return NULL;
}

/* Whether this key, which may have dots, begins the path of a setting in or below this map. */
static bool is_begin(const struct file_keys *keys, const char *key)
{
    for (size_t i = 0; i < keys->table->count; i++) {
        if (file_keys_is_below(keys, &keys->table->rows[i], key))
            return true;
    }
    return false;
}

bool file_keys_has_map(const struct file_keys *keys, const char *key)
{
    return !strchr(key, '.') && is_begin(keys, key) && !file_keys_find(keys, key);
}

bool file_keys_has_switch(const struct file_keys *keys, const char *key)
{
    for (size_t i = 0; i < keys->table->count; i++) {
        const char *path = file_keys_path(keys, &keys->table->rows[i]);
        size_t length = strlen(key);
        if (path && keys->table->rows[i].map_is_switch && begins_with(path, key) && path[length] &&
            strchr(path + length + 1, '.'))
            return true;
    }
    return false;
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
                            struct file_keys_meaning *meaning)
{
    const struct file_keys there = { .table = keys->table, .scope = scope };
    const struct setting *last = NULL;
    unsigned count = 0;

    for (size_t i = 0; i < keys->table->count && count < MEANT_MAX; i++) {
        const struct setting *setting = &keys->table->rows[i];
        if (!is_in_files(&there, setting) || !is_in_scope(&there, setting) || !is_called(setting, key))
            continue;
        append(&meaning->fault, count++ ? " or " : "; did you mean ", setting->path);
        meaning->settings[i] = true;
        last = setting;
    }
    if (count && scope != keys->scope)
        append(&meaning->fault, ", ",
               scope == FILE_SCOPE_PROCESS ? "at the left margin of the file" : "in a route");
    else if (count && *keys->prefix && !strchr(last->path, '.'))
        append(&meaning->fault, ", ", "outside of this map");
    if (count)
        append(&meaning->fault, "?", "");
    return count;
}

/* Copies the key of this map that leads to a setting; empty: the setting is elsewhere. */
static void key_copy(const struct file_keys *keys, const struct setting *setting, char key[NEAREST_WORD_MAX])
{
    const char *path = file_keys_path(keys, setting);

    snprintf(key, NEAREST_WORD_MAX, "%.*s", path ? (int)strcspn(path, ".") : 0, path ? path : "");
}

/* Marks the settings of this map whose path begins with the key; NULL: all of them. */
static void begin_mark(const struct file_keys *keys, const char *key, struct file_keys_meaning *meaning)
{
    for (size_t i = 0; i < keys->table->count; i++) {
        const struct setting *setting = &keys->table->rows[i];
        if (key ? file_keys_is_below(keys, setting, key) : file_keys_path(keys, setting) != NULL)
            meaning->settings[i] = true;
    }
}

/* Names the key of this map that is nearest. False: none is near. */
static bool nearest_append(const struct file_keys *keys, const char *key, struct file_keys_meaning *meaning)
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
    append(&meaning->fault, "; did you mean ", nearest.best);
    append(&meaning->fault, "?", "");
    if (file_keys_is_other(keys, nearest.best))
        meaning->other_key = nearest.best;
    else
        begin_mark(keys, nearest.best, meaning);
    return true;
}

/* Rows of one key can stand apart in the table. */
void file_keys_append_all(const struct file_keys *keys, struct fault *fault)
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

/* The settings that stand below this key in the other scope. Marks them, and returns one; NULL: none. */
static const struct setting *setting_elsewhere(const struct file_keys *keys, const char *key,
                                               struct file_keys_meaning *meaning)
{
    const struct setting *found = NULL;

    for (size_t i = 0; i < keys->table->count && !*keys->prefix; i++) {
        const struct setting *setting = &keys->table->rows[i];
        if (!is_in_files(keys, setting) || is_in_scope(keys, setting) || !begins_with(setting->path, key))
            continue;
        meaning->settings[i] = true;
        found = setting;
    }
    return found;
}

/* A secret that was written into the file: settings that have a suffix more say where it can be. */
static bool secret_explain(const struct file_keys *keys, const char *key, struct file_keys_meaning *meaning)
{
    char variable[NEAREST_WORD_MAX], file[NEAREST_WORD_MAX];

    snprintf(variable, sizeof variable, SECRET_FORMAT "_env", key);
    snprintf(file, sizeof file, SECRET_FORMAT "_file", key);
    const struct setting *of_variable = file_keys_find(keys, variable), *of_file = file_keys_find(keys, file);
    if (!of_variable)
        return false;
    fault_set(&meaning->fault, "a secret does not stand in the file: name its environment variable in %s",
              variable);
    meaning->settings[of_variable - keys->table->rows] = true;
    if (of_file) {
        append(&meaning->fault, ", or its file in ", file);
        meaning->settings[of_file - keys->table->rows] = true;
    }
    return true;
}

/* `name:a` in { } is a key without a value. */
static bool tight_colon_explain(const struct file_keys *keys, const char *key,
                                struct file_keys_meaning *meaning)
{
    char before[NEAREST_WORD_MAX];

    snprintf(before, sizeof before, "%.*s", (int)strcspn(key, ":"), key);
    if (!strchr(key, ':') || !(is_begin(keys, before) || file_keys_is_other(keys, before)))
        return false;
    fault_set(&meaning->fault, "a space is missing after the \":\"");
    begin_mark(keys, before, meaning);
    return true;
}

/* A key that is near to none may have meant any setting of a small map, but not of a whole route. */
static void unknown_explain(const struct file_keys *keys, const char *key, struct file_keys_meaning *meaning)
{
    enum file_scope other = keys->scope == FILE_SCOPE_PROCESS ? FILE_SCOPE_ROUTE : FILE_SCOPE_PROCESS;
    char variable[NEAREST_WORD_MAX];

    fault_set(&meaning->fault, "unknown key");
    snprintf(variable, sizeof variable, SECRET_FORMAT "_env", key);
    if (namesake_append(keys, key, keys->scope, meaning) || nearest_append(keys, key, meaning) ||
        namesake_append(keys, key, other, meaning) ||
        namesake_append(keys, variable, FILE_SCOPE_ROUTE, meaning))
        return;
    file_keys_append_all(keys, &meaning->fault);
    if (keys->scope == FILE_SCOPE_ITEM || *keys->prefix)
        begin_mark(keys, NULL, meaning);
}

void file_keys_explain(const struct file_keys *keys, const char *key, struct file_keys_meaning *meaning)
{
    *meaning = (struct file_keys_meaning) { .other_key = NULL };
    if (secret_explain(keys, key, meaning) || tight_colon_explain(keys, key, meaning))
        return;
    const struct setting *elsewhere = setting_elsewhere(keys, key, meaning);
    if (elsewhere && elsewhere->is_for_process) {
        fault_set(&meaning->fault, "is for the whole process: write it at the left margin of the file");
    } else if (elsewhere) {
        fault_set(&meaning->fault, "is for a route: write it in a route, or in defaults for all routes");
    } else if (strchr(key, '.') && is_begin(keys, key)) {
        fault_set(&meaning->fault, "a key has no dots: write each part on a line of its own, indented below "
                                   "the part before");
        begin_mark(keys, key, meaning);
    } else {
        unknown_explain(keys, key, meaning);
    }
}
