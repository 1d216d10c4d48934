#include "config/file_help.h"

#include "config/key_path.h"
#include "config/setting_scalar.h"

#include <string.h>

static const char letters[] = "abcdefghijklmnopqrstuvwxyz-";
static const char for_options[] = "; in an option:"; /* the rest of a help is not for files */

/* What a file calls the option or the part of an item that the word at `text` names; NULL: it names none. */
static const char *key_of(const struct settings_table *table, const struct setting *setting, const char *text)
{
    bool is_option = strncmp(text, "--", 2) == 0;
    const char *name = text + (is_option ? 2 : 0);
    const struct setting *meant = NULL;

    if (is_option)
        meant = setting_find(table, name, strspn(name, letters));
    else if (setting->parts)
        meant = setting_find(&setting->parts->table, name, strspn(name, letters));
    return meant ? meant->path : NULL;
}

void file_help_print_meaning(const struct settings_table *table, const struct setting *setting, FILE *out)
{
    const char *text = setting->help, *end = strstr(text, for_options);

    if (!end)
        end = text + strlen(text);
    while (text < end) {
        size_t word = strspn(text, letters), rest = strcspn(text + word, letters),
               left = (size_t)(end - text) - word;
        const char *key = key_of(table, setting, text);
        if (key)
            fputs(key, out);
        else
            fwrite(text, 1, word, out);
        fwrite(text + word, 1, rest < left ? rest : left, out);
        text += word + rest;
    }
}

static void quantity_print(const struct setting *setting, FILE *out)
{
    static const char *const kinds[] = {
        [SETTING_COUNT] = "number", [SETTING_DURATION] = "duration", [SETTING_BYTES] = "size"
    };
    char min[32], max[32];

    setting_quantity_format(setting->type, setting->min, min, sizeof min);
    setting_quantity_format(setting->type, setting->max, max, sizeof max);
    if (setting->max)
        fprintf(out, "%s, %s to %s", kinds[setting->type], min, max);
    else
        fprintf(out, "%s, at least %s", kinds[setting->type], min);
    if (setting->zero_word)
        fprintf(out, ", or %s (0)", setting->zero_word);
}

static void choices_print(const struct setting *setting, FILE *out)
{
    const char *const *choices = setting->choices;

    for (unsigned i = 0; choices[i]; i++)
        fprintf(out, "%s%s", !i ? "" : choices[i + 1] ? ", " : " or ", choices[i]);
}

static void list_print(const struct setting *setting, FILE *out)
{
    if (!setting->parts && !setting->value_name)
        fputs("true or false", out);
    else if (!setting->parts)
        fprintf(out, "%s, or a list", setting->value_name);
    else if (setting->parts->positionals == 1)
        fputs("text or map, or a list of them", out);
    else
        fputs("map, or a list of maps", out);
}

void file_help_print_value(const struct setting *setting, FILE *out)
{
    if (setting_is_quantity(setting))
        quantity_print(setting, out);
    else if (setting->type == SETTING_CHOICE)
        choices_print(setting, out);
    else if (setting->type == SETTING_LIST)
        list_print(setting, out);
    else if (setting->type == SETTING_FLAG)
        fputs("true or false", out);
    else
        fputs(setting->type == SETTING_WORDS ? "text, or a list of texts" : setting->value_name, out);
}

/* ---- a path ---- */

/* The rest of a path below this key; NULL: the path is elsewhere. */
static const char *path_below(const char *path, const char *key)
{
    size_t length = strlen(key);

    return strncmp(path, key, length) == 0 && path[length] == '.' ? path + length + 1 : NULL;
}

static const char *const tops[] = { "routes", "defaults" };

/* Copies a path without the keys above the settings of a route, and without the indices of lists. Empty: an
 * index has no end. */
static void path_clean(const char *path, char clean[KEY_PATH_BYTES])
{
    size_t used = 0;

    for (; *path && used + 1 < KEY_PATH_BYTES; path++) {
        if (*path != '[')
            clean[used++] = *path;
        else if (!*(path += strcspn(path, "]"))) {
            used = 0;
            break;
        }
    }
    clean[used] = '\0';
    for (unsigned i = 0; i < sizeof tops / sizeof tops[0]; i++) {
        const char *rest = path_below(clean, tops[i]);
        if (rest)
            memmove(clean, rest, strlen(rest) + 1);
    }
}

/* Whether a file has the setting below this path. */
static bool is_below(const struct setting *setting, const char *path)
{
    for (unsigned i = 0; i < sizeof tops / sizeof tops[0]; i++) {
        if (strcmp(path, tops[i]) == 0)
            return !setting->is_for_process;
    }
    return path_below(setting->path, path) != NULL;
}

static void key_print(const struct settings_table *table, const struct setting *setting, const char *path,
                      FILE *out)
{
    fprintf(out, "%s\n\n", path);
    file_help_print_meaning(table, setting, out);
    fputs("\n\nValue:    ", out);
    file_help_print_value(setting, out);
    if (setting_is_required(table, setting))
        fputs("\nDefault:  none, the key is required\n", out);
    else
        fprintf(out, "\nDefault:  %s\n",
                setting->fallback               ? setting->fallback
                : setting->type == SETTING_FLAG ? "false"
                                                : "not set");
}

/* Prints the settings below a key. False: there are none. */
static bool keys_print(const struct settings_table *table, const char *path, FILE *out)
{
    bool is_found = false;

    for (size_t i = 0; i < table->count; i++) {
        const struct setting *setting = &table->rows[i];
        if (!setting->path || !setting_is_in(table, setting) || !is_below(setting, path))
            continue;
        fprintf(out, "%s%s\n        ", is_found ? "" : "Settings of this map:\n\n", setting->path);
        file_help_print_meaning(table, setting, out);
        fputc('\n', out);
        is_found = true;
    }
    return is_found;
}

bool file_help_print_path(const struct settings_table *table, const char *path, FILE *out)
{
    char clean[KEY_PATH_BYTES] = "";

    path_clean(path, clean);
    const struct setting *setting = setting_find_path(table, clean);
    if (setting) {
        key_print(table, setting, clean, out);
        return true;
    }
    for (size_t i = 0; i < table->count; i++) {
        const struct setting *list = &table->rows[i];
        const char *rest = list->parts && list->path ? path_below(clean, list->path) : NULL;
        const struct setting *part = rest ? setting_find_path(&list->parts->table, rest) : NULL;
        if (part) {
            key_print(&list->parts->table, part, clean, out);
            return true;
        }
    }
    return *clean && keys_print(table, clean, out);
}
