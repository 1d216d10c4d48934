/* husk config: prints the configuration that would run.
 *
 * Exit status: 0: printed; 1: printed, but husk run refuses it, or stdout cannot be written; 2: wrong usage,
 * or a file that is not understood. */
#ifndef HUSK_CONFIG_COMMAND_H
#define HUSK_CONFIG_COMMAND_H

#include <stdio.h>

int config_command(int argc, char **argv);
void config_print_help(FILE *out);

#endif
