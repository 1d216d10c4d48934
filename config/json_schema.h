/* The JSON Schema (draft 2020-12) of configuration files, for editors and for checks before a roll-out.
 *
 * The schema is for YAML 1.2, as husk reads it. A text with a reference to the environment fits every setting
 * that takes one value. The schema does not know the range of a duration or size with a unit. */
#ifndef HUSK_CONFIG_JSON_SCHEMA_H
#define HUSK_CONFIG_JSON_SCHEMA_H

#include "base/fault.h"

#include <stdbool.h>
#include <stdio.h>

/* The description of a setting has lines: what the setting means, `Value: …` and `Option: …`; for a part of
 * an item only the first two. False when out of memory. */
MUST_CHECK bool json_schema_print(FILE *out);

#endif
