/* Writes a text as a value of YAML, so that YAML 1.1 and 1.2 and config/yaml_tree.h read the same text. */
#ifndef HUSK_CONFIG_YAML_QUOTE_H
#define HUSK_CONFIG_YAML_QUOTE_H

#include <stdbool.h>
#include <stdio.h>

/* `text` is UTF-8. Without quotes where no reader takes the text for something else; a text that looks like a
 * reference to the environment is escaped. */
void yaml_quote_text(const char *text, FILE *out);

#endif
