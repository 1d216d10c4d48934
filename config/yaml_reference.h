/* References to the environment in a value: `${NAME}` and `${NAME:-default}`.
 *
 * NAME is [A-Za-z_][A-Za-z0-9_]*. The default, which ends at the first `}`, is used if the variable is unset
 * or empty. The value of a variable is text: it is not read as YAML, and a reference in it is not replaced.
 * Directly before a `{`, two dollars write one: `$${NAME}` is the text `${NAME}`. Any other dollar is itself.
 */
#ifndef HUSK_CONFIG_YAML_REFERENCE_H
#define HUSK_CONFIG_YAML_REFERENCE_H

#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>

enum { YAML_REFERENCE_BYTES_MAX = 1 << 16 }; /* of a value after its references are replaced */

/* Returns the value of a variable of the environment, borrowed until the next change of the environment;
 * NULL: unset. */
typedef const char *yaml_look_up(const char *name);

/* True if the text has something to replace: `${` or `$${`. */
bool yaml_reference_in(const char *text);

/* Replaces the references in `text`. *result, owned by the caller, is NULL after a failure. *found is set to
 * true if a reference was replaced, also if by its default. The fault names the reference, not a value. */
MUST_CHECK bool yaml_reference_replace(const char *text, yaml_look_up *look_up, char **result, bool *found,
                                       struct fault *fault);

#endif
