/* The value of a setting that is no list, from a node of a file. */
#ifndef HUSK_CONFIG_FILE_SCALAR_H
#define HUSK_CONFIG_FILE_SCALAR_H

#include "base/fault.h"
#include "config/setting.h"
#include "config/yaml_node.h"

#include <stdbool.h>

/* Sets the field of `target`, which borrows the text of the node. The fault names no setting, and tells what
 * YAML reads in a value that is not what the setting expects. It does not show a value from the environment.
 */
MUST_CHECK bool file_scalar_set(const struct setting *setting, void *target, const struct yaml_node *node,
                                struct fault *fault);
/* Whether a node is a text for the setting: not empty, and no plain text that looks like a truth value or
 * like null: such a text is a mistake more often than a name. */
MUST_CHECK bool file_text_is_good(const struct setting *setting, const struct yaml_node *node,
                                  struct fault *fault);
/* What a message calls the text of a node that must not be shown; NULL: the text can be shown. */
const char *file_text_shown(const struct yaml_node *node);

#endif
