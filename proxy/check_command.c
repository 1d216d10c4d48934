#include "check_command.h"

#include "base/process.h"
#include "check/empty_message.h"
#include "check/report_json.h"
#include "check_route.h"
#include "commands/commands.h"
#include "config/config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The settings of the mode, and those of the check. `config` is first: the rows of config_settings are
 * offsets in it. */
struct words {
    struct config config;
    bool connects, is_running, sends_nothing, prints_json;
    const char *tag;
    uint64_t answer_ms;
};

enum { ROWS_MAX = 256 };

#define AT(field) offsetof(struct words, field)
/* clang-format off */
static const struct setting own_rows[] = {
    { "connect", SETTING_FLAG, AT(connects),
      .help = "connect to each address of each upstream as husk does: TLS handshake, shared-key handshake, and the "
              "ack of a message without events" },
    { "running", SETTING_FLAG, AT(is_running),
      .help = "husk runs already: check that its addresses accept connections, not that they are free" },
    { "json", SETTING_FLAG, AT(prints_json), .help = "print one JSON object instead of lines" },
    { "no-message", SETTING_FLAG, AT(sends_nothing), .help = "with --connect: send no message" },
    { "tag", SETTING_TEXT, AT(tag), .fallback = "husk.check", .value_name = "TAG",
      .help = "with --connect: tag of the message without events, which rules and routes of the upstream may need" },
    { "answer-timeout", SETTING_DURATION, AT(answer_ms), .fallback = "5s", .min = 10, .max = 300000,
      .value_name = "D", .help = "with --connect: how long to wait for the ack" },
};
/* clang-format on */
#undef AT

enum { OWN_ROWS = sizeof own_rows / sizeof own_rows[0] };

static const struct settings_table own_table = { .rows = own_rows, .count = OWN_ROWS };

void check_print_help(FILE *out)
{
    fputs("husk check client|server SETTINGS [--connect] [--json] [option]…\n\n"
          "Checks the settings of husk client or husk server, and all that they name: files, keys, "
          "certificates,\naddresses, names. Says all that is wrong, and what to do. Starts nothing.\n"
          "Exit status: 0: no problem, perhaps warnings; 1: a problem; 2: wrong usage.\n\n"
          "SETTINGS are those of \"husk help client\" and \"husk help server\". Further options:\n\n",
          out);
    settings_print_help(&own_table, out);
}

/* ---- the words ---- */

static bool words_parse(struct words *words, enum config_mode mode, const struct settings_words *given,
                        struct fault *fault)
{
    const struct settings_table config = config_settings(mode);
    struct setting rows[ROWS_MAX];

    assert(config.count + OWN_ROWS <= ROWS_MAX);
    memcpy(rows, config.rows, config.count * sizeof *rows);
    memcpy(rows + config.count, own_rows, sizeof own_rows);
    const struct settings_table all = { .rows = rows, .count = config.count + OWN_ROWS };
    if (!settings_parse(&all, words, given, fault))
        return false;
    if (strlen(words->tag) <= EMPTY_MESSAGE_TAG_BYTES_MAX)
        return true;
    fault_set(fault, "--tag: is longer than %d bytes", EMPTY_MESSAGE_TAG_BYTES_MAX);
    return false;
}

static void words_free(struct words *words, enum config_mode mode)
{
    const struct settings_table config = config_settings(mode);

    settings_free(&config, &words->config);
}

/* ---- the check ---- */

/* A fault of the settings begins with the setting. */
static void settings_report(struct report *report, struct fault *fault)
{
    char *colon = strncmp(fault->text, "--", 2) == 0 ? strstr(fault->text, ": ") : NULL;

    report_begin(report, "settings");
    if (colon)
        *colon = '\0';
    report_add(report, FINDING_PROBLEM, colon ? fault->text : "settings", "%s",
               colon ? colon + 2 : fault->text);
    report_advise(report, "nothing else was checked");
}

static void words_check(struct report *report, enum config_mode mode, const struct words *words)
{
    const struct check_settings settings = {
        .connects = words->connects,
        .is_running = words->is_running,
        .sends_nothing = words->sends_nothing,
        .tag = words->tag,
        .answer_ms = words->answer_ms,
    };
    struct process_options process;
    struct options options = { .discovery = { .targets = NULL } };
    struct fault fault;

    if (!process_options_from_config(&process, &words->config, &fault) ||
        !options_from_config(&options, mode, &words->config, process.workers, &fault)) {
        settings_report(report, &fault);
    } else {
        check_route_process(report, &process, &settings);
        check_route(report, &options, &settings);
    }
    options_deinit(&options);
}

static int report_finish(const struct report *report, bool prints_json)
{
    bool is_good = !report->is_incomplete && report_count(report, FINDING_PROBLEM) == 0;

    if (!prints_json)
        report_print(report, stdout);
    else if (!report_json_print(report, stdout))
        is_good = false;
    return fflush(stdout) == 0 && is_good ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
}

static int mode_check(enum config_mode mode, int argc, char **argv)
{
    const struct settings_words given = { .count = argc, .items = argv };
    struct words words = { .tag = NULL };
    struct report report = { 0 };
    struct fault fault;
    int status = EXIT_STATUS_USAGE;

    process_prepare();
    if (words_parse(&words, mode, &given, &fault)) {
        words_check(&report, mode, &words);
        status = report_finish(&report, words.prints_json);
    } else {
        fprintf(stderr, "husk check: %s\n", fault.text);
    }
    words_free(&words, mode);
    report_deinit(&report);
    return status;
}

int check_command(int argc, char **argv)
{
    if (argc >= 1 && strcmp(argv[0], "client") == 0)
        return mode_check(CONFIG_CLIENT, argc - 1, argv + 1);
    if (argc >= 1 && strcmp(argv[0], "server") == 0)
        return mode_check(CONFIG_SERVER, argc - 1, argv + 1);
    if (argc < 1)
        fputs("husk check: expected client or server, and the settings to check\n", stderr);
    else
        fprintf(stderr, "husk check: \"%s\" is neither client nor server\n", argv[0]);
    return EXIT_STATUS_USAGE;
}
