#include "config/file_section.h"

#include "base/fault.h"
#include "config/file_scalar.h"
#include "config/setting_scalar.h"
#include "config/setting_value.h"
#include "config/yaml_scalar.h"

#include <stdio.h>
#include <string.h>

/* A map that is being read. */
struct filler {
    const struct file_section *section;
    struct file_keys keys;   /* of the map */
    bool seen[SETTINGS_MAX]; /* settings that the map, or one above it, has given */
};

static void add(const struct filler *filler, struct place place, const char *text)
{
    const char *path = filler->section->path->text;

    mistakes_add(filler->section->mistakes, place, "%s%s%s", path, *path ? ": " : "", text);
}

static void add_wrong_kind(const struct filler *filler, const struct yaml_node *node, const char *expected)
{
    struct fault fault;

    fault_set(&fault, "expected %s, but here is %s%s", expected, yaml_node_kind_name(node),
              yaml_scalar_space_hint(node));
    add(filler, node->place, fault.text);
}

/* ---- what is known about settings ---- */

/* No further mistake is added for a setting that a wrong key at `place` may have meant. A setting of the
 * other scope keeps what the file says elsewhere. */
static void wrong_note(const struct filler *filler, size_t row, struct place place)
{
    const struct file_section *section = filler->section;
    const struct setting *setting = &section->table->rows[row];
    struct setting_source *source = setting_source(section->table, section->target, setting);
    bool is_elsewhere = setting->is_for_process != (section->scope == FILE_SCOPE_PROCESS);

    if (filler->seen[row] || (is_elsewhere && source->is_given))
        return;
    *source =
        (struct setting_source) { .is_given = true, .is_wrong = true, .place = place, .map = source->map };
}

/* The value of a key that leads to settings is no map. */
static void below_note(const struct filler *filler, const char *key, struct place place)
{
    const struct settings_table *table = filler->section->table;

    for (size_t i = 0; i < table->count; i++) {
        if (file_keys_is_below(&filler->keys, &table->rows[i], key))
            wrong_note(filler, i, place);
    }
}

/* The settings of the map whose keys come now. */
static void map_note(const struct filler *filler, struct place place)
{
    const struct file_section *section = filler->section;

    for (size_t i = 0; i < section->table->count; i++) {
        const struct setting *setting = &section->table->rows[i];
        const char *path = file_keys_path(&filler->keys, setting);
        if (path && !strchr(path, '.'))
            setting_source(section->table, section->target, setting)->map = place;
    }
}

static bool has_invalid(const struct yaml_node *node)
{
    bool is_invalid = node->kind == YAML_KIND_INVALID;

    for (size_t i = 0; node->kind == YAML_KIND_SEQUENCE && i < node->count; i++)
        is_invalid = is_invalid || node->items[i]->kind == YAML_KIND_INVALID;
    return is_invalid;
}

static bool has_reference(const struct yaml_node *node)
{
    bool is_found = node->kind == YAML_KIND_SCALAR && node->has_reference;

    for (size_t i = 0; node->kind == YAML_KIND_SEQUENCE && i < node->count; i++)
        is_found = is_found || (node->items[i]->kind == YAML_KIND_SCALAR && node->items[i]->has_reference);
    return is_found;
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
                          const struct yaml_node *node, unsigned index);

static void elements_fill(const struct filler *filler, const struct setting *setting,
                          const struct yaml_node *node, element_fill *fill)
{
    struct key_path *path = filler->section->path;

    if (node->kind != YAML_KIND_SEQUENCE) {
        fill(filler, setting, node, 0);
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        size_t length = key_path_add_index(path, i);
        if (node->items[i]->kind != YAML_KIND_INVALID)
            fill(filler, setting, node->items[i], (unsigned)i);
        key_path_cut(path, length);
    }
}

/* Appends an item for the element at `index` of its sequence. NULL: out of memory, which is a mistake. */
static struct setting_item *item_append(const struct filler *filler, const struct setting *setting,
                                        const struct yaml_node *node, unsigned index)
{
    struct setting_item *item = setting_list_append(setting, filler->section->target);

    if (item) {
        item->place = node->place;
        item->index = index;
        item->is_hidden = node->kind == YAML_KIND_SCALAR && node->has_reference;
    } else {
        add(filler, node->place, "out of memory");
    }
    return item;
}

static void text_fill(const struct filler *filler, const struct setting *setting,
                      const struct yaml_node *node, unsigned index)
{
    struct fault fault;

    if (file_text_is_good(setting, node, &fault)) {
        struct setting_item *item = item_append(filler, setting, node, index);
        if (item)
            item->value = node->text;
    } else {
        add(filler, node->place, fault.text);
    }
}

static void required_check(const struct filler *filler, const struct settings_table *parts, void *target,
                           struct place place)
{
    for (size_t i = 0; i < parts->count; i++) {
        const struct setting *part = &parts->rows[i];
        if (setting_is_required(parts, part) && !setting_source(parts, target, part)->is_given)
            mistakes_add(filler->section->mistakes, place, "%s.%s: is required (%s)",
                         filler->section->path->text, part->path, part->help);
    }
}

/* A map gives the parts by their keys. */
static void parts_fill(const struct filler *filler, const struct setting *setting,
                       const struct yaml_node *node, unsigned index)
{
    struct setting_item *item = item_append(filler, setting, node, index);

    if (!item)
        return;
    const struct file_section section = {
        .table = &setting->parts->table,
        .target = item->parts,
        .scope = FILE_SCOPE_ITEM,
        .path = filler->section->path,
        .texts = filler->section->texts,
        .mistakes = filler->section->mistakes,
    };
    file_section_fill(&section, node);
    required_check(filler, &setting->parts->table, item->parts, node->place);
    if (!setting_list_compose(setting, item))
        add(filler, node->place, "out of memory");
}

/* Whether a text is a part that belongs to the text before: in [ ], a comma ends a text without quotes. */
static bool is_cut_off(const struct setting_parts *parts, const struct yaml_node *node)
{
    size_t length = strcspn(node->text, "=");

    for (size_t i = parts->positionals; !node->quoted && i < parts->table.count; i++) {
        const char *name = parts->table.rows[i].name;
        if (strlen(name) == length && memcmp(name, node->text, length) == 0)
            return true;
    }
    return false;
}

/* A text is an item as an option writes it, if the item begins with a value that needs no name. A value from
 * the environment is not shown. */
static void item_text_fill(const struct filler *filler, const struct setting *setting,
                           const struct yaml_node *node, unsigned index)
{
    struct setting_list *list = (struct setting_list *)((char *)filler->section->target + setting->offset);
    size_t before = list->count;
    char shown[MISTAKES_QUOTE_BYTES];
    struct fault fault;

    if (!file_text_is_good(setting, node, &fault)) {
        add(filler, node->place, fault.text);
        return;
    }
    if (is_cut_off(setting->parts, node)) {
        fault_set(&fault, "%s alone is no item; write the item in quotes if it has a comma",
                  yaml_scalar_show(node, shown));
        add(filler, node->place, fault.text);
        return;
    }
    if (!setting_value_set(setting, filler->section->target, node->text, &fault)) {
        if (node->has_reference)
            fault_set(&fault, "the value from the environment is not %s", setting->value_name);
        add(filler, node->place, fault.text);
    }
    if (list->count > before) {
        list->items[before].place = node->place;
        list->items[before].index = index;
        list->items[before].is_hidden = node->has_reference;
    }
}

static void item_fill(const struct filler *filler, const struct setting *setting,
                      const struct yaml_node *node, unsigned index)
{
    bool is_text_good = setting->parts->positionals == 1;

    if (node->kind == YAML_KIND_MAP)
        parts_fill(filler, setting, node, index);
    else if (node->kind == YAML_KIND_SCALAR && is_text_good)
        item_text_fill(filler, setting, node, index);
    else
        add_wrong_kind(filler, node, is_text_good ? "a text or a map" : "a map of settings");
}

/* `any: true` adds the item that takes no value. */
static void flag_fill(const struct filler *filler, const struct setting *setting,
                      const struct yaml_node *node)
{
    struct fault fault;
    bool flag;

    if (!yaml_scalar_flag(node, &flag, &fault))
        add(filler, node->place, fault.text);
    else if (flag)
        item_append(filler, setting, node, 0);
}

/* A word of a sequence. */
static void word_check(const struct filler *filler, const struct setting *setting,
                       const struct yaml_node *node, unsigned index)
{
    struct fault fault;

    (void)index;
    if (!file_text_is_good(setting, node, &fault) ||
        !setting_words_check(setting, node->text, file_text_shown(node), &fault))
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
        if (table->rows[i].offset != setting->offset)
            continue;
        setting_value_reset(&table->rows[i], filler->section->target);
        setting_source(table, filler->section->target, &table->rows[i])->is_given = false;
    }
}

static void list_fill(struct filler *filler, const struct setting *setting, const struct yaml_node *node)
{
    list_clear(filler, setting);
    if (node->kind == YAML_KIND_SEQUENCE && !node->count &&
        (setting->min || setting_is_required(filler->section->table, setting))) {
        add(filler, node->place, "the list is empty");
        return;
    }
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
    bool is_good = true;

    if (node->kind != YAML_KIND_SEQUENCE) {
        scalar_fill(filler, setting, section->target, node);
        return;
    }
    for (size_t i = 0; i < node->count; i++)
        is_good = is_good && node->items[i]->kind != YAML_KIND_INVALID;
    elements_fill(filler, setting, node, word_check);
    if (!is_good || section->mistakes->count != before)
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
    size_t before = section->mistakes->count;

    if (node->kind == YAML_KIND_INVALID)
        ; /* a mistake is known */
    else if (setting->type == SETTING_LIST)
        list_fill(filler, setting, node);
    else if (setting->type == SETTING_WORDS)
        words_fill(filler, setting, node);
    else
        scalar_fill(filler, setting, section->target, node);
    filler->seen[setting - section->table->rows] = true;
    *source = (struct setting_source) {
        .is_given = true,
        .is_wrong = section->mistakes->count != before || has_invalid(node),
        .is_hidden = has_reference(node),
        .place = key->place,
        .map = source->map,
    };
}

static void section_fill(struct filler *filler, const struct yaml_node *map);

/* The settings below a key that is no setting itself. */
static void map_fill(struct filler *filler, const struct yaml_node *key, const struct yaml_node *node)
{
    char prefix[KEY_PATH_BYTES];
    const char *before = filler->keys.prefix;
    bool is_empty_switch =
        node->kind == YAML_KIND_MAP && !node->count && file_keys_has_switch(&filler->keys, key->text);
    struct fault fault;

    if (node->kind != YAML_KIND_MAP) {
        if (node->kind != YAML_KIND_INVALID)
            add_wrong_kind(filler, node, "a map of settings");
        below_note(filler, key->text, key->place);
        return;
    }
    snprintf(prefix, sizeof prefix, "%s%s.", before, key->text);
    filler->keys.prefix = prefix;
    map_note(filler, key->place);
    section_fill(filler, node);
    if (is_empty_switch) {
        fault_set(&fault, "the map is empty");
        file_keys_append_all(&filler->keys, &fault);
        add(filler, key->place, fault.text);
    }
    filler->keys.prefix = before;
}

static void unknown_note(const struct filler *filler, const struct yaml_node *key)
{
    const struct file_section *section = filler->section;
    struct file_keys_meaning meaning;

    file_keys_explain(&filler->keys, key->text, &meaning);
    add(filler, key->place, meaning.fault.text);
    for (size_t i = 0; i < section->table->count; i++) {
        if (meaning.settings[i])
            wrong_note(filler, i, key->place);
    }
    const char *const *others = meaning.other_key ? section->other_keys : NULL;
    for (size_t i = 0; others && others[i]; i++) {
        if (strcmp(others[i], meaning.other_key) == 0)
            section->other_meant[i] = true;
    }
}

static void entry_fill(struct filler *filler, const struct yaml_entry *entry)
{
    const char *key = entry->key->text;
    const struct setting *setting = file_keys_find(&filler->keys, key);

    if (file_keys_is_other(&filler->keys, key))
        return; /* the key belongs to the caller */
    if (setting)
        setting_fill(filler, setting, entry->key, entry->value);
    else if (file_keys_has_map(&filler->keys, key))
        map_fill(filler, entry->key, entry->value);
    else
        unknown_note(filler, entry->key);
}

static void section_fill(struct filler *filler, const struct yaml_node *map)
{
    struct key_path *path = filler->section->path;

    for (size_t i = 0; i < map->count; i++) {
        size_t length = key_path_add_key(path, map->entries[i].key->text);
        entry_fill(filler, &map->entries[i]);
        key_path_cut(path, length);
    }
    for (size_t i = 0; map->is_incomplete && i < filler->section->table->count; i++) {
        if (file_keys_path(&filler->keys, &filler->section->table->rows[i]))
            wrong_note(filler, i, map->place);
    }
}

void file_section_fill(const struct file_section *section, const struct yaml_node *map)
{
    struct filler filler = {
        .section = section,
        .keys = { section->table, section->scope, section->other_keys, "" },
    };

    section_fill(&filler, map);
}
