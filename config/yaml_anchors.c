#include "config/yaml_anchors.h"

#include <stdlib.h>
#include <string.h>

const struct yaml_anchor *yaml_anchors_find(const struct yaml_anchors *anchors, const char *name)
{
    for (size_t i = 0; i < anchors->count; i++) {
        if (strcmp(anchors->items[i].name, name) == 0)
            return &anchors->items[i];
    }
    return NULL;
}

bool yaml_anchors_add(struct yaml_anchors *anchors, const char *name, struct yaml_node *node)
{
    struct yaml_anchor *items = realloc(anchors->items, (anchors->count + 1) * sizeof *items);

    if (!items)
        return false;
    anchors->items = items;
    struct yaml_anchor *added = &items[anchors->count];
    *added = (struct yaml_anchor) { strdup(name), node, node->kind != YAML_KIND_SCALAR };
    if (!added->name)
        return false;
    anchors->count++;
    return true;
}

void yaml_anchors_close(struct yaml_anchors *anchors, const struct yaml_node *node)
{
    for (size_t i = 0; i < anchors->count; i++) {
        if (anchors->items[i].node == node)
            anchors->items[i].open = false;
    }
}

void yaml_anchors_deinit(struct yaml_anchors *anchors)
{
    for (size_t i = 0; i < anchors->count; i++)
        free(anchors->items[i].name);
    free(anchors->items);
    *anchors = (struct yaml_anchors) { 0 };
}
