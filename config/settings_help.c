#include "config/settings_help.h"

#include "config/setting_scalar.h"
#include "config/setting_value.h"

#include <string.h>

static void choices_print(const struct setting *setting, FILE *out)
{
    for (unsigned i = 0; setting->choices[i]; i++)
        fprintf(out, "%s%s", i ? "|" : "", setting->choices[i]);
}

static void usage_print(const struct setting *setting, FILE *out)
{
    fprintf(out, "--%s", setting->name);
    if (setting->type == SETTING_CHOICE) {
        fputc(' ', out);
        choices_print(setting, out);
    } else if (setting_takes_value(setting)) {
        fprintf(out, " %s", setting->value_name);
    }
    if (setting->type == SETTING_LIST)
        fputs(" …", out);
    fputc('\n', out);
}

static void paragraph_print(const struct settings_table *table, const struct setting *setting, FILE *out)
{
    fputs("  ", out);
    usage_print(setting, out);
    fprintf(out, "        %s", setting->help);
    if (setting_is_required(table, setting))
        fputs(" (required)", out);
    else if (setting->fallback)
        fprintf(out, " (default %s)", setting->fallback);
    fputc('\n', out);
}

void settings_print_help(const struct settings_table *table, FILE *out)
{
    for (unsigned group = 0; group == 0 || (table->groups && table->groups[group]); group++) {
        if (table->groups)
            fprintf(out, "%s%s:\n\n", group ? "\n" : "", table->groups[group]);
        for (size_t i = 0; i < table->count; i++) {
            if (table->rows[i].group == group && setting_is_in(table, &table->rows[i]))
                paragraph_print(table, &table->rows[i], out);
        }
    }
}

static void range_print(const struct setting *setting, FILE *out)
{
    char min[32], max[32];

    setting_quantity_format(setting->type, setting->min, min, sizeof min);
    setting_quantity_format(setting->type, setting->max, max, sizeof max);
    fprintf(out, "Value:    %s, ", setting_expectation(setting->type));
    if (setting->max)
        fprintf(out, "from %s to %s", min, max);
    else
        fprintf(out, "at least %s", min);
    if (setting->zero_word)
        fprintf(out, "; or the word %s%s", setting->zero_word,
                setting->zero_is_word_only ? "" : ", which is 0");
    fputc('\n', out);
}

/* The option of client and server can be a setting of each side in a file. */
static void paths_print(const struct settings_table *table, const struct setting *setting, FILE *out)
{
    const char *before = "In files: ";

    for (size_t i = 0; i < table->count; i++) {
        const struct setting *row = &table->rows[i];
        if (row->path && strcmp(row->name, setting->name) == 0) {
            fprintf(out, "%s%s", before, row->path);
            before = ", ";
        }
    }
    fputc('\n', out);
}

void settings_print_one(const struct settings_table *table, const struct setting *setting, FILE *out)
{
    usage_print(setting, out);
    fprintf(out, "\n%s\n\n", setting->help);
    if (setting_is_quantity(setting))
        range_print(setting, out);
    if (setting->type == SETTING_LIST)
        fputs("Value:    may be given several times\n", out);
    if (setting_is_required(table, setting))
        fputs("Default:  none, the setting is required\n", out);
    else if (setting->type == SETTING_FLAG)
        fputs("Default:  off\n", out);
    else
        fprintf(out, "Default:  %s\n", setting->fallback ? setting->fallback : "not set");
    if (setting->path)
        paths_print(table, setting, out);
    if (table->groups)
        fprintf(out, "Group:    %s\n", table->groups[setting->group]);
}
