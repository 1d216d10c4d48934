/* What a setting means, for people who write files: without the names of options. */
#ifndef HUSK_CONFIG_FILE_HELP_H
#define HUSK_CONFIG_FILE_HELP_H

#include "config/setting.h"

#include <stdbool.h>
#include <stdio.h>

/* Writes the help of a setting. The name of an option in it, `--ack-timeout`, becomes the path of the
 * setting, `delivery.ack_timeout`; the name of a part of an item, `server-name`, becomes its key. Leaves out
 * what is about options alone ("; in an option: …"). `table`: all settings of files. */
void file_help_print_meaning(const struct settings_table *table, const struct setting *setting, FILE *out);

/* Writes what the value may be, such as "duration, 10ms to 1h, or off". */
void file_help_print_value(const struct setting *setting, FILE *out);

/* Prints what files have at this path: a setting, a key of the maps in a list (rules.tags), or a map with
 * settings (tls.upstream). The path may be that of a message: routes[0].rules[1].tags. False: there is
 * nothing. */
bool file_help_print_path(const struct settings_table *table, const char *path, FILE *out);

#endif
