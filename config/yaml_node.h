/* The nodes of a YAML tree: scalars, sequences and maps, each with its place.
 *
 * config/yaml_tree.h makes and owns them; everybody else only reads them. */
#ifndef HUSK_CONFIG_YAML_NODE_H
#define HUSK_CONFIG_YAML_NODE_H

#include "config/mistakes.h"

#include <stdbool.h>
#include <stddef.h>

enum yaml_kind {
    YAML_KIND_INVALID, /* a mistake was added for this value; callers add no second mistake */
    YAML_KIND_SCALAR,
    YAML_KIND_SEQUENCE,
    YAML_KIND_MAP,
};

/* A node has only the fields of its kind; the others are 0. The fields of an invalid node mean nothing,
 * except its place. Read-only for callers. */
struct yaml_node {
    enum yaml_kind kind;
    struct place place; /* where the value begins, with its anchor and tag */

    /* scalar */
    char *text;  /* UTF-8 without a 0 inside, zero-terminated; references are replaced. A missing value
                    (`key:`) is a plain scalar with an empty text */
    bool quoted; /* in quotes, a block scalar (| or >), or with the tag !!str: the value is a text, and has no
                    trap */
    bool has_reference; /* a part is from the environment: never print it, it may be a secret */

    /* sequence and map */
    size_t count;
    struct yaml_node **items;   /* sequence */
    struct yaml_entry *entries; /* map: in the order of the text, then merged entries; each key once */
    bool is_incomplete;         /* map: a merged map is invalid, and its entries are missing */

    /* for yaml_tree.c */
    size_t size, height;    /* nodes below it and itself, as copies; levels */
    struct yaml_node *next; /* in the list of the tree */
};

struct yaml_entry {
    const struct yaml_node *key; /* a scalar; references in keys are not replaced */
    struct yaml_node *value;     /* of a merged entry, key and value are those of the anchor */
};

/* The value of a key; NULL: the map has no such key. */
const struct yaml_node *yaml_node_find(const struct yaml_node *map, const char *key);

/* "a text", "a list", "a map"; for a plain scalar without text "no value". For messages. */
const char *yaml_node_kind_name(const struct yaml_node *node);

/* Frees the nodes of a list that `next` links, and what they own. */
void yaml_node_free_all(struct yaml_node *first);

#endif
