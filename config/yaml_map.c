#include "config/yaml_map.h"

#include <stdlib.h>
#include <string.h>

bool yaml_map_is_merge_key(const struct yaml_node *key)
{
    return key->kind == YAML_KIND_SCALAR && !key->quoted && strcmp(key->text, "<<") == 0;
}

/* The room of the array follows from `count`: a power of two. */
bool yaml_map_add(struct yaml_node *map, const struct yaml_entry *entry)
{
    size_t count = map->count;

    if ((count & (count - 1)) == 0) {
        size_t room = count ? 2 * count : 1;
        struct yaml_entry *entries = realloc(map->entries, room * sizeof *entries);
        if (!entries)
            return false;
        map->entries = entries;
    }
    map->entries[map->count++] = *entry;
    return true;
}

static bool add_entries(struct yaml_node *map, const struct yaml_node *source)
{
    for (size_t i = 0; i < source->count; i++) {
        if (!yaml_map_add(map, &source->entries[i]))
            return false;
    }
    return true;
}

static bool add_source(struct yaml_node *map, const struct yaml_node *source, struct mistakes *mistakes)
{
    if (source->kind == YAML_KIND_MAP)
        return add_entries(map, source);
    map->is_incomplete = true;
    if (source->kind != YAML_KIND_INVALID)
        mistakes_add(mistakes, source->place, "\"<<\" needs a map or a list of maps, but here is %s",
                     yaml_node_kind_name(source));
    return true;
}

static bool add_merged(struct yaml_node *map, const struct yaml_node *merged, struct mistakes *mistakes)
{
    if (merged->kind != YAML_KIND_SEQUENCE)
        return add_source(map, merged, mistakes);
    for (size_t i = 0; i < merged->count; i++) {
        if (!add_source(map, merged->items[i], mistakes))
            return false;
    }
    return true;
}

/* Entries with the same key in the order of the map. */
static int compare(const void *left, const void *right)
{
    const struct yaml_entry *const *a = left, *const *b = right;
    int order = strcmp((*a)->key->text, (*b)->key->text);

    return order ? order : (*a < *b ? -1 : *a > *b);
}

/* Drops each entry whose key an earlier one has. Sorts, because a loop over pairs is slow for large maps. */
static bool drop_repeated(struct yaml_node *map, size_t own_count, struct mistakes *mistakes)
{
    struct yaml_entry **sorted = malloc(map->count * sizeof(struct yaml_entry *));
    size_t kept = 0;

    if (!sorted)
        return map->count == 0;
    for (size_t i = 0; i < map->count; i++)
        sorted[i] = &map->entries[i];
    qsort(sorted, map->count, sizeof(struct yaml_entry *), compare);
    const struct yaml_node *first = NULL;
    for (size_t i = 0; i < map->count; i++) {
        const struct yaml_node *key = sorted[i]->key;
        char quote[MISTAKES_QUOTE_BYTES];

        if (!first || strcmp(first->text, key->text) != 0) {
            first = key;
            continue;
        }
        if (sorted[i] < map->entries + own_count)
            mistakes_add(mistakes, key->place, "%s is given twice; first on line %u",
                         mistakes_quote(key->text, quote), first->place.line);
        sorted[i]->value = NULL;
    }
    free(sorted);
    for (size_t i = 0; i < map->count; i++) {
        if (map->entries[i].value)
            map->entries[kept++] = map->entries[i];
    }
    map->count = kept;
    return true;
}

bool yaml_map_finish(struct yaml_node *map, const struct yaml_node *merged, struct mistakes *mistakes)
{
    size_t own_count = map->count;

    if (merged && !add_merged(map, merged, mistakes))
        return false;
    return drop_repeated(map, own_count, mistakes);
}
