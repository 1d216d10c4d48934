/* Writes configurations as a file that means the same: every setting with its value. */
#ifndef HUSK_CONFIG_CONFIG_PRINT_H
#define HUSK_CONFIG_CONFIG_PRINT_H

#include "base/fault.h"
#include "config/config.h"

#include <stdio.h>

/* Writes a route for each of the `count` > 0 configs; the settings of the process are those of the first. A
 * setting that was not given has the comment "default" behind its value; without a value, the whole setting
 * is a comment.
 * A route without a name gets the name of its mode, client or server. References to the environment have been
 * replaced: their values are written.
 *
 * A route takes more than 3 KiB, so that husk cannot read what is printed for more than about 300 routes
 * (YAML_TEXT_BYTES_MAX).
 *
 * Fails if a text is not UTF-8, which no file can contain. Write failures show in ferror(out). */
MUST_CHECK bool config_print(const struct config *configs, size_t count, FILE *out, struct fault *fault);

#endif
