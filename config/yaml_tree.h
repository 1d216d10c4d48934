/* Reads YAML into a tree of nodes with places. The parser is libyaml.
 *
 * Aliases and merge keys (`<<`, YAML 1.1) are resolved, references to the environment
 * (config/yaml_reference.h) are replaced. The nodes of an anchor are shared: its aliases are the same node,
 * so a node may have several parents; its place is where its text stands. Knows no setting: what a value
 * means is the caller's. */
#ifndef HUSK_CONFIG_YAML_TREE_H
#define HUSK_CONFIG_YAML_TREE_H

#include "config/mistakes.h"
#include "config/yaml_reference.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    YAML_TREE_BYTES_MAX = 1 << 20, /* of the text */
    YAML_TREE_NODES_MAX = 100000,  /* keys and values, each alias counted like a copy of its anchor */
    YAML_TREE_DEPTH_MAX = 32,      /* values inside each other, aliases counted like copies */
};

enum yaml_kind {
    YAML_KIND_INVALID, /* a mistake has been reported for this value; callers report no second one */
    YAML_KIND_SCALAR,
    YAML_KIND_SEQUENCE,
    YAML_KIND_MAP,
};

/* A node has only the fields of its kind; the others are 0. Read-only for callers. */
struct yaml_node {
    enum yaml_kind kind;
    struct place place; /* where the value begins, without its anchor and tag */

    /* scalar */
    char *text;  /* UTF-8 without a 0 inside, zero-terminated; references are replaced. A missing value
                    (`key:`) is a plain scalar with an empty text */
    bool quoted; /* in quotes, a block scalar (| or >), or with the tag !!str: it is a text and no trap */
    bool has_reference; /* a part is from the environment: never print it, it may be a secret */

    /* sequence and map */
    size_t count;
    struct yaml_node **items;   /* sequence */
    struct yaml_entry *entries; /* map: in the order of the text, then merged entries; each key once */

    /* for yaml_tree.c */
    size_t size, height;    /* nodes below it and itself, as copies; levels */
    struct yaml_node *next; /* in the list of the tree */
};

struct yaml_entry {
    const struct yaml_node *key; /* a scalar; references in keys are not replaced */
    struct yaml_node *value;     /* of a merged entry, key and value are those of the anchor */
};

struct yaml_tree {
    const struct yaml_node *root; /* NULL: there is none */
    struct yaml_node *all;        /* owned: every node */
};

/* Reads the regular file at `path`, or a text in memory (UTF-8, may have a BOM). Adds to `mistakes` what is
 * wrong; after a mistake of syntax, or a limit, it stops. `look_up` finds variables of the environment
 * (getenv).
 *
 * True: tree->root is set. Also a tree with mistakes has a root if its syntax is right, so that the caller
 * can find further mistakes; the caller uses the values only if mistakes->count is 0 at the end. False: there
 * is no root, and at least one mistake was added. Free with yaml_tree_deinit in both cases. */
MUST_CHECK bool yaml_tree_read_file(struct yaml_tree *tree, const char *path, yaml_look_up *look_up,
                                    struct mistakes *mistakes);
MUST_CHECK bool yaml_tree_read_text(struct yaml_tree *tree, const char *text, size_t length,
                                    yaml_look_up *look_up, struct mistakes *mistakes);

/* The value of a key; NULL: the map has no such key. */
const struct yaml_node *yaml_tree_find(const struct yaml_node *map, const char *key);

/* "a text", "a list", "a map"; for a plain scalar without text "no value". For messages. */
const char *yaml_tree_kind_name(const struct yaml_node *node);

/* Frees all nodes and texts. */
void yaml_tree_deinit(struct yaml_tree *tree);

#endif
