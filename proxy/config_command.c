#include "config_command.h"

#include "commands/commands.h"
#include "config/config.h"
#include "config/config_print.h"
#include "config/setting_value.h"
#include "config/settings_help.h"
#include "plan.h"

#include <stdlib.h>
#include <string.h>

struct config_command_settings {
    bool effective;
    const char *file;
};

static const struct setting config_table[] = {
    { .name = "effective",
      .type = SETTING_FLAG,
      .offset = offsetof(struct config_command_settings, effective),
      .required_by = SETTING_REQUIRED,
      .help = "print every setting with its value; the comment \"default\" marks those that were not given" },
    { .name = "config",
      .type = SETTING_TEXT,
      .offset = offsetof(struct config_command_settings, file),
      .value_name = "FILE",
      .help = "configuration file" },
};

static const struct settings_table config_settings_table = {
    .rows = config_table, .count = sizeof config_table / sizeof config_table[0]
};

void config_print_help(FILE *out)
{
    fputs(
        "husk config --effective --config FILE\n"
        "husk config --effective client|server OPTIONS\n\n"
        "Prints the configuration of a file, or of the options of husk client or husk server, as a "
        "configuration\n"
        "file with every setting. References to the environment are replaced by their values.\n"
        "Exit status: 0: printed; 1: printed, but husk run refuses it, and stderr says why; 2: wrong usage, "
        "or a file\n"
        "that is not understood.\n\n",
        out);
    settings_print_help(&config_settings_table, out);
}

static const char *look_up(const char *name)
{
    return getenv(name);
}

static bool print(const struct config *configs, size_t count)
{
    struct fault fault;

    if (!config_print(configs, count, stdout, &fault))
        fprintf(stderr, "husk config: %s\n", fault.text);
    else if (fflush(stdout) != 0)
        perror("husk config: stdout");
    else
        return true;
    return false;
}

/* `plan`: what was printed, interpreted; NULL: it cannot run. */
static int verdict(struct plan *plan)
{
    int status = plan ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;

    plan_release(plan);
    return status;
}

static int file_print(const char *path)
{
    struct config_file file;
    struct mistakes mistakes;
    int status = EXIT_STATUS_USAGE;

    mistakes_init(&mistakes, path);
    if (config_file_read(&file, path, look_up, &mistakes))
        status =
            print(file.routes, file.count) ? verdict(plan_from_file(path, 0, &mistakes)) : EXIT_STATUS_FAILED;
    mistakes_print(&mistakes, stderr);
    mistakes_deinit(&mistakes);
    config_file_free(&file);
    return status;
}

static int options_print(enum config_mode mode, int argc, char **argv)
{
    struct config config = { .mode = mode };
    struct fault fault;
    struct mistakes mistakes;
    const struct settings_table table = config_settings(mode);
    const struct settings_words words = { .count = argc, .items = argv };
    int status = EXIT_STATUS_USAGE;

    mistakes_init(&mistakes, "husk config");
    if (!settings_parse(&table, &config, &words, &fault))
        mistakes_add(&mistakes, (struct place) { 0 }, "%s", fault.text);
    else
        status = print(&config, 1) ? verdict(plan_from_options(mode, &words, &mistakes)) : EXIT_STATUS_FAILED;
    mistakes_print(&mistakes, stderr);
    mistakes_deinit(&mistakes);
    settings_free(&table, &config);
    return status;
}

/* The place of the word client or server, behind which the options of that command stand; argc: there is
 * none. */
static int mode_find(int argc, char **argv)
{
    int at = 0;

    while (at < argc && strcmp(argv[at], "client") != 0 && strcmp(argv[at], "server") != 0)
        at += strcmp(argv[at], "--config") == 0 && at + 1 < argc ? 2 : 1;
    return at;
}

int config_command(int argc, char **argv)
{
    struct config_command_settings settings = { .file = NULL };
    struct fault fault;
    int own = mode_find(argc, argv);
    const struct settings_table of_file = config_settings(CONFIG_FILE);
    const struct settings_words words = { .count = own, .items = argv, .of_file = &of_file };

    if (!settings_parse(&config_settings_table, &settings, &words, &fault))
        ;
    else if (!settings.file == (own == argc))
        fault_set(&fault, "give either --config, or client or server with options");
    else if (settings.file)
        return file_print(settings.file);
    else
        return options_print(strcmp(argv[own], "client") == 0 ? CONFIG_CLIENT : CONFIG_SERVER, argc - own - 1,
                             argv + own + 1);
    fprintf(stderr, "husk config: %s\n", fault.text);
    return EXIT_STATUS_USAGE;
}
