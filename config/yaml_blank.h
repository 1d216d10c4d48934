/* Characters that people take for a space, or do not see, and that YAML reads as letters: U+00A0, which
 * editors and web pages write, U+200B and others. Pure. */
#ifndef HUSK_CONFIG_YAML_BLANK_H
#define HUSK_CONFIG_YAML_BLANK_H

#include "config/mistakes.h"
#include "config/yaml_text.h"

#include <stdbool.h>

/* Whether a text (UTF-8) has such a character. */
bool yaml_blank_in(const char *text);

/* Adds a mistake for the first such character from `start` on, before `end`. False: there is none. */
bool yaml_blank_report(const struct yaml_text *text, struct place start, struct place end,
                       struct mistakes *mistakes);

/* The same for the lines `first` to `last`, but only where a space would belong to the syntax: in an
 * indentation, before a ":", or after a ":" or "-". */
bool yaml_blank_report_syntax(const struct yaml_text *text, unsigned first, unsigned last,
                              struct mistakes *mistakes);

#endif
