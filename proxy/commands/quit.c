/* husk quit: lets a running husk drain and end, as SIGTERM does. */
#include "commands/commands.h"

#include "commands/admin_call.h"
#include "config/setting_value.h"
#include "config/settings.h"
#include "config/settings_help.h"

struct quit_options {
    const char *admin;
    uint64_t timeout_ms;
};

static const struct setting settings[] = {
    ADMIN_CALL_ROWS(quit_options),
};
static const struct settings_table table = { .rows = settings,
                                             .count = sizeof settings / sizeof settings[0] };

int quit_command(int argc, char **argv)
{
    struct quit_options options = { 0 };
    struct admin_answer answer;
    struct fault fault;

    const struct settings_words words = { .count = argc, .items = argv };
    if (!settings_parse(&table, &options, &words, &fault)) {
        fprintf(stderr, "husk quit: %s\n", fault.text);
        return EXIT_STATUS_USAGE;
    }
    if (!admin_call(options.admin, "POST /quit", options.timeout_ms, &answer, &fault)) {
        fprintf(stderr, "husk quit: %s\n", fault.text);
        return EXIT_STATUS_FAILED;
    }
    if (answer.status == 200) {
        fputs(answer.body, stdout);
        return EXIT_STATUS_OK;
    }
    fprintf(stderr, "husk quit: %s refuses: %s", options.admin, answer.body);
    return EXIT_STATUS_FAILED;
}

void quit_print_help(FILE *out)
{
    fputs("husk quit: lets a running husk, which has --admin-quit, finish its messages and end, as SIGTERM "
          "does\n\n",
          out);
    settings_print_help(&table, out);
}
