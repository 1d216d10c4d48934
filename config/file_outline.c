#include "config/file_outline.h"

#include <stdio.h>
#include <string.h>

struct walk {
    const struct settings_table *table;
    enum file_scope scope;
    const struct file_outline_visitor *visitor;
};

bool file_outline_has(const struct settings_table *table, enum file_scope scope,
                      const struct setting *setting)
{
    return setting->path && setting_is_in(table, setting) &&
           setting->is_for_process == (scope == FILE_SCOPE_PROCESS);
}

/* The rest of the path of a row below the map `prefix`; NULL: the row is elsewhere. */
static const char *path_below(const struct walk *walk, size_t row, const char *prefix)
{
    const struct setting *setting = &walk->table->rows[row];
    size_t length = strlen(prefix);

    if (!file_outline_has(walk->table, walk->scope, setting) || strncmp(setting->path, prefix, length) != 0)
        return NULL;
    return setting->path + length;
}

/* Whether a row before this one stands in the same map below `prefix`. */
static bool is_visited(const struct walk *walk, size_t row, const char *prefix, size_t key_length)
{
    const char *path = path_below(walk, row, prefix);

    for (size_t i = 0; i < row; i++) {
        const char *other = path_below(walk, i, prefix);
        if (other && strncmp(other, path, key_length + 1) == 0)
            return true;
    }
    return false;
}

static void map_visit(const struct walk *walk, const char *prefix)
{
    const struct file_outline_visitor *visitor = walk->visitor;

    for (size_t i = 0; i < walk->table->count; i++) {
        const char *path = path_below(walk, i, prefix);
        if (path && !strchr(path, '.'))
            visitor->on_setting(visitor->target, &walk->table->rows[i], path);
    }
    for (size_t i = 0; i < walk->table->count; i++) {
        const char *path = path_below(walk, i, prefix), *dot = path ? strchr(path, '.') : NULL;
        char key[KEY_PATH_BYTES], below[KEY_PATH_BYTES];
        if (!dot || is_visited(walk, i, prefix, (size_t)(dot - path)))
            continue;
        snprintf(key, sizeof key, "%.*s", (int)(dot - path), path);
        snprintf(below, sizeof below, "%.*s", (int)(dot + 1 - walk->table->rows[i].path),
                 walk->table->rows[i].path);
        visitor->on_map(visitor->target, key, below);
        map_visit(walk, below);
        visitor->on_map_end(visitor->target);
    }
}

void file_outline_visit(const struct settings_table *table, enum file_scope scope,
                        const struct file_outline_visitor *visitor)
{
    const struct walk walk = { .table = table, .scope = scope, .visitor = visitor };

    map_visit(&walk, "");
}
