/* husk check: says what is wrong with the settings of husk client or husk server, and with all that they
 * name, before anything starts.
 *
 * Exit status: 0: no problem, perhaps warnings; 1: a problem; 2: wrong usage. */
#ifndef HUSK_CHECK_COMMAND_H
#define HUSK_CHECK_COMMAND_H

#include <stdio.h>

int check_command(int argc, char **argv);
void check_print_help(FILE *out);

#endif
