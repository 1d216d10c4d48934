/* Texts that are made from several values of a file. */
#ifndef HUSK_CONFIG_FILE_TEXTS_H
#define HUSK_CONFIG_FILE_TEXTS_H

#include "config/yaml_node.h"

/* All zeros: none. */
struct file_texts {
    struct file_text *first; /* owned */
};

/* The texts of a sequence of scalars, separated by commas, owned by `texts`. NULL when out of memory. */
const char *file_texts_join(struct file_texts *texts, const struct yaml_node *sequence);
void file_texts_free(struct file_texts *texts);

#endif
