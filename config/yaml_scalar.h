/* What a scalar means: texts that YAML does not read as text, and flags. Pure. */
#ifndef HUSK_CONFIG_YAML_SCALAR_H
#define HUSK_CONFIG_YAML_SCALAR_H

#include "config/yaml_node.h"

#include <stdbool.h>

/* What YAML 1.1 or 1.2 reads in a plain scalar that a person may have meant as text. */
enum yaml_trap {
    YAML_TRAP_NONE,
    YAML_TRAP_BOOLEAN,     /* true, false, yes, no, on, off, y, n in any case */
    YAML_TRAP_NULL,        /* nothing, ~, null */
    YAML_TRAP_OCTAL,       /* 0660, 0o660 */
    YAML_TRAP_HEX,         /* 0x10 */
    YAML_TRAP_BINARY,      /* 0b10 */
    YAML_TRAP_UNDERSCORE,  /* 1_000 */
    YAML_TRAP_SEXAGESIMAL, /* 1:30, which is 90 */
    YAML_TRAP_FLOAT,       /* 1.0, .inf, .nan */
    YAML_TRAP_EXPONENT,    /* 1e3 */
    YAML_TRAP_DATE,        /* 2024-01-31 */
};

/* The trap of a scalar. Only a plain scalar without references has one; decimal numbers are none. */
enum yaml_trap yaml_scalar_trap(const struct yaml_node *node);

/* One sentence, such as "YAML reads this as a truth value; write it in quotes if it is text". */
const char *yaml_scalar_trap_text(enum yaml_trap trap);

/* "; a space is missing after the \":\"" for a plain scalar such as `name:a` where a map was expected; else
 * an empty text. */
const char *yaml_scalar_space_hint(const struct yaml_node *node);

/* Reads true or false, with or without quotes; nothing else is a flag. The fault says what was expected. The
 * node is not invalid. */
MUST_CHECK bool yaml_scalar_flag(const struct yaml_node *node, bool *flag, struct fault *fault);

/* Writes a scalar for a message, as mistakes_quote. For a scalar with a reference it writes "the value from
 * the environment", because that may be a secret. Returns `shown`. */
const char *yaml_scalar_show(const struct yaml_node *node, char shown[MISTAKES_QUOTE_BYTES]);

#endif
