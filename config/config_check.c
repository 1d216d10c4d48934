#include "config/config_check.h"

#include "base/fault.h"
#include "config/setting_value.h"

#include <stdarg.h>
#include <stdio.h>
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

static struct place place_of(const struct settings_table *table, const void *target,
                             const struct setting *setting, struct place otherwise)
{
    const struct setting_source *source = setting_source(table, (void *)(uintptr_t)target, setting);

    return source && source->is_given ? source->place : otherwise;
}

bool config_is_given(const struct config *config, size_t field)
{
    const struct settings_table table = config_settings(config->mode);
    const struct setting *setting = setting_at(&table, field, 0);

    return setting && config->sources[setting - table.rows].is_given;
}

bool config_is_changed(const struct config *config, size_t field)
{
    const struct settings_table table = config_settings(config->mode);
    const struct setting *setting = setting_at(&table, field, 0);
    struct config defaults = { .mode = config->mode };

    if (!setting)
        return false;
    setting_value_reset(setting, &defaults);
    return !setting_value_equal(setting, config, &defaults);
}

static void wrong(const struct config_check *check, struct place place, const char *where, const char *format,
                  va_list arguments)
{
    char text[FAULT_TEXT_BYTES];

    vsnprintf(text, sizeof text, format, arguments);
    mistakes_add(check->mistakes, place, "%s%s%s", where, *where ? ": " : "", text);
}

void config_wrong(const struct config_check *check, size_t field, const char *format, ...)
{
    const struct settings_table table = config_settings(check->config->mode);
    const struct setting *setting = field == CONFIG_NONE ? NULL : setting_at(&table, field, 0);
    struct place place = check->config->place;
    char where[WHERE_BYTES] = "";
    va_list arguments;

    if (setting) {
        setting_append(where, check->config, setting);
        place = place_of(&table, check->config, setting, place);
    } else if (check->config->mode == CONFIG_FILE) {
        append(where, "routes[%u]", check->config->index);
    }
    va_start(arguments, format);
    wrong(check, place, where, format, arguments);
    va_end(arguments);
}

/* An option quotes the whole item and names the part; a file names the part by its key. */
static struct place part_append(char where[WHERE_BYTES], const struct config *config,
                                const struct setting_parts *parts, const struct setting_item *item,
                                size_t part)
{
    const struct setting *setting = setting_at(&parts->table, part, 0);
    const struct setting_source *source = setting_source(&parts->table, item->parts, setting);

    if (config->mode == CONFIG_FILE && source && source->is_given) {
        append(where, ".%s", setting->path);
        return source->place;
    }
    if (setting >= parts->table.rows + parts->positionals)
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
