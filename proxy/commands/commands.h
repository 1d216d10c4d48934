/* The subcommands that do not run the proxy: one file each. A command gets the arguments after its name,
 * prints its errors to stderr as one line, and returns the exit status: 0, 1 (failed) or 2 (wrong usage). */
#ifndef HUSK_COMMANDS_COMMANDS_H
#define HUSK_COMMANDS_COMMANDS_H

#include <stdio.h>

enum { EXIT_STATUS_OK = 0, EXIT_STATUS_FAILED = 1, EXIT_STATUS_USAGE = 2 };

int pki_command(int argc, char **argv);
void pki_print_help(FILE *out);

int send_command(int argc, char **argv);
void send_print_help(FILE *out);

int schema_command(int argc, char **argv);
void schema_print_help(FILE *out);

int healthcheck_command(int argc, char **argv);
void healthcheck_print_help(FILE *out);

int quit_command(int argc, char **argv);
void quit_print_help(FILE *out);

int receive_command(int argc, char **argv);
void receive_print_help(FILE *out);

#endif
