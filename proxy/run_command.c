#include "run_command.h"

#include "base/process.h"
#include "commands/commands.h"
#include "config/settings_help.h"
#include "daemon.h"
#include "plan.h"

/* Runs the plan if there is one; else tells the mistakes. */
static int plan_run(struct plan *plan, struct mistakes *mistakes)
{
    int status = EXIT_STATUS_USAGE;

    if (plan)
        status = daemon_run(plan, HUSK_VERSION);
    mistakes_print(mistakes, stderr);
    mistakes_deinit(mistakes);
    plan_release(plan);
    return status;
}

/* ---- client and server ---- */

static int mode_command(enum config_mode mode, int argc, char **argv)
{
    const struct settings_words words = { .count = argc, .items = argv };
    struct mistakes mistakes;

    process_prepare();
    mistakes_init(&mistakes, mode == CONFIG_CLIENT ? "husk client" : "husk server");
    return plan_run(plan_from_options(mode, &words, &mistakes), &mistakes);
}

int client_command(int argc, char **argv)
{
    return mode_command(CONFIG_CLIENT, argc, argv);
}

int server_command(int argc, char **argv)
{
    return mode_command(CONFIG_SERVER, argc, argv);
}

static void settings_help(enum config_mode mode, FILE *out)
{
    const struct settings_table table = config_settings(mode);

    fputs("\n", out);
    settings_print_help(&table, out);
}

void client_print_help(FILE *out)
{
    fputs("husk client --listen ADDR --upstream ADDR --cert FILE --key FILE --ca FILE [options]\n\n"
          "Accepts plaintext Forward on this machine and carries its messages over mutual TLS to the "
          "upstream.\n",
          out);
    settings_help(CONFIG_CLIENT, out);
}

void server_print_help(FILE *out)
{
    fputs(
        "husk server --listen ADDR --upstream ADDR --cert FILE --key FILE --ca FILE\n"
        "            (--allow-cn|--allow-dns|--allow-uri|--allow-ou|--allow-spki VALUE)... | --allow-any "
        "[options]\n\n"
        "Accepts mutual TLS, decides who may connect and what they may write, and carries plaintext Forward "
        "to the upstream.\n",
        out);
    settings_help(CONFIG_SERVER, out);
}

/* ---- run ---- */

struct run_words {
    const char *config_file;
};

static const struct setting run_rows[] = {
    { "config", SETTING_TEXT, offsetof(struct run_words, config_file), .required_by = SETTING_REQUIRED,
      .value_name = "FILE", .help = "YAML file with the routes (docs/configuration.md)" },
};

static const struct settings_table run_table = { .rows = run_rows,
                                                 .count = sizeof run_rows / sizeof run_rows[0] };

void run_print_help(FILE *out)
{
    fputs("husk run --config FILE\n\n"
          "Runs the routes of a file. A route accepts connections and carries their messages to its "
          "upstreams, with\nTLS on either side, on both or on none. \"husk check --config FILE\" checks the "
          "file.\n\n",
          out);
    settings_print_help(&run_table, out);
}

int run_command(int argc, char **argv)
{
    const struct settings_table of_file = config_settings(CONFIG_FILE);
    const struct settings_words words = { .count = argc, .items = argv, .of_file = &of_file };
    struct run_words run = { NULL };
    struct mistakes mistakes;
    struct fault fault;
    struct plan *plan = NULL;

    process_prepare();
    if (settings_parse(&run_table, &run, &words, &fault)) {
        mistakes_init(&mistakes, run.config_file);
        plan = plan_from_file(run.config_file, 0, &mistakes);
    } else {
        mistakes_init(&mistakes, "husk run");
        mistakes_add(&mistakes, (struct place) { 0 }, "%s", fault.text);
    }
    return plan_run(plan, &mistakes);
}
