/* Prints the help of the settings of a table. */
#ifndef HUSK_CONFIG_SETTINGS_HELP_H
#define HUSK_CONFIG_SETTINGS_HELP_H

#include "config/setting.h"

#include <stdio.h>

/* Prints one paragraph for each setting of the table's user, with its default; group by group. */
void settings_print_help(const struct settings_table *table, FILE *out);

/* Prints what the table knows about one of its settings: value, range, default, group. */
void settings_print_one(const struct settings_table *table, const struct setting *setting, FILE *out);

#endif
