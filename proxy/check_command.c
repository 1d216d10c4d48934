#include "check_command.h"

#include "base/process.h"
#include "check/empty_message.h"
#include "check/report_json.h"
#include "check_route.h"
#include "commands/commands.h"
#include "config/mistakes.h"
#include "config/settings.h"
#include "config/settings_help.h"
#include "plan.h"

#include <stdio.h>
#include <string.h>

/* The options of the command itself. */
struct words {
    bool connects, is_running, sends_nothing, prints_json;
    const char *tag, *config_file;
    uint64_t answer_ms;
};

#define AT(field) offsetof(struct words, field)
/* clang-format off */
static const struct setting own_rows[] = {
    { "config", SETTING_TEXT, AT(config_file), .value_name = "FILE",
      .help = "check this file, instead of the settings of client or server" },
    { "connect", SETTING_FLAG, AT(connects),
      .help = "connect to each address of each upstream as husk does: TLS handshake, shared-key handshake, and the "
              "ack of a message without events" },
    { "running", SETTING_FLAG, AT(is_running),
      .help = "husk runs already: check that its addresses accept connections, not that they are free" },
    { "json", SETTING_FLAG, AT(prints_json), .help = "print one JSON object instead of lines" },
    { "no-message", SETTING_FLAG, AT(sends_nothing), .help = "with --connect: send no message" },
    { "tag", SETTING_TEXT, AT(tag), .fallback = "husk.check", .value_name = "TAG",
      .help = "with --connect: tag of the message without events; the rules of the upstream must allow it" },
    { "answer-timeout", SETTING_DURATION, AT(answer_ms), .fallback = "5s", .min = 10, .max = 300000,
      .value_name = "D", .help = "with --connect: how long to wait for the ack" },
};
/* clang-format on */
#undef AT

static const struct settings_table own_table = { .rows = own_rows,
                                                 .count = sizeof own_rows / sizeof own_rows[0] };

void check_print_help(FILE *out)
{
    fputs(
        "husk check --config FILE [--connect] [--json] [option]…\n"
        "husk check client|server SETTINGS [--connect] [--json] [option]…\n\n"
        "Checks a file, or the settings of husk client or husk server, and all that they name: files, keys, "
        "certificates,\naddresses, names. Reports all that is wrong, and says what to do. Starts nothing.\n"
        "Exit status: 0: no problem, perhaps warnings; 1: a problem; 2: wrong usage.\n\n"
        "SETTINGS are those of \"husk help client\" and \"husk help server\". Further options:\n\n",
        out);
    settings_print_help(&own_table, out);
}

/* ---- the check ---- */

/* A mistake begins with the setting; a mistake of the whole file, or of its form, does not. `file`: NULL:
 * there is no file. */
static void mistakes_report(struct report *report, const struct mistakes *mistakes, const char *file)
{
    report_begin(report, "settings");
    for (size_t i = 0; i < mistakes->kept; i++) {
        const struct mistake *mistake = &mistakes->items[i];
        const char *text = mistake->text, *colon = strstr(text, ": ");
        size_t length = strcspn(text, " ");
        struct subject subject;
        subject_of_text(&subject, file ? file : "settings");
        if (colon && text + length == colon + 1) { /* one word stands before the colon */
            snprintf(subject.setting, sizeof subject.setting, "%.*s", (int)(colon - text), text);
            snprintf(subject.text, sizeof subject.text, "%s", subject.setting);
            text = colon + 2;
        }
        subject.line = mistake->place.line;
        subject.column = mistake->place.column;
        report_add(report, FINDING_PROBLEM, &subject, "%s", text);
    }
    if (mistakes->kept < mistakes->count)
        report_add(report, FINDING_PROBLEM, &(struct subject) { .text = "settings" }, "%zu more mistakes",
                   mistakes->count - mistakes->kept);
    report_advise(report, "nothing else was checked");
}

static void plan_check(struct report *report, const struct plan *plan, const struct words *words)
{
    const struct check_settings settings = {
        .connects = words->connects,
        .is_running = words->is_running,
        .sends_nothing = words->sends_nothing,
        .tag = words->tag,
        .answer_ms = words->answer_ms,
    };

    check_route_process(report, &plan->process, &plan->file.routes[0], &settings);
    for (size_t i = 0; i < plan->count; i++)
        check_route(report, &plan->routes[i].options, &plan->file.routes[i], &settings);
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

/* Whether the words of the command itself are right. */
static bool words_check(const struct words *words, struct fault *fault)
{
    if (strlen(words->tag) <= EMPTY_MESSAGE_TAG_BYTES_MAX)
        return true;
    fault_set(fault, "--tag: is longer than %d bytes", EMPTY_MESSAGE_TAG_BYTES_MAX);
    return false;
}

static int check_finish(struct plan *plan, const struct mistakes *mistakes, const struct words *words)
{
    struct report report = { 0 };
    int status;

    if (plan)
        plan_check(&report, plan, words);
    else
        mistakes_report(&report, mistakes, words->config_file);
    status = report_finish(&report, words->prints_json);
    report_deinit(&report);
    plan_release(plan);
    return status;
}

static int wrong_usage(const char *text)
{
    fprintf(stderr, "husk check: %s\n", text);
    return EXIT_STATUS_USAGE;
}

static int file_check(int argc, char **argv)
{
    int unexpected = 0;
    const struct settings_words given = { .count = argc, .items = argv, .positionals = &unexpected };
    struct words words = { .tag = NULL };
    struct mistakes mistakes;
    struct fault fault;

    if (!settings_parse(&own_table, &words, &given, &fault) || !words_check(&words, &fault))
        return wrong_usage(fault.text);
    if (unexpected) {
        fault_set(&fault, "expected client or server and the settings to check, or --config FILE alone");
        return wrong_usage(fault.text);
    }
    if (!words.config_file)
        return wrong_usage("expected client or server and the settings to check, or --config FILE");
    mistakes_init(&mistakes, words.config_file);
    struct plan *plan = plan_from_file(words.config_file, 0, &mistakes);
    int status = check_finish(plan, &mistakes, &words);
    mistakes_deinit(&mistakes);
    return status;
}

static int mode_check(enum config_mode mode, int argc, char **argv)
{
    struct words words = { .tag = NULL };
    const struct settings_words given = { .count = argc, .items = argv, .also = { &own_table, &words } };
    struct mistakes mistakes;
    struct fault fault;
    struct plan *plan = plan_from_words(mode, &given, &fault);

    if (plan && words.config_file)
        fault_set(&fault, "--config: cannot be combined with the settings of client or server");
    if (!plan || words.config_file || !words_check(&words, &fault)) {
        plan_release(plan);
        return wrong_usage(fault.text);
    }
    mistakes_init(&mistakes, "husk check");
    if (!plan_interpret(plan, &mistakes)) {
        plan_release(plan);
        plan = NULL;
    }
    int status = check_finish(plan, &mistakes, &words);
    mistakes_deinit(&mistakes);
    return status;
}

int check_command(int argc, char **argv)
{
    process_prepare();
    if (argc >= 1 && strcmp(argv[0], "client") == 0)
        return mode_check(CONFIG_CLIENT, argc - 1, argv + 1);
    if (argc >= 1 && strcmp(argv[0], "server") == 0)
        return mode_check(CONFIG_SERVER, argc - 1, argv + 1);
    return file_check(argc, argv);
}
