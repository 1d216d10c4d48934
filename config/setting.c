#include "config/setting.h"

#include <string.h>

bool setting_is_in(const struct settings_table *table, const struct setting *setting)
{
    return !table->user || !setting->users || (setting->users & table->user);
}

bool setting_is_required(const struct settings_table *table, const struct setting *setting)
{
    return setting_is_in(table, setting) && (setting->required_by & (table->user ? table->user : ~0U));
}

const struct setting *setting_find(const struct settings_table *table, const char *name, size_t length)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct setting *setting = &table->rows[i];
        if (setting_is_in(table, setting) && strlen(setting->name) == length &&
            memcmp(setting->name, name, length) == 0)
            return setting;
    }
    return NULL;
}

const struct setting *setting_find_path(const struct settings_table *table, const char *path)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct setting *setting = &table->rows[i];
        if (setting_is_in(table, setting) && setting->path && strcmp(setting->path, path) == 0)
            return setting;
    }
    return NULL;
}

const struct setting *setting_at(const struct settings_table *table, size_t offset, unsigned kind)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct setting *setting = &table->rows[i];
        if (setting_is_in(table, setting) && setting->offset == offset && setting->kind == kind)
            return setting;
    }
    return NULL;
}

struct setting_source *setting_source(const struct settings_table *table, void *target,
                                      const struct setting *setting)
{
    if (!table->sources)
        return NULL;
    return (struct setting_source *)((char *)target + table->sources) + (setting - table->rows);
}
