/* config/schema.c, schema_parts.c: the names of settings are unambiguous, and a file can give each setting.
 *
 * The tests run over the tables: a new row needs no new test. */
#include "config/config_file.h"
#include "config/schema_parts.h"
#include "config/setting_scalar.h"
#include "config/setting_value.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static const struct setting_parts *const all_parts[] = { &config_listen_parts, &config_upstream_parts,
                                                         &config_rule_parts, &config_user_parts,
                                                         &config_identity_parts };

enum { PARTS_TABLES = sizeof all_parts / sizeof all_parts[0] };

static const char *look_up(const char *name)
{
    (void)name;
    return NULL;
}

/* ---- names ----------------------------------------------------------------------------------------------
 */

static void check_letters(const char *name, const char *others)
{
    assert_non_null(name);
    for (const char *at = name; *at; at++)
        assert_true((*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9') || strchr(others, *at));
}

static void check_row(const struct setting *row)
{
    check_letters(row->name, "-");
    check_letters(row->path, "_.");
    assert_true(*row->name && *row->path && row->help && *row->help);
    assert_true(row->type != SETTING_CHOICE || (row->choices && row->choices[0] && row->choices[1]));
    assert_true(row->type == SETTING_FLAG || row->type == SETTING_CHOICE || row->type == SETTING_LIST ||
                row->value_name);
    assert_true(!row->max || row->min <= row->max);
}

/* Whether one of the paths leads through the other. */
static bool clashes(const char *a, const char *b)
{
    size_t length = strlen(a);

    return strncmp(a, b, length) == 0 && (!b[length] || b[length] == '.');
}

/* Two rows that a user can give have different names (on a command line) or paths (in a file). */
static void check_table(const struct settings_table *table, bool is_file)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct setting *row = &table->rows[i];
        check_row(row);
        for (size_t k = 0; k < table->count; k++) {
            const struct setting *other = &table->rows[k];
            if (k == i || !setting_is_in(table, row) || !setting_is_in(table, other))
                continue;
            if (is_file ? clashes(row->path, other->path) : strcmp(row->name, other->name) == 0)
                fail_msg("%s and %s have the same name", row->path, other->path);
        }
    }
}

static void names_and_paths_are_unambiguous(void **state)
{
    static const enum config_mode modes[] = { CONFIG_CLIENT, CONFIG_SERVER, CONFIG_FILE };

    (void)state;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        const struct settings_table table = config_settings(modes[i]);
        check_table(&table, modes[i] == CONFIG_FILE);
    }
    for (size_t i = 0; i < PARTS_TABLES; i++) {
        check_table(&all_parts[i]->table, true);
        check_table(&all_parts[i]->table, false);
        assert_in_range(all_parts[i]->table.count, 1, CONFIG_PARTS_MAX);
    }
}

/* A user who moves from options to a file finds every setting, and the other way round. */
static void files_and_options_have_the_same_settings(void **state)
{
    const struct settings_table file = config_settings(CONFIG_FILE), client = config_settings(CONFIG_CLIENT),
                                server = config_settings(CONFIG_SERVER);

    (void)state;
    for (size_t i = 0; i < file.count; i++) {
        assert_true(setting_is_in(&file, &file.rows[i]));
        bool is_group = file.rows[i].parts == &config_match_parts; /* options have none */
        assert_int_equal(setting_is_in(&client, &file.rows[i]) || setting_is_in(&server, &file.rows[i]),
                         !is_group);
    }
}

static void two_rows_share_a_field_only_if_their_kinds_differ(void **state)
{
    const struct settings_table table = config_settings(CONFIG_FILE);

    (void)state;
    for (size_t i = 0; i < table.count; i++)
        assert_ptr_equal(setting_at(&table, table.rows[i].offset, table.rows[i].kind), &table.rows[i]);
}

/* ---- each setting in a file -----------------------------------------------------------------------------
 */

enum value { VALUE_DEFAULT, VALUE_OTHER };

static void print_value(const struct setting *row, FILE *out);

static void print_quantity(const struct setting *row, FILE *out)
{
    char low[32], high[32];

    setting_quantity_format(row->type, row->min, low, sizeof low);
    setting_quantity_format(row->type, row->max, high, sizeof high);
    fputs(row->fallback && strcmp(row->fallback, low) == 0 ? high : low, out);
}

/* An item with all parts. A part that has parts itself gets the first of them. */
static void print_parts(const struct settings_table *table, FILE *out)
{
    for (size_t i = 0; i < table->count; i++) {
        fprintf(out, "%s%s: ", i ? ", " : "{", table->rows[i].path);
        if (table->rows[i].parts)
            fprintf(out, "{%s: text}", table->rows[i].parts->table.rows[0].path);
        else
            print_value(&table->rows[i], out);
    }
    fputs("}", out);
}

/* A value that is not the default. */
static void print_value(const struct setting *row, FILE *out)
{
    if (setting_is_quantity(row))
        print_quantity(row, out);
    else if (row->type == SETTING_CHOICE)
        fputs(row->choices[!row->fallback || strcmp(row->fallback, row->choices[0]) == 0], out);
    else if (!setting_takes_value(row))
        fputs("true", out);
    else if (row->parts)
        print_parts(&row->parts->table, out);
    else
        fputs(row->is_good ? "10.0.0.1" : "text", out); /* a checked text of files is a name server */
}

/* `path: value`, as maps inside each other. */
static void print_setting(const struct setting *row, enum value value, FILE *out)
{
    unsigned braces = 0;

    for (const char *at = row->path; *at; at++) {
        if (*at == '.')
            fputs(": {", out);
        else
            fputc(*at, out);
        braces += *at == '.';
    }
    fputs(": ", out);
    if (value == VALUE_DEFAULT)
        fprintf(out, "\"%s\"", row->fallback);
    else
        print_value(row, out);
    while (braces--)
        fputc('}', out);
    fputc('\n', out);
}

/* A file with one setting, and with those that are required. */
static struct config_file read_setting(const struct setting *row, enum value value)
{
    const struct settings_table table = config_settings(CONFIG_FILE);
    struct config_file file;
    struct mistakes mistakes;
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    assert_non_null(out);
    if (row->is_for_process)
        print_setting(row, value, out);
    fputs("routes:\n-\n", out);
    for (size_t i = 0; i < table.count; i++) {
        const struct setting *other = &table.rows[i];
        if (!setting_is_required(&table, other) && (other != row || row->is_for_process))
            continue;
        fputs("  ", out);
        print_setting(other, other == row ? value : VALUE_OTHER, out);
    }
    assert_int_equal(fclose(out), 0);
    mistakes_init(&mistakes, "f");
    if (!config_file_read_text(&file, text, length, look_up, &mistakes))
        fail_msg("%s%s", text, mistakes.items[0].text);
    mistakes_deinit(&mistakes);
    free(text);
    return file;
}

static void check_parts(const struct setting *row, const struct config *route)
{
    const struct setting_list *list =
        (const struct setting_list *)(const void *)((const char *)route + row->offset);
    const struct settings_table *table = &row->parts->table;
    void *defaults = calloc(1, row->parts->size);

    assert_non_null(defaults);
    settings_set_defaults(table, defaults);
    assert_int_equal(list->count, 1);
    for (size_t i = 0; i < table->count; i++) {
        assert_true(setting_source(table, list->items[0].parts, &table->rows[i])->is_given);
        assert_false(setting_value_equal(&table->rows[i], list->items[0].parts, defaults));
    }
    free(defaults);
}

static void a_file_can_give_each_setting(void **state)
{
    const struct settings_table table = config_settings(CONFIG_FILE);
    struct config defaults = { .mode = CONFIG_FILE };

    (void)state;
    settings_set_defaults(&table, &defaults);
    for (size_t i = 0; i < table.count; i++) {
        struct config_file file = read_setting(&table.rows[i], VALUE_OTHER);
        const struct config *route = &file.routes[0];
        for (size_t k = 0; k < table.count; k++) {
            bool is_given = k == i || setting_is_required(&table, &table.rows[k]);
            if (route->sources[k].is_given != is_given ||
                setting_value_equal(&table.rows[k], route, &defaults) == is_given)
                fail_msg("%s: a file with %s is wrong", table.rows[k].path, table.rows[i].path);
        }
        if (table.rows[i].parts)
            check_parts(&table.rows[i], route);
        config_file_free(&file);
    }
}

static void a_file_can_give_each_default(void **state)
{
    const struct settings_table table = config_settings(CONFIG_FILE);
    struct config defaults = { .mode = CONFIG_FILE };

    (void)state;
    settings_set_defaults(&table, &defaults);
    for (size_t i = 0; i < table.count; i++) {
        if (!table.rows[i].fallback)
            continue;
        struct config_file file = read_setting(&table.rows[i], VALUE_DEFAULT);
        assert_true(file.routes[0].sources[i].is_given);
        assert_true(setting_value_equal(&table.rows[i], &file.routes[0], &defaults));
        config_file_free(&file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_paths_are_unambiguous),
        cmocka_unit_test(files_and_options_have_the_same_settings),
        cmocka_unit_test(two_rows_share_a_field_only_if_their_kinds_differ),
        cmocka_unit_test(a_file_can_give_each_setting),
        cmocka_unit_test(a_file_can_give_each_default),
    };

    return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
