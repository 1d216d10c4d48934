/* husk healthcheck: asks the admin endpoint of a running husk, for probes that run a command. */
#include "commands/commands.h"

#include "commands/admin_call.h"
#include "config/setting_value.h"
#include "config/settings.h"
#include "config/settings_help.h"

enum probe { PROBE_READY, PROBE_LIVE, PROBE_STARTUP };
static const char *const probes[] = { "ready", "live", "startup", NULL };
static const char *const requests[] = { "GET /ready", "GET /live", "GET /startup" };

struct healthcheck_options {
    const char *admin;
    uint64_t timeout_ms;
    unsigned probe; /* enum probe */
};

#define AT(field) offsetof(struct healthcheck_options, field)
static const struct setting settings[] = {
    { "probe", SETTING_CHOICE, AT(probe), .fallback = "ready", .choices = probes, .value_name = "PROBE",
      .help = "what is asked: it can deliver (ready), its process answers (live), or it listens with all its "
              "credentials (startup)" },
    ADMIN_CALL_ROWS(healthcheck_options),
};
#undef AT
static const struct settings_table table = { .rows = settings,
                                             .count = sizeof settings / sizeof settings[0] };

int healthcheck_command(int argc, char **argv)
{
    struct healthcheck_options options = { 0 };
    struct admin_answer answer;
    struct fault fault;

    const struct settings_words words = { .count = argc, .items = argv };
    if (!settings_parse(&table, &options, &words, &fault)) {
        fprintf(stderr, "husk healthcheck: %s\n", fault.text);
        return EXIT_STATUS_USAGE;
    }
    if (!admin_call(options.admin, requests[options.probe], options.timeout_ms, &answer, &fault)) {
        fprintf(stderr, "husk healthcheck: %s\n", fault.text);
        return EXIT_STATUS_FAILED;
    }
    fputs(answer.body, stdout);
    return answer.status == 200 ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
}

void healthcheck_print_help(FILE *out)
{
    fputs("husk healthcheck: asks a running husk whether it is ready, and prints the answer. Exit status 0: "
          "yes; 1: no, or no answer\n\n",
          out);
    settings_print_help(&table, out);
}
