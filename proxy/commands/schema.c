#include "commands/commands.h"

#include "config/json_schema.h"

void schema_print_help(FILE *out)
{
    fputs("husk schema\n\n"
          "Prints the JSON Schema (draft 2020-12) of configuration files. Editors complete and check a file "
          "with "
          "it.\n",
          out);
}

int schema_command(int argc, char **argv)
{
    if (argc) {
        fprintf(stderr, "husk schema: %s: unexpected argument\n", argv[0]);
        return EXIT_STATUS_USAGE;
    }
    if (json_schema_print(stdout) && fflush(stdout) == 0)
        return EXIT_STATUS_OK;
    fputs("husk schema: the schema cannot be written\n", stderr);
    return EXIT_STATUS_FAILED;
}
