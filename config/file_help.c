#include "config/file_help.h"

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
