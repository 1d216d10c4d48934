#include "config/yaml_node.h"

#include <stdlib.h>
#include <string.h>

const struct yaml_node *yaml_node_find(const struct yaml_node *map, const char *key)
{
    for (size_t i = 0; i < map->count; i++) {
        if (strcmp(map->entries[i].key->text, key) == 0)
            return map->entries[i].value;
    }
    return NULL;
}

const char *yaml_node_kind_name(const struct yaml_node *node)
{
    switch (node->kind) {
    case YAML_KIND_SCALAR:
        return *node->text || node->quoted || node->has_reference ? "a text" : "no value";
    case YAML_KIND_SEQUENCE:
        return "a list";
    case YAML_KIND_MAP:
        return "a map";
    case YAML_KIND_INVALID:
        break;
    }
    return "an invalid value";
}

void yaml_node_free_all(struct yaml_node *first)
{
    while (first) {
        struct yaml_node *next = first->next;

        free(first->text);
        free(first->items);
        free(first->entries);
        free(first);
        first = next;
    }
}
