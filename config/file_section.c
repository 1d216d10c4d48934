#include "config/file_section.h"

#include "base/fault.h"
#include "config/file_scalar.h"
#include "config/nearest.h"
#include "config/setting_value.h"
#include "config/yaml_scalar.h"

#include <stdio.h>
#include <string.h>

/* A map that is being read. */
struct filler {
    const struct file_section *section;
    const char *prefix;      /* of the paths of the settings in this map: "delivery.", or empty */
    bool seen[SETTINGS_MAX]; /* settings that the map, or one above it, has given */
};

static void add(const struct filler *filler, struct place place, const char *text)
{
    const char *path = filler->section->path->text;

    mistakes_add(filler->section->mistakes, place, "%s%s%s", path, *path ? ": " : "", text);
}

/* ---- the values of one setting ---- */

static void scalar_fill(const struct filler *filler, const struct setting *setting, void *target,
                        const struct yaml_node *node)
{
    struct fault fault;

    if (!file_scalar_set(setting, target, node, &fault))
        add(filler, node->place, fault.text);
}

/* ---- lists ---- */

/* Calls `fill` for each element of a sequence, or for the node itself. */
typedef void element_fill(const struct filler *filler, const struct setting *setting,
                          const struct yaml_node *node);

static void elements_fill(const struct filler *filler, const struct setting *setting,
                          const struct yaml_node *node, element_fill *fill)
{
    struct key_path *path = filler->section->path;

    if (node->kind != YAML_KIND_SEQUENCE) {
        fill(filler, setting, node);
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        size_t length = key_path_add_index(path, i);
        if (node->items[i]->kind != YAML_KIND_INVALID)
            fill(filler, setting, node->items[i]);
        key_path_cut(path, length);
    }
}

static void text_fill(const struct filler *filler, const struct setting *setting,
                      const struct yaml_node *node)
{
    struct fault fault = { "" };

    if (node->kind != YAML_KIND_SCALAR)
        fault_set(&fault, "expected a text, not %s", yaml_node_kind_name(node));
    else if (file_text_is_good(node, &fault)) {
        struct setting_item *item = setting_list_append(setting, filler->section->target);
        if (item) {
            item->value = node->text;
            item->place = node->place;
            return;
        }
        fault_set(&fault, "out of memory");
    }
    add(filler, node->place, fault.text);
}

static void required_check(const struct filler *filler, const struct settings_table *parts, void *target,
                           struct place place)
{
    for (size_t i = 0; i < parts->count; i++) {
        const struct setting *part = &parts->rows[i];
        char text[FAULT_TEXT_BYTES];
        if (!setting_is_required(parts, part) || setting_source(parts, target, part)->is_given)
            continue;
        snprintf(text, sizeof text, "%s is missing (%s)", part->path, part->help);
        add(filler, place, text);
    }
}

/* A map gives the parts by their keys. */
static void parts_fill(const struct filler *filler, const struct setting *setting,
                       const struct yaml_node *node)
{
    struct setting_item *item = setting_list_append(setting, filler->section->target);

    if (!item) {
        add(filler, node->place, "out of memory");
        return;
    }
    item->place = node->place;
    const struct file_section section = {
        .table = &setting->parts->table,
        .target = item->parts,
        .scope = FILE_SCOPE_ROUTE,
        .path = filler->section->path,
        .texts = filler->section->texts,
        .mistakes = filler->section->mistakes,
    };
    file_section_fill(&section, node);
    required_check(filler, &setting->parts->table, item->parts, node->place);
    if (!setting_list_compose(setting, item))
        add(filler, node->place, "out of memory");
}

/* A text is an item as an option writes it, if the item begins with a value that needs no name. */
static void item_fill(const struct filler *filler, const struct setting *setting,
                      const struct yaml_node *node)
{
    struct fault fault;

    if (node->kind == YAML_KIND_MAP) {
        parts_fill(filler, setting, node);
    } else if (node->kind != YAML_KIND_SCALAR || setting->parts->positionals != 1) {
        fault_set(&fault, "expected a map with the keys of one item, not %s", yaml_node_kind_name(node));
        add(filler, node->place, fault.text);
    } else if (!file_text_is_good(node, &fault) ||
               !setting_value_set(setting, filler->section->target, node->text, &fault)) {
        add(filler, node->place, fault.text);
    } else {
        struct setting_list *list =
            (struct setting_list *)((char *)filler->section->target + setting->offset);
        list->items[list->count - 1].place = node->place;
    }
}

/* `any: true` adds the item that takes no value. */
static void flag_fill(const struct filler *filler, const struct setting *setting,
                      const struct yaml_node *node)
{
    struct fault fault;
    bool flag;

    if (!yaml_scalar_flag(node, &flag, &fault)) {
        add(filler, node->place, fault.text);
    } else if (flag) {
        struct setting_item *item = setting_list_append(setting, filler->section->target);
        if (item)
            item->place = node->place;
        else
            add(filler, node->place, "out of memory");
    }
}

/* A word of a sequence. */
static void word_check(const struct filler *filler, const struct setting *setting,
                       const struct yaml_node *node)
{
    struct fault fault;

    (void)setting;
    if (node->kind != YAML_KIND_SCALAR)
        fault_set(&fault, "expected a text, not %s", yaml_node_kind_name(node));
    else if (file_text_is_good(node, &fault))
        return;
    add(filler, node->place, fault.text);
}

/* A list replaces what the target had before. Settings that share one list replace it together. */
static void list_clear(struct filler *filler, const struct setting *setting)
{
    const struct settings_table *table = filler->section->table;
    bool is_begun = false;

    for (size_t i = 0; i < table->count; i++)
        is_begun = is_begun || (filler->seen[i] && table->rows[i].offset == setting->offset);
    for (size_t i = 0; !is_begun && i < table->count; i++) {
        if (table->rows[i].offset == setting->offset)
            setting_value_reset(&table->rows[i], filler->section->target);
    }
}

static void list_fill(struct filler *filler, const struct setting *setting, const struct yaml_node *node)
{
    list_clear(filler, setting);
    if (!setting->parts && !setting->value_name)
        flag_fill(filler, setting, node);
    else
        elements_fill(filler, setting, node, setting->parts ? item_fill : text_fill);
}

static void words_fill(const struct filler *filler, const struct setting *setting,
                       const struct yaml_node *node)
{
    const struct file_section *section = filler->section;
    size_t before = section->mistakes->count;

    if (node->kind != YAML_KIND_SEQUENCE) {
        scalar_fill(filler, setting, section->target, node);
        return;
    }
    elements_fill(filler, setting, node, word_check);
    if (section->mistakes->count != before)
        return;
    if (!node->count) {
        add(filler, node->place, "the list is empty");
        return;
    }
    const char *joined = file_texts_join(section->texts, node);
    if (joined)
        *(const char **)((char *)section->target + setting->offset) = joined;
    else
        add(filler, node->place, "out of memory");
}

/* ---- keys ---- */

static void setting_fill(struct filler *filler, const struct setting *setting, const struct yaml_node *key,
                         const struct yaml_node *node)
{
    const struct file_section *section = filler->section;
    struct setting_source *source = setting_source(section->table, section->target, setting);

    if (setting->type == SETTING_LIST)
        list_fill(filler, setting, node);
    else if (setting->type == SETTING_WORDS)
        words_fill(filler, setting, node);
    else
        scalar_fill(filler, setting, section->target, node);
    filler->seen[setting - section->table->rows] = true;
    if (source)
        *source = (struct setting_source) { .is_given = true, .place = key->place };
}

static bool is_in_scope(const struct filler *filler, const struct setting *setting)
{
    const struct file_section *section = filler->section;

    return setting->path && setting_is_in(section->table, setting) &&
           setting->is_for_process == (section->scope == FILE_SCOPE_PROCESS);
}

/* The rest of the setting's path below this map; NULL: it is elsewhere. */
static const char *path_below(const struct filler *filler, const struct setting *setting)
{
    size_t length = strlen(filler->prefix);

    if (!is_in_scope(filler, setting) || strncmp(setting->path, filler->prefix, length) != 0)
        return NULL;
    return setting->path + length;
}

static const struct setting *setting_below(const struct filler *filler, const char *key)
{
    const struct settings_table *table = filler->section->table;

    for (size_t i = 0; i < table->count; i++) {
        const char *path = path_below(filler, &table->rows[i]);
        if (path && strcmp(path, key) == 0)
            return &table->rows[i];
    }
    return NULL;
}

/* Whether settings stand in a map below this key. */
static bool has_map(const struct filler *filler, const char *key)
{
    const struct settings_table *table = filler->section->table;
    size_t length = strlen(key);

    for (size_t i = 0; i < table->count; i++) {
        const char *path = path_below(filler, &table->rows[i]);
        if (path && strncmp(path, key, length) == 0 && path[length] == '.')
            return true;
    }
    return false;
}

/* Whether the last part of the path, or the name of the option, is this key. */
static bool is_called(const struct setting *setting, const char *key)
{
    const char *dot = strrchr(setting->path, '.');
    size_t i = 0;

    if (strcmp(dot ? dot + 1 : setting->path, key) == 0)
        return true;
    for (; key[i]; i++) {
        if (setting->name[i] != (key[i] == '_' ? '-' : key[i]))
            return false;
    }
    return !setting->name[i];
}

/* The key that stands in this map and that a person may have meant, or the path of a setting of that name
 * elsewhere. */
static void guess_append(const struct filler *filler, const char *key, struct fault *fault)
{
    const struct settings_table *table = filler->section->table;
    struct nearest nearest = nearest_begin(key, strlen(key));
    char keys[SETTINGS_MAX][NEAREST_WORD_MAX];
    size_t used = strlen(fault->text);

    for (size_t i = 0; i < table->count; i++) {
        const char *path = path_below(filler, &table->rows[i]);
        snprintf(keys[i], sizeof keys[i], "%.*s", path ? (int)strcspn(path, ".") : 0, path ? path : "");
        if (*keys[i])
            nearest_add(&nearest, keys[i]);
    }
    for (size_t i = 0; filler->section->other_keys && !*filler->prefix && filler->section->other_keys[i]; i++)
        nearest_add(&nearest, filler->section->other_keys[i]);
    for (size_t i = 0; !nearest.best && i < table->count; i++) {
        if (is_in_scope(filler, &table->rows[i]) && is_called(&table->rows[i], key))
            nearest.best = table->rows[i].path;
    }
    if (nearest.best)
        snprintf(fault->text + used, sizeof fault->text - used, "; did you mean %s?", nearest.best);
}

/* The setting of this path or name that stands in the other scope; NULL: none. */
static const struct setting *setting_elsewhere(const struct filler *filler, const char *key)
{
    const struct settings_table *table = filler->section->table;
    size_t length = strlen(key);

    for (size_t i = 0; i < table->count && !*filler->prefix; i++) {
        const struct setting *setting = &table->rows[i];
        if (!setting->path || !setting_is_in(table, setting) || is_in_scope(filler, setting))
            continue;
        if (strncmp(setting->path, key, length) == 0 && strchr(".", setting->path[length]))
            return setting;
    }
    return NULL;
}

/* A secret that was written into the file: the settings of the same name say where it can be instead. */
static bool is_secret(const struct filler *filler, const char *key)
{
    char name[NEAREST_WORD_MAX];

    snprintf(name, sizeof name, "%.50s_env", key);
    return setting_below(filler, name);
}

static void unknown_add(const struct filler *filler, const struct yaml_node *key)
{
    struct fault fault;
    char shown[MISTAKES_QUOTE_BYTES];
    const struct setting *elsewhere = setting_elsewhere(filler, key->text);

    if (is_secret(filler, key->text))
        fault_set(&fault,
                  "a secret does not stand in the file: name its variable or its file in %.50s_env or "
                  "%.50s_file",
                  key->text, key->text);
    else if (elsewhere && elsewhere->is_for_process)
        fault_set(&fault, "this is a setting of the process: it stands at the left margin of the file, once");
    else if (elsewhere)
        fault_set(&fault, "this is a setting of a route: it stands below a route, or below defaults");
    else {
        fault_set(&fault, "%s is unknown", mistakes_quote(key->text, shown));
        guess_append(filler, key->text, &fault);
    }
    add(filler, key->place, fault.text);
}

static void section_fill(struct filler *filler, const struct yaml_node *map);

/* The settings below a key that is no setting itself. */
static void map_fill(struct filler *filler, const char *key, const struct yaml_node *node)
{
    char prefix[KEY_PATH_BYTES];
    const char *before = filler->prefix;
    struct fault fault;

    if (node->kind != YAML_KIND_MAP) {
        fault_set(&fault, "expected a map of settings, not %s", yaml_node_kind_name(node));
        add(filler, node->place, fault.text);
        return;
    }
    snprintf(prefix, sizeof prefix, "%s%s.", before, key);
    filler->prefix = prefix;
    section_fill(filler, node);
    filler->prefix = before;
}

static bool is_other(const struct filler *filler, const char *key)
{
    const char *const *other = filler->section->other_keys;

    while (other && *other && strcmp(*other, key) != 0)
        other++;
    return other && *other && !*filler->prefix;
}

static void section_fill(struct filler *filler, const struct yaml_node *map)
{
    struct key_path *path = filler->section->path;

    for (size_t i = 0; i < map->count; i++) {
        const struct yaml_node *key = map->entries[i].key, *value = map->entries[i].value;
        size_t length = key_path_add_key(path, key->text);
        const struct setting *setting = setting_below(filler, key->text);
        if (value->kind == YAML_KIND_INVALID || is_other(filler, key->text))
            ; /* a mistake is known, or the key belongs to the caller */
        else if (setting)
            setting_fill(filler, setting, key, value);
        else if (has_map(filler, key->text))
            map_fill(filler, key->text, value);
        else
            unknown_add(filler, key);
        key_path_cut(path, length);
    }
}

void file_section_fill(const struct file_section *section, const struct yaml_node *map)
{
    struct filler filler = { .section = section, .prefix = "" };

    section_fill(&filler, map);
}
