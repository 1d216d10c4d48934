/* The table of subcommands. */
#include "check_command.h"
#include "commands/commands.h"
#include "config/config.h"
#include "config/file_help.h"
#include "config/nearest.h"
#include "config/settings_help.h"
#include "config_command.h"
#include "run_command.h"
#include "wire/tls_library.h"

#include <ares.h>
#include <ev.h>
#include <http_parser.h>
#include <stdio.h>
#include <string.h>

struct command {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv);
    void (*print_help)(FILE *out);
};

/* ---- version and help ---- */

static int version_command(int argc, char **argv)
{
    (void)argv;
    if (argc) {
        fputs("husk version: takes no arguments\n", stderr);
        return EXIT_STATUS_USAGE;
    }
    printf("husk " HUSK_VERSION "\n"
           "tls: %s, post-quantum key exchange (X25519MLKEM768): %s\n"
           "libraries: libev %d.%d, c-ares %s, http-parser %d.%d.%d\n"
           "built: %s, " HUSK_BUILD_FLAGS "\n",
           tls_library_name(), tls_library_is_post_quantum() ? "yes" : "no", ev_version_major(),
           ev_version_minor(), ares_version(NULL), HTTP_PARSER_VERSION_MAJOR, HTTP_PARSER_VERSION_MINOR,
           HTTP_PARSER_VERSION_PATCH,
#ifdef __clang__
           "clang " __clang_version__
#else
           "gcc " __VERSION__
#endif
    );
    return EXIT_STATUS_OK;
}

static void version_print_help(FILE *out)
{
    fputs("husk version\n\nPrints the version of husk, of its TLS library, and how it was built.\n", out);
}

static int help_command(int argc, char **argv);

static void help_print_help(FILE *out)
{
    fputs(
        "husk help [COMMAND|SETTING]\n\n"
        "Lists the commands, or prints the help of one command, of one setting of client and server, or of a "
        "key of\nconfiguration files, such as rules.tags or tls.upstream.\n",
        out);
}

static const struct command commands[] = {
    { "client", "accept plaintext Forward, carry its messages over mutual TLS", client_command,
      client_print_help },
    { "server", "accept mutual TLS, carry plaintext Forward to the aggregator", server_command,
      server_print_help },
    { "run", "run the routes of a file", run_command, run_print_help },
    { "check", "check settings, files, addresses and connections before anything starts", check_command,
      check_print_help },
    { "config", "print the configuration that would run", config_command, config_print_help },
    { "schema", "print the JSON Schema of configuration files", schema_command, schema_print_help },
    { "pki", "make and keep certificates, keys and revocation lists", pki_command, pki_print_help },
    { "healthcheck", "ask a running husk whether it is ready", healthcheck_command, healthcheck_print_help },
    { "quit", "let a running husk finish and end", quit_command, quit_print_help },
    { "send", "send events as an agent does", send_command, send_print_help },
    { "receive", "receive and print events as an aggregator does", receive_command, receive_print_help },
    { "version", "print versions and build facts", version_command, version_print_help },
    { "help", "list the commands, or print the help of one", help_command, help_print_help },
};

enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static const struct command *command_find(const char *name)
{
    for (unsigned i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static void commands_print(FILE *out)
{
    fputs("husk carries Fluent Forward traffic over mutual TLS.\n\n", out);
    for (unsigned i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  husk %-12s %s\n", commands[i].name, commands[i].summary);
    fputs("\n\"husk help COMMAND\" prints the help of a command, \"husk help SETTING\" that of a setting.\n",
          out);
}

/* False: neither mode has a setting of this name. */
static bool setting_print_help(const char *name, FILE *out)
{
    static const char *const users[] = { [CONFIG_CLIENT] = "husk client", [CONFIG_SERVER] = "husk server" };
    const struct setting *found = NULL;

    name += strncmp(name, "--", 2) == 0 ? 2 : 0;

    for (enum config_mode mode = CONFIG_CLIENT; mode <= CONFIG_SERVER; mode++) {
        const struct settings_table table = config_settings(mode);
        const struct setting *setting = setting_find(&table, name, strlen(name));
        setting = setting ? setting : setting_find_path(&table, name);
        if (setting && !found)
            settings_print_one(&table, setting, out);
        if (setting)
            fprintf(out, "%s%s", found ? ", " : "Used by:  ", users[mode]);
        found = setting ? setting : found;
    }
    if (found)
        fputc('\n', out);
    return found;
}

/* A name that the user may have meant: the key of a file with this last part, or a name that is near; NULL.
 */
static const char *name_guess(const char *name)
{
    const struct settings_table table = config_settings(CONFIG_FILE);
    struct nearest nearest = nearest_begin(name, strlen(name));

    for (unsigned i = 0; i < COMMAND_COUNT; i++)
        nearest_add(&nearest, commands[i].name);
    for (size_t i = 0; i < table.count; i++) {
        const struct setting *setting = &table.rows[i];
        const char *dot = setting->path ? strrchr(setting->path, '.') : NULL;
        if (dot && strcmp(dot + 1, name) == 0)
            return setting->path;
        if (setting->path)
            nearest_add(&nearest, setting->path);
        if (setting->name)
            nearest_add(&nearest, setting->name);
    }
    return nearest.best;
}

static void help_fail(const char *name)
{
    const char *guess = name_guess(name);

    fprintf(stderr, "husk help: %s: no command or setting has this name%s%s%s\n", name,
            guess ? "; did you mean " : "", guess ? guess : "", guess ? "?" : "");
}

static int help_command(int argc, char **argv)
{
    const struct settings_table of_file = config_settings(CONFIG_FILE);

    if (argc == 0) {
        commands_print(stdout);
        return EXIT_STATUS_OK;
    }
    const struct command *command = argc == 1 ? command_find(argv[0]) : NULL;
    if (command) {
        command->print_help(stdout);
        return EXIT_STATUS_OK;
    }
    if (argc == 1 && (setting_print_help(argv[0], stdout) || file_help_print_path(&of_file, argv[0], stdout)))
        return EXIT_STATUS_OK;
    if (argc == 1)
        help_fail(argv[0]);
    else
        fputs("husk help: takes one argument\n", stderr);
    return EXIT_STATUS_USAGE;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        commands_print(stderr);
        return EXIT_STATUS_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    if (strcmp(name, "--version") == 0)
        name = "version";
    const struct command *command = command_find(name);
    if (!command) {
        fprintf(stderr, "husk: %s: unknown command; \"husk help\" lists them\n", name);
        return EXIT_STATUS_USAGE;
    }
    if (argc == 3 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0)) {
        command->print_help(stdout);
        return EXIT_STATUS_OK;
    }
    return command->run(argc - 2, argv + 2);
}
