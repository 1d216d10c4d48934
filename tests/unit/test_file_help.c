/* config/file_help.c: help in the words of a file. */
#include "config/file_help.h"

#include "config/config.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static const struct setting part_rows[] = {
    { .name = "server-name", .path = "server_name", .help = "a part" },
    { .name = "mode", .path = "mode", .help = "a part" },
};
static const struct setting_parts parts = { .table = { .rows = part_rows, .count = 2 }, .positionals = 1 };

static void expect_meaning(const struct setting *setting, const char *expected)
{
    const struct settings_table table = config_settings(CONFIG_FILE);
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    assert_non_null(out);
    file_help_print_meaning(&table, setting, out);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, expected);
    free(text);
}

static void options_become_paths(void **state)
{
    (void)state;
    expect_meaning(&(struct setting) { .help = "as --ack-timeout; see --no-such, --mode (--listen)" },
                   "as delivery.ack_timeout; see --no-such, --mode (listen)");
}

static void parts_become_keys(void **state)
{
    (void)state;
    expect_meaning(&(struct setting) { .help = "x; server-name: as --max-age; mode 1", .parts = &parts },
                   "x; server_name: as delivery.max_age; mode 1");
    expect_meaning(&(struct setting) { .help = "a server-name" }, "a server-name");
}

static void what_is_for_options_is_left_out(void **state)
{
    (void)state;
    expect_meaning(&(struct setting) { .help = "the first; in an option: server-name=", .parts = &parts },
                   "the first");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_become_paths),
        cmocka_unit_test(parts_become_keys),
        cmocka_unit_test(what_is_for_options_is_left_out),
    };

    return cmocka_run_group_tests_name("file_help", tests, NULL, NULL);
}
