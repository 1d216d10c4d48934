#include "config/file_help.h"

#include "config/setting_scalar.h"

#include <string.h>

void file_help_print_meaning(const struct settings_table *table, const struct setting *setting, FILE *out)
{
    const char *text = setting->help, *option;

    while ((option = strstr(text, "--"))) {
        size_t length = strspn(option + 2, "abcdefghijklmnopqrstuvwxyz-");
        const struct setting *meant = setting_find(table, option + 2, length);
        const char *end = option + 2 + length;
        bool has_path = meant && meant->path;
        fprintf(out, "%.*s%s", (int)((has_path ? option : end) - text), text, has_path ? meant->path : "");
        text = end;
    }
    fputs(text, out);
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
        fprintf(out, ", or %s", setting->zero_word);
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
