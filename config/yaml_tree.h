/* Reads YAML into a tree of nodes with places. The parser is libyaml.
 *
 * Aliases and merge keys (`<<`, YAML 1.1) are resolved, references to the environment
 * (config/yaml_reference.h) are replaced. The nodes of an anchor are shared: its aliases are the same node,
 * so a node may have several parents. The place of a node is where its text stands. Knows no setting: the
 * caller interprets the values. */
#ifndef HUSK_CONFIG_YAML_TREE_H
#define HUSK_CONFIG_YAML_TREE_H

#include "config/mistakes.h"
#include "config/yaml_node.h"
#include "config/yaml_reference.h"

#include <stdbool.h>
#include <stddef.h>

/* The limits of a file; the bytes of its text are limited by config/yaml_text.h. */
enum {
    YAML_TREE_NODES_MAX = 100000, /* keys and values; an alias counts like a copy of its anchor */
    YAML_TREE_DEPTH_MAX = 32,     /* values inside each other; an alias counts like a copy */
    YAML_TREE_ANCHORS_MAX = 1000,
    YAML_TREE_REPLACED_MAX = 1 << 20, /* bytes of all values with references, after they are replaced */
};

struct yaml_tree {
    const struct yaml_node *root; /* NULL: there is none */
    struct yaml_node *all;        /* owned: every node */
};

/* Reads the regular file at `path`, or a text in memory (UTF-8, may have a BOM). Adds to `mistakes` what is
 * wrong; stops after a mistake of syntax, or at a limit. `look_up` finds variables of the environment,
 * as getenv does.
 *
 * True: tree->root is set. A tree with mistakes has a root, too, if its syntax is right, so that the caller
 * can find further mistakes; the caller uses the values only if mistakes->count is 0 at the end. False: there
 * is no root, and at least one mistake was added. Free with yaml_tree_deinit in both cases. */
MUST_CHECK bool yaml_tree_read_file(struct yaml_tree *tree, const char *path, yaml_look_up *look_up,
                                    struct mistakes *mistakes);
MUST_CHECK bool yaml_tree_read_text(struct yaml_tree *tree, const char *text, size_t length,
                                    yaml_look_up *look_up, struct mistakes *mistakes);

/* Frees all nodes and texts. */
void yaml_tree_deinit(struct yaml_tree *tree);

#endif
