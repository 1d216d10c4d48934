/* What a setting means, for people who write files: without the names of options. */
#ifndef HUSK_CONFIG_FILE_HELP_H
#define HUSK_CONFIG_FILE_HELP_H

#include "config/setting.h"

#include <stdio.h>

/* Writes the help of a setting. The name of an option in it, `--ack-timeout`, becomes the path of the
 * setting, `delivery.ack_timeout`; the name of a part of an item, `server-name`, becomes its key. Leaves out
 * what is about options alone ("; in an option: …"). `table`: all settings of files. */
void file_help_print_meaning(const struct settings_table *table, const struct setting *setting, FILE *out);

/* Writes what the value may be, such as "duration, 10ms to 1h, or off". */
void file_help_print_value(const struct setting *setting, FILE *out);

#endif
