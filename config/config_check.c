#include "config/config_check.h"

#include "base/fault.h"
#include "config/option_words.h"
#include "config/setting_value.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WHERE_BYTES = 256 };

/* Appends to a text, cut to its size. */
static void append(char where[WHERE_BYTES], const char *format, ...) PRINTF_LIKE(2, 3);
static void append(char where[WHERE_BYTES], const char *format, ...)
{
    size_t used = strlen(where);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(where + used, WHERE_BYTES - used, format, arguments);
    va_end(arguments);
}

/* The name of a setting as the user writes it where it stands. */
static void setting_append(char where[WHERE_BYTES], const struct config *config,
                           const struct setting *setting)
{
    if (config->mode != CONFIG_FILE)
        append(where, "--%s", setting->name);
    else if (setting->is_for_process)
        append(where, "%s", setting->path);
    else
        append(where, "routes[%u].%s", config->index, setting->path);
}

static const struct setting_source *source_of(const struct settings_table *table, const void *target,
                                              const struct setting *setting)
{
    return setting_source(table, (void *)(uintptr_t)target, setting);
}

/* Where the setting is, or where it is missing. */
static struct place place_of(const struct setting_source *source, struct place otherwise)
{
    if (source->is_given && source->place.line)
        return source->place;
    return source->map.line ? source->map : otherwise;
}

bool config_is_given(const struct config *config, size_t field)
{
    const struct settings_table table = config_settings(config->mode);
    const struct setting *setting = setting_at(&table, field, 0);

    return setting && config->sources[setting - table.rows].is_given;
}

bool config_is_wrong(const struct config *config, size_t field)
{
    const struct settings_table table = config_settings(config->mode);
    bool is_wrong = false;

    for (size_t i = 0; i < table.count; i++)
        is_wrong = is_wrong || (table.rows[i].offset == field && config->sources[i].is_wrong);
    return is_wrong;
}

bool config_is_hidden(const struct config *config, size_t field)
{
    const struct settings_table table = config_settings(config->mode);

    return source_of(&table, config, setting_at(&table, field, 0))->is_hidden;
}

bool config_part_is_wrong(const struct setting_parts *parts, const struct setting_item *item, size_t part)
{
    bool is_wrong = false;

    for (size_t i = 0; i < parts->table.count; i++) {
        const struct setting *setting = &parts->table.rows[i];
        is_wrong =
            is_wrong || (setting->offset == part && source_of(&parts->table, item->parts, setting)->is_wrong);
    }
    return is_wrong;
}

bool config_part_is_hidden(const struct setting_parts *parts, const struct setting_item *item, size_t part)
{
    return item->is_hidden ||
           source_of(&parts->table, item->parts, setting_at(&parts->table, part, 0))->is_hidden;
}

/* Whether an item of a list of items with parts has a value from the environment. */
static bool is_list_hidden(const struct setting *setting, const void *target)
{
    const struct setting_list *list = (const void *)((const char *)target + setting->offset);
    bool is_hidden = false;

    for (size_t i = 0; setting->parts && i < list->count; i++)
        is_hidden = is_hidden || (list->items[i].kind == setting->kind &&
                                  config_item_is_hidden(setting->parts, &list->items[i]));
    return is_hidden;
}

bool config_item_is_hidden(const struct setting_parts *parts, const struct setting_item *item)
{
    bool is_hidden = item->is_hidden;

    for (size_t i = 0; parts && i < parts->table.count; i++)
        is_hidden = is_hidden || source_of(&parts->table, item->parts, &parts->table.rows[i])->is_hidden ||
                    is_list_hidden(&parts->table.rows[i], item->parts);
    return is_hidden;
}

enum config_tls_use config_tls_use(const struct config *config, enum side side)
{
    const struct settings_table table = config_settings(config->mode);
    size_t field = CONFIG_FIELD(tls) + side * sizeof config->tls[0] + offsetof(struct config_tls, cert_file);
    const struct setting *cert = setting_at(&table, field, 0);
    const struct setting_source *source = cert ? source_of(&table, config, cert) : NULL;

    bool is_ruled = config->mode != CONFIG_FILE; /* the side that has options for TLS needs it */
    if (!source || (!source->is_given && !source->map.line && !is_ruled))
        return CONFIG_TLS_OFF;
    return source->is_wrong && !source->map.line ? CONFIG_TLS_UNKNOWN : CONFIG_TLS_ON;
}

/* A setting in the defaults is wrong in each route that has it: the first route stands for all. */
static void wrong(const struct config_check *check, struct place place, const char *where, const char *format,
                  va_list arguments)
{
    char text[FAULT_TEXT_BYTES], whole[WHERE_BYTES + FAULT_TEXT_BYTES];
    const char *bracket = strncmp(where, "routes[", 7) == 0 ? strchr(where, ']') : NULL;

    vsnprintf(text, sizeof text, format, arguments);
    snprintf(whole, sizeof whole, "%s%s%s", where, *where ? ": " : "", text);
    if (!bracket || !mistakes_has(check->mistakes, place, whole + (bracket + 1 - where)))
        mistakes_add(check->mistakes, place, "%s", whole);
}

void config_wrong(const struct config_check *check, size_t field, const char *format, ...)
{
    const struct settings_table table = config_settings(check->config->mode);
    const struct setting *setting = field == CONFIG_NONE ? NULL : setting_at(&table, field, 0);
    struct place place = check->config->place;
    char where[WHERE_BYTES] = "";
    va_list arguments;

    if (setting && config_is_wrong(check->config, field))
        return;
    if (setting) {
        setting_append(where, check->config, setting);
        place = place_of(source_of(&table, check->config, setting), place);
    } else if (check->config->mode == CONFIG_FILE) {
        append(where, "routes[%u]", check->config->index);
    }
    va_start(arguments, format);
    wrong(check, place, where, format, arguments);
    va_end(arguments);
}

/* Why the value that is not shown is wrong: what the value should be, as the help of the setting says. */
static void hidden_fault(const struct setting *setting, struct fault *fault)
{
    char *help = option_words_translate(setting->help, SIDE_UPSTREAM); /* only files have hidden values */

    fault_set(fault, "the value from the environment is not %s%s%.*s%s", setting->value_name,
              help ? " (" : "", help ? (int)strcspn(help, ";") : 0, help ? help : "", help ? ")" : "");
    free(help);
}

void config_wrong_value(const struct config_check *check, size_t field, const char *text)
{
    const struct settings_table table = config_settings(check->config->mode);
    struct fault fault;

    hidden_fault(setting_at(&table, field, 0), &fault);
    config_wrong(check, field, "%s", config_is_hidden(check->config, field) ? fault.text : text);
}

/* An option quotes the whole item and names the part; a file names the part by its key. */
static struct place part_append(char where[WHERE_BYTES], const struct config *config,
                                const struct setting_parts *parts, const struct setting_item *item,
                                size_t part)
{
    const struct setting *setting = setting_at(&parts->table, part, 0);
    const struct setting_source *source = source_of(&parts->table, item->parts, setting);

    if (config->mode == CONFIG_FILE && source->is_given) {
        append(where, ".%s", setting->path);
        return source->place;
    }
    if (setting >= parts->table.rows + parts->positionals && item->is_hidden)
        append(where, ": %s", setting->name);
    else if (setting >= parts->table.rows + parts->positionals)
        append(where, ": \"%.160s\": %s", item->value, setting->name);
    return item->place;
}

void config_wrong_item(const struct config_check *check, size_t field, const struct setting_item *item,
                       size_t part, const char *format, ...)
{
    const struct settings_table table = config_settings(check->config->mode);
    const struct setting *setting = setting_at(&table, field, item->kind);
    char where[WHERE_BYTES] = "";
    struct place place = item->place;
    va_list arguments;

    if (part != CONFIG_NONE && config_part_is_wrong(setting->parts, item, part))
        return;
    setting_append(where, check->config, setting);
    if (check->config->mode == CONFIG_FILE && setting_takes_value(setting))
        append(where, "[%u]", item->index);
    if (part != CONFIG_NONE)
        place = part_append(where, check->config, setting->parts, item, part);
    else if (setting->parts && check->config->mode != CONFIG_FILE)
        append(where, ": \"%.160s\"", item->value);
    va_start(arguments, format);
    wrong(check, place, where, format, arguments);
    va_end(arguments);
}

void config_wrong_item_value(const struct config_check *check, size_t field, const struct setting_item *item,
                             size_t part, const char *text)
{
    const struct settings_table table = config_settings(check->config->mode);
    const struct setting *setting = setting_at(&table, field, item->kind);
    const struct setting *value = part == CONFIG_NONE ? setting : setting_at(&setting->parts->table, part, 0);
    bool is_hidden =
        part == CONFIG_NONE ? item->is_hidden : config_part_is_hidden(setting->parts, item, part);
    struct fault fault;

    hidden_fault(value, &fault);
    config_wrong_item(check, field, item, part, "%s", is_hidden ? fault.text : text);
}

static void wrong_text(const struct config_check *check, struct place place, const char *where,
                       const char *format, ...) PRINTF_LIKE(4, 5);
static void wrong_text(const struct config_check *check, struct place place, const char *where,
                       const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    wrong(check, place, where, format, arguments);
    va_end(arguments);
}

void config_wrong_path(const struct config_check *check, struct place place, const char *path,
                       const char *text)
{
    char where[WHERE_BYTES] = "";

    append(where, "routes[%u].%s", check->config->index, path);
    wrong_text(check, place, where, "%s", text);
}

struct config_name config_name(const struct config *config, size_t field, unsigned kind)
{
    const struct settings_table table = config_settings(config->mode);
    const struct setting *setting = setting_at(&table, field, kind);
    struct config_name name;

    if (config->mode == CONFIG_FILE)
        snprintf(name.text, sizeof name.text, "%s", setting->path);
    else
        snprintf(name.text, sizeof name.text, "--%s", setting->name);
    return name;
}

/* Maps in a list are only for files. */
static bool is_named(const struct config *config, const struct settings_table *table,
                     const struct setting *setting, size_t offset)
{
    return setting_is_in(table, setting) && setting->offset == offset && setting->value_name &&
           (config->mode == CONFIG_FILE || !setting->parts);
}

static struct config_names names_of(const struct config *config, const struct settings_table *table,
                                    size_t offset, const char *dashes)
{
    struct config_names names = { "" };
    size_t count = 0, at = 0, used = 0;

    for (size_t i = 0; i < table->count; i++)
        count += is_named(config, table, &table->rows[i], offset);
    for (size_t i = 0; i < table->count && used < sizeof names.text; i++) {
        if (!is_named(config, table, &table->rows[i], offset))
            continue;
        const char *separator = at == 0 ? "" : at + 1 == count ? " or " : ", ";
        used += (size_t)snprintf(names.text + used, sizeof names.text - used, "%s%s%s", separator, dashes,
                                 config->mode == CONFIG_FILE ? table->rows[i].path : table->rows[i].name);
        at++;
    }
    return names;
}

struct config_names config_names(const struct config *config, size_t field)
{
    const struct settings_table table = config_settings(config->mode);

    return names_of(config, &table, field, config->mode == CONFIG_FILE ? "" : "--");
}

struct config_names config_part_names(const struct config *config, const struct setting_parts *parts,
                                      size_t part)
{
    return names_of(config, &parts->table, part, "");
}
