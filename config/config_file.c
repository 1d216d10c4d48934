#include "config/config_file.h"

#include "config/setting_value.h"
#include "config/yaml_scalar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keys at the left margin that are no settings. */
enum top_key { TOP_DEFAULTS, TOP_ROUTES, TOP_KEYS };

/* A file that is being read. */
struct reader {
    struct config_file *file;
    struct settings_table table;
    struct key_path path;
    bool top_meant[TOP_KEYS]; /* a wrong key may have meant this one */
    struct mistakes *mistakes;
};

static void section_fill(struct reader *reader, struct config *target, enum file_scope scope,
                         const struct yaml_node *map)
{
    static const char *const top_keys[TOP_KEYS + 1] = { "defaults", "routes", NULL };
    const struct file_section section = {
        .table = &reader->table,
        .target = target,
        .scope = scope,
        .other_keys = scope == FILE_SCOPE_PROCESS ? top_keys : NULL,
        .other_meant = reader->top_meant,
        .path = &reader->path,
        .texts = &reader->file->texts,
        .mistakes = reader->mistakes,
    };

    file_section_fill(&section, map);
}

static bool is_map(struct reader *reader, const struct yaml_node *node, const char *what)
{
    const char *path = reader->path.text;

    if (node->kind == YAML_KIND_MAP)
        return true;
    if (node->kind != YAML_KIND_INVALID)
        mistakes_add(reader->mistakes, node->place, "%s%sexpected a map of %s, but here is %s%s", path,
                     *path ? ": " : "", what, yaml_node_kind_name(node), yaml_scalar_space_hint(node));
    return false;
}

/* The route begins with the settings that all routes share. */
static bool defaults_copy(const struct reader *reader, struct config *route)
{
    memcpy(route->sources, reader->file->defaults.sources, sizeof route->sources);
    for (size_t i = 0; i < reader->table.count; i++) {
        if (!setting_value_copy(&reader->table.rows[i], route, &reader->file->defaults))
            return false;
    }
    return true;
}

static void required_check(const struct reader *reader, const struct config *route)
{
    for (size_t i = 0; i < reader->table.count; i++) {
        const struct setting *setting = &reader->table.rows[i];
        /* The rest of the help is about the option. */
        if (setting_is_required(&reader->table, setting) && !route->sources[i].is_given)
            mistakes_add(reader->mistakes, route->place, "%s.%s: is required (%.*s)", reader->path.text,
                         setting->path, (int)strcspn(setting->help, ";"), setting->help);
    }
}

/* Names tell routes apart in logs, in metrics and at a reload. */
static void name_check(const struct reader *reader, const struct config *route)
{
    const struct setting *name = setting_at(&reader->table, offsetof(struct config, name), 0);

    for (const struct config *other = reader->file->routes; route->name && other < route; other++) {
        if (!other->name || strcmp(other->name, route->name) != 0)
            continue;
        mistakes_add(reader->mistakes, setting_source(&reader->table, (void *)(uintptr_t)route, name)->place,
                     "%s.name: routes[%u] has the same name", reader->path.text, other->index);
        return;
    }
}

static void route_read(struct reader *reader, const struct yaml_node *node)
{
    struct config *route = &reader->file->routes[reader->file->count];

    *route =
        (struct config) { .mode = CONFIG_FILE, .index = (unsigned)reader->file->count, .place = node->place };
    reader->file->count++;
    if (!defaults_copy(reader, route))
        mistakes_add(reader->mistakes, node->place, "out of memory");
    if (!is_map(reader, node, "settings"))
        return;
    section_fill(reader, route, FILE_SCOPE_ROUTE, node);
    required_check(reader, route);
    name_check(reader, route);
}

static void routes_read(struct reader *reader, const struct yaml_node *routes)
{
    size_t length;

    if (routes->kind != YAML_KIND_SEQUENCE || !routes->count) {
        if (routes->kind != YAML_KIND_INVALID)
            mistakes_add(reader->mistakes, routes->place,
                         "routes: expected a list of routes, but here is %s%s",
                         routes->kind == YAML_KIND_SEQUENCE ? "an empty list" : yaml_node_kind_name(routes),
                         yaml_scalar_space_hint(routes));
        return;
    }
    if (routes->count > CONFIG_FILE_ROUTES_MAX) {
        mistakes_add(reader->mistakes, routes->place, "routes: more than %d routes", CONFIG_FILE_ROUTES_MAX);
        return;
    }
    reader->file->routes = calloc(routes->count, sizeof *reader->file->routes);
    if (!reader->file->routes) {
        mistakes_add(reader->mistakes, routes->place, "out of memory");
        return;
    }
    length = key_path_add_key(&reader->path, "routes");
    for (size_t i = 0; i < routes->count; i++) {
        size_t before = key_path_add_index(&reader->path, i);
        route_read(reader, routes->items[i]);
        key_path_cut(&reader->path, before);
    }
    key_path_cut(&reader->path, length);
}

/* Nobody knows which settings the defaults would give: nothing is said about missing ones. */
static void defaults_lose(struct reader *reader, struct place place)
{
    struct setting_source *sources = reader->file->defaults.sources;

    for (size_t i = 0; i < reader->table.count; i++) {
        if (!reader->table.rows[i].is_for_process && !sources[i].is_given)
            sources[i] = (struct setting_source) { .is_given = true, .is_wrong = true, .place = place };
    }
}

static void defaults_read(struct reader *reader, const struct yaml_node *defaults)
{
    size_t length = key_path_add_key(&reader->path, "defaults");

    if (is_map(reader, defaults, "settings of a route"))
        section_fill(reader, &reader->file->defaults, FILE_SCOPE_ROUTE, defaults);
    else
        defaults_lose(reader, defaults->place);
    key_path_cut(&reader->path, length);
}

/* Whether settings of a route stand at the left margin: what they need is said already. */
static bool has_loose_settings(const struct reader *reader)
{
    bool is_found = false;

    for (size_t i = 0; i < reader->table.count; i++)
        is_found =
            is_found || (!reader->table.rows[i].is_for_process && reader->file->defaults.sources[i].is_wrong);
    return is_found;
}

static void root_read(struct reader *reader, const struct yaml_node *root)
{
    if (!is_map(reader, root, "settings"))
        return;
    const struct yaml_node *defaults = yaml_node_find(root, "defaults"),
                           *routes = yaml_node_find(root, "routes");
    section_fill(reader, &reader->file->defaults, FILE_SCOPE_PROCESS, root);
    bool is_flat = has_loose_settings(reader);
    if (defaults)
        defaults_read(reader, defaults);
    else if (reader->top_meant[TOP_DEFAULTS])
        defaults_lose(reader, root->place);
    if (routes)
        routes_read(reader, routes);
    else if (!reader->top_meant[TOP_ROUTES] && !is_flat && !root->is_incomplete)
        mistakes_add(reader->mistakes, root->place, "routes: is required (a list of routes)");
}

void config_file_free(struct config_file *file)
{
    const struct settings_table table = config_settings(CONFIG_FILE);

    for (size_t i = 0; i < file->count; i++)
        settings_free(&table, &file->routes[i]);
    settings_free(&table, &file->defaults);
    free(file->routes);
    file_texts_free(&file->texts);
    *file = (struct config_file) { .count = 0 };
}

/* Fills the file from the root of the tree, if there is one, and frees the tree. */
static bool tree_read(struct config_file *file, struct yaml_tree *tree, struct mistakes *mistakes)
{
    struct reader reader = {
        .file = file,
        .table = config_settings(CONFIG_FILE),
        .mistakes = mistakes,
    };

    *file = (struct config_file) { .count = 0 };
    if (tree->root) {
        file->defaults.mode = CONFIG_FILE;
        settings_set_defaults(&reader.table, &file->defaults);
        root_read(&reader, tree->root);
    }
    if (!file_texts_take(&file->texts, tree)) {
        mistakes_add(mistakes, (struct place) { 0 }, "out of memory");
        config_file_free(file);
    }
    yaml_tree_deinit(tree);
    return mistakes->count == 0;
}

bool config_file_read(struct config_file *file, const char *path, yaml_look_up *look_up,
                      struct mistakes *mistakes)
{
    struct yaml_tree tree;

    (void)!yaml_tree_read_file(&tree, path, look_up, mistakes);
    return tree_read(file, &tree, mistakes);
}

bool config_file_read_text(struct config_file *file, const char *text, size_t length, yaml_look_up *look_up,
                           struct mistakes *mistakes)
{
    struct yaml_tree tree;

    (void)!yaml_tree_read_text(&tree, text, length, look_up, mistakes);
    return tree_read(file, &tree, mistakes);
}
