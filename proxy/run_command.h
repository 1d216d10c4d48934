/* The commands that run the proxy: client and server, whose options describe one route, and run, which reads
 * a file. */
#ifndef HUSK_RUN_COMMAND_H
#define HUSK_RUN_COMMAND_H

#include <stdio.h>

/* `argv` begins after the name of the command. Return the exit status of the process. */
int client_command(int argc, char **argv);
int server_command(int argc, char **argv);
int run_command(int argc, char **argv);

void client_print_help(FILE *out);
void server_print_help(FILE *out);
void run_print_help(FILE *out);

#endif
