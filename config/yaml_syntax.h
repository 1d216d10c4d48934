/* Says in plain words what is wrong with the syntax of a YAML text. libyaml stops at the first error, and
 * gives its place and a text. This unit also reads the lines around the error. Pure. */
#ifndef HUSK_CONFIG_YAML_SYNTAX_H
#define HUSK_CONFIG_YAML_SYNTAX_H

#include "config/mistakes.h"
#include "config/yaml_text.h"

/* A place with line 0 is unknown. */
struct yaml_syntax_error {
    struct yaml_text text;                 /* the whole text, checked by yaml_text_check */
    const char *problem, *context;         /* of libyaml; context may be NULL */
    struct place at, context_at;           /* of the problem; of what it is a part of */
    struct place scalar_start, scalar_end; /* of the last scalar before the error */
};

/* Adds exactly one mistake. */
void yaml_syntax_explain(const struct yaml_syntax_error *error, struct mistakes *mistakes);

#endif
