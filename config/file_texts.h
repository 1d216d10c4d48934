/* The texts that the settings of a file borrow: those of its scalars, and those made from several values. */
#ifndef HUSK_CONFIG_FILE_TEXTS_H
#define HUSK_CONFIG_FILE_TEXTS_H

#include "config/yaml_tree.h"

#include <stddef.h>

/* All zeros: none. */
struct file_texts {
    struct file_text *first; /* owned */
    char **taken;            /* owned, as are the texts */
    size_t taken_count;
};

/* The texts of a sequence of scalars, separated by commas, owned by `texts`. NULL when out of memory. */
const char *file_texts_join(struct file_texts *texts, const struct yaml_node *sequence);

/* Takes the texts of all scalars, which stay where they are, from a tree that will be freed. False: out of
 * memory, and the tree has kept them. */
MUST_CHECK bool file_texts_take(struct file_texts *texts, struct yaml_tree *tree);

void file_texts_free(struct file_texts *texts);

#endif
