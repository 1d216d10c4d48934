#include "check_command.h"

#include "base/process.h"
#include "check/empty_message.h"
#include "check/report_json.h"
#include "check_explain.h"
#include "check_route.h"
#include "commands/commands.h"
#include "config/mistakes.h"
#include "config/settings.h"
#include "config/settings_help.h"
#include "plan.h"
#include "trust/identity_file.h"
#include "trust/tokens.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { OWN_ROWS_MAX = 16 };

/* The options of the command itself. */
struct words {
    bool connects, is_running, sends_nothing, prints_json;
    const char *tag, *config_file, *explain_file;
    uint64_t answer_ms;
    const char *client_cert, *client_key, *client_passphrase_env, *client_passphrase_file, *client_ca;
    struct setting_source sources[OWN_ROWS_MAX]; /* which were given; in the order of own_rows */
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
    { "explain", SETTING_TEXT, AT(explain_file), .value_name = "CERT",
      .help = "for each route, say whether an agent with the certificate in this file is admitted, which setting and "
              "which rule decide, and why" },
    { "json", SETTING_FLAG, AT(prints_json), .help = "print one JSON object instead of lines" },
    { "no-message", SETTING_FLAG, AT(sends_nothing), .help = "with --connect: send no message" },
    { "tag", SETTING_TEXT, AT(tag), .fallback = "husk.check", .value_name = "TAG",
      .help = "with --connect: tag of the message without events; the rules of the upstream must allow it" },
    { "answer-timeout", SETTING_DURATION, AT(answer_ms), .fallback = "5s", .min = 10, .max = 300000,
      .value_name = "D", .help = "with --connect: how long to wait for the ack" },
    { "client-cert", SETTING_TEXT, AT(client_cert), .value_name = "FILE",
      .help = "for a listener with TLS: the certificate of a client; check whether husk admits this client" },
    { "client-key", SETTING_TEXT, AT(client_key), .value_name = "FILE",
      .help = "the private key of --client-cert" },
    { "client-key-passphrase-env", SETTING_TEXT, AT(client_passphrase_env), .value_name = "VAR",
      .help = "environment variable with the passphrase of --client-key" },
    { "client-key-passphrase-file", SETTING_TEXT, AT(client_passphrase_file), .value_name = "FILE",
      .help = "file with the passphrase of --client-key in its first line" },
    { "client-ca", SETTING_TEXT, AT(client_ca), .value_name = "FILE",
      .help = "for a listener with TLS: the CAs with which clients verify husk, if not those of the listener" },
};
/* clang-format on */

static const struct settings_table own_table = { .rows = own_rows,
                                                 .count = sizeof own_rows / sizeof own_rows[0],
                                                 .sources = AT(sources) };
#undef AT
static_assert(sizeof own_rows / sizeof own_rows[0] <= OWN_ROWS_MAX, "words have a source for each row");

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
    const struct mistake *sorted[MISTAKES_KEPT_MAX];

    report_begin(report, "settings");
    mistakes_sorted(mistakes, sorted);
    for (size_t i = 0; i < mistakes->kept; i++) {
        const struct mistake *mistake = sorted[i];
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

static void plan_check(struct report *report, struct plan *plan, const struct words *words,
                       struct tokens *tokens)
{
    const struct check_settings settings = {
        .connects = words->connects,
        .is_running = words->is_running,
        .sends_nothing = words->sends_nothing,
        .tag = words->tag,
        .answer_ms = words->answer_ms,
        .defaults = &plan->file.defaults,
        .workload_api = plan->process.workload_api,
        .client = { .cert_file = words->client_cert,
                    .key_file = words->client_key,
                    .passphrase_env = words->client_passphrase_env,
                    .passphrase_file = words->client_passphrase_file,
                    .ca_file = words->client_ca,
                    .tokens = tokens },
    };

    check_route_process(report, &plan->process, &plan->file.routes[0], &settings);
    for (size_t i = 0; i < plan->count; i++) {
        struct options *options = &plan->routes[i].options;
        for (enum side side = 0; side < SIDE_COUNT; side++)
            options->credentials[side].tokens = tokens;
        check_route(report, options, &plan->file.routes[i], &settings);
    }
}

/* The settings for an agent with this certificate. */
static void explain_check(struct report *report, const struct plan *plan, const char *path)
{
    size_t admitting = 0;
    struct subject subject;
    struct fault fault;
    struct identity *identity = identity_file_read(path, &fault);
    const struct explained_certificate certificate = { path, identity };

    for (size_t i = 0; identity && i < plan->count; i++)
        admitting += check_explain(report, &plan->routes[i].options, &plan->file.routes[i], &certificate);
    report_begin(report, "certificate");
    subject_of_text(&subject, path);
    if (!identity)
        report_add(report, FINDING_PROBLEM, &subject, "%s", subject_fault(&fault, path));
    else if (!admitting)
        report_add(report, FINDING_PROBLEM, &subject,
                   "no route takes messages from an agent with this certificate");
    identity_free(identity);
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

static bool is_given(const struct words *words, const char *name)
{
    return words->sources[setting_find(&own_table, name, strlen(name)) - own_rows].is_given;
}

/* An option without effect is refused: the user expects an effect. The report says why no message was sent.
 */
static bool needs_check(const struct words *words, struct fault *fault)
{
    static const char *const of_connect[] = { "no-message", "tag", "answer-timeout" };

    for (size_t i = 0; !words->connects && i < sizeof of_connect / sizeof of_connect[0]; i++) {
        if (!is_given(words, of_connect[i]))
            continue;
        fault_set(fault, "--%s: has an effect only with --connect", of_connect[i]);
        return false;
    }
    return true;
}

static bool client_check(const struct words *words, struct fault *fault)
{
    bool has_passphrase = words->client_passphrase_env || words->client_passphrase_file;

    if (!words->client_cert != !words->client_key)
        fault_set(fault, "--client-cert and --client-key: the one needs the other");
    else if (has_passphrase && !words->client_key)
        fault_set(fault, "--client-key-passphrase-%s: has an effect only with --client-key",
                  words->client_passphrase_env ? "env" : "file");
    else if (words->client_passphrase_env && words->client_passphrase_file)
        fault_set(fault, "--client-key-passphrase-env: cannot be combined with --client-key-passphrase-file");
    else
        return true;
    return false;
}

/* The settings of a client need a listener with TLS. */
static bool plan_has_client_use(const struct plan *plan, const struct words *words)
{
    bool is_used = !words->client_cert && !words->client_ca;

    for (size_t i = 0; i < plan->count; i++)
        is_used =
            is_used || credentials_options_are_set(&plan->routes[i].options.credentials[SIDE_DOWNSTREAM]);
    return is_used;
}

/* Whether the words of the command itself are right. */
static bool words_check(const struct words *words, struct fault *fault)
{
    if (strlen(words->tag) > EMPTY_MESSAGE_TAG_BYTES_MAX) {
        fault_set(fault, "--tag: is longer than %d bytes", EMPTY_MESSAGE_TAG_BYTES_MAX);
        return false;
    }
    return needs_check(words, fault) && client_check(words, fault);
}

static int wrong_usage(const char *text)
{
    fprintf(stderr, "husk check: %s\n", text);
    return EXIT_STATUS_USAGE;
}

static int check_finish(struct plan *plan, const struct mistakes *mistakes, const struct words *words)
{
    struct report report = { 0 };
    struct tokens *tokens = NULL;
    int status;

    if (plan && !plan_has_client_use(plan, words)) {
        plan_release(plan);
        return wrong_usage("--client-*: there is no listener with TLS");
    }
    if (plan && (tokens = tokens_new(plan->process.token_timeout_ms)))
        plan_check(&report, plan, words, tokens);
    else if (plan)
        report.is_incomplete = true;
    else
        mistakes_report(&report, mistakes, words->config_file);
    if (plan && words->explain_file)
        explain_check(&report, plan, words->explain_file);
    status = report_finish(&report, words->prints_json);
    report_deinit(&report);
    plan_release(plan);
    if (!tokens_close(tokens))
        process_end(status);
    return status;
}

static int file_check(int argc, char **argv)
{
    int unexpected = 0;
    const struct settings_table of_file = config_settings(CONFIG_FILE);
    const struct settings_words given = {
        .count = argc, .items = argv, .positionals = &unexpected, .of_file = &of_file
    };
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

    if (words.config_file)
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
