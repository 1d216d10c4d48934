/* The anchors of a YAML text, by name. */
#ifndef HUSK_CONFIG_YAML_ANCHORS_H
#define HUSK_CONFIG_YAML_ANCHORS_H

#include "base/fault.h"
#include "config/yaml_node.h"

#include <stdbool.h>
#include <stddef.h>

/* Zero-initialise. */
struct yaml_anchors {
    size_t count;
    struct yaml_anchor *items; /* owned */
};

struct yaml_anchor {
    char *name;             /* owned */
    struct yaml_node *node; /* borrowed */
    bool open;              /* the node is a sequence or map whose end was not read yet */
};

/* NULL: there is none. Compares with each name: the caller limits their number. */
const struct yaml_anchor *yaml_anchors_find(const struct yaml_anchors *anchors, const char *name);

/* Adds an anchor with a new name. It is open unless the node is a scalar. False when out of memory. */
MUST_CHECK bool yaml_anchors_add(struct yaml_anchors *anchors, const char *name, struct yaml_node *node);

/* The end of the node was read. Does nothing if the node has no anchor. */
void yaml_anchors_close(struct yaml_anchors *anchors, const struct yaml_node *node);

void yaml_anchors_deinit(struct yaml_anchors *anchors);

#endif
