#include "config/config.h"
#include "config/setting_value.h"
#include "config/settings.h"
#include "config/settings_help.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

struct target {
    const char *text;
    uint64_t count, duration, bytes;
    unsigned choice;
    bool flag;
    struct setting_list list;
};

#define AT(field) .offset = offsetof(struct target, field)

static const char *const colours[] = { "red", "green", NULL };

static const struct setting rows_of_table[] = {
    { .name = "text",
      .type = SETTING_TEXT,
      AT(text),
      .value_name = "T",
      .required_by = SETTING_REQUIRED,
      .help = "a text" },
    { .name = "count",
      .type = SETTING_COUNT,
      AT(count),
      .fallback = "2",
      .min = 1,
      .max = 9,
      .zero_word = "auto",
      .value_name = "N",
      .help = "a count" },
    { .name = "wait",
      .type = SETTING_DURATION,
      AT(duration),
      .fallback = "250ms",
      .min = 10,
      .max = 3600000,
      .value_name = "D",
      .help = "a duration" },
    { .name = "size",
      .type = SETTING_BYTES,
      AT(bytes),
      .fallback = "64KiB",
      .min = 1024,
      .value_name = "SIZE",
      .help = "a size" },
    { .name = "colour", .type = SETTING_CHOICE, AT(choice), .choices = colours, .help = "a choice" },
    { .name = "flag", .type = SETTING_FLAG, AT(flag), .help = "a flag" },
    { .name = "allow", .type = SETTING_LIST, AT(list), .kind = 1, .value_name = "V", .help = "a list" },
    { .name = "any", .type = SETTING_LIST, AT(list), .kind = 2, .help = "a list item without value" },
};

static const struct settings_table table = { .rows = rows_of_table,
                                             .count = sizeof rows_of_table / sizeof rows_of_table[0] };

enum { WORDS_MAX = 16, TEXT_BYTES = 32768, LONG_LIST = 1000000 };

struct parsed {
    struct target target;
    struct fault fault;
    int positionals;
    char *words[WORDS_MAX];
    bool good;
};

/* Parses the words up to the NULL. The caller frees lists in the result. */
static struct parsed parse(const char *const *words)
{
    struct parsed parsed = { .positionals = -1 };
    int count = 0;

    for (; words[count]; count++)
        parsed.words[count] = (char *)(uintptr_t)words[count];
    const struct settings_words given = { .count = count,
                                          .items = parsed.words,
                                          .positionals = &parsed.positionals };
    parsed.good = settings_parse(&table, &parsed.target, &given, &parsed.fault);
    return parsed;
}

#define PARSE(...) parse((const char *const[]) { __VA_ARGS__, NULL })

static void expect_fault(struct parsed parsed, const char *text)
{
    assert_false(parsed.good);
    assert_string_equal(parsed.fault.text, text);
    settings_free(&table, &parsed.target);
}

static void a_setting_that_is_not_given_has_its_default(void **state)
{
    struct parsed parsed = PARSE("--text", "x");

    (void)state;
    assert_true(parsed.good);
    assert_string_equal(parsed.target.text, "x");
    assert_int_equal(parsed.target.count, 2);
    assert_int_equal(parsed.target.duration, 250);
    assert_int_equal(parsed.target.bytes, 65536);
    assert_int_equal(parsed.target.choice, 0);
    assert_false(parsed.target.flag);
    assert_int_equal(parsed.target.list.count, 0);
    assert_int_equal(parsed.positionals, 0);
}

static void every_type_reads_what_a_user_writes(void **state)
{
    struct parsed parsed = PARSE("--text=a=b", "--count", "auto", "--wait", "1m", "--size=2MiB", "--colour",
                                 "green", "--flag", "--allow", "one", "--any", "--allow=two");

    (void)state;
    assert_true(parsed.good);
    assert_string_equal(parsed.target.text, "a=b");
    assert_int_equal(parsed.target.count, 0);
    assert_int_equal(parsed.target.duration, 60000);
    assert_int_equal(parsed.target.bytes, 2 * 1024 * 1024);
    assert_int_equal(parsed.target.choice, 1);
    assert_true(parsed.target.flag);
    assert_int_equal(parsed.target.list.count, 3);
    assert_int_equal(parsed.target.list.items[0].kind, 1);
    assert_string_equal(parsed.target.list.items[0].value, "one");
    assert_int_equal(parsed.target.list.items[1].kind, 2);
    assert_null(parsed.target.list.items[1].value);
    assert_string_equal(parsed.target.list.items[2].value, "two");
    settings_free(&table, &parsed.target);
    assert_null(parsed.target.list.items);
}

static void other_words_move_to_the_front_and_two_dashes_end_the_options(void **state)
{
    struct parsed parsed = PARSE("init", "--text", "x", "dir", "-", "--", "--flag");

    (void)state;
    assert_true(parsed.good);
    assert_int_equal(parsed.positionals, 4);
    assert_string_equal(parsed.words[0], "init");
    assert_string_equal(parsed.words[1], "dir");
    assert_string_equal(parsed.words[2], "-");
    assert_string_equal(parsed.words[3], "--flag");
    assert_false(parsed.target.flag);
}

static void a_fault_names_the_option_and_what_it_expects(void **state)
{
    (void)state;
    expect_fault(PARSE("--count", "3"), "--text: is required (a text)");
    expect_fault(PARSE("--text"), "--text: needs a value (T)");
    expect_fault(PARSE("--text="), "--text: the value is empty");
    expect_fault(PARSE("--text", "x", "--text", "y"), "--text: given twice");
    expect_fault(PARSE("--texture", "x"), "--texture: unknown option");
    expect_fault(PARSE("--cuont=1"), "--cuont: unknown option; did you mean --count?");
    expect_fault(PARSE("-x"), "-x: unknown option");
    expect_fault(PARSE("--unknown=value"), "--unknown: unknown option");
    expect_fault(PARSE("--flag=yes"), "--flag: takes no value");
    expect_fault(PARSE("--colour", "blue"), "--colour: \"blue\" is not one of: red, green");
    expect_fault(PARSE("--count", "10"), "--count: 10 is out of range: expected 1 to 9");
    expect_fault(PARSE("--count", "x"), "--count: \"x\" is not a whole number, nor the word auto");
    expect_fault(PARSE("--count", "1e3"), "--count: \"1e3\" is not a whole number, nor the word auto");
    expect_fault(PARSE("--count", "-1"), "--count: -1 is out of range: expected 1 to 9");
    expect_fault(PARSE("--count", "--1"), "--count: \"--1\" is not a whole number, nor the word auto");
    expect_fault(PARSE("--count", "99999999999999999999"),
                 "--count: 99999999999999999999 is out of range: expected 1 to 9");
    expect_fault(PARSE("--wait", "-5s"), "--wait: -5s is out of range: expected 10ms to 1h");
    expect_fault(PARSE("--wait", "0"), "--wait: 0 is out of range: expected 10ms to 1h");
    expect_fault(PARSE("--wait", "99999999999999999999h"),
                 "--wait: 99999999999999999999h is out of range: expected 10ms to 1h");
    expect_fault(PARSE("--wait", "9999999999999999h"),
                 "--wait: 9999999999999999h is out of range: expected 10ms to 1h");
    expect_fault(PARSE("--wait", "99999999999999999999x"),
                 "--wait: \"99999999999999999999x\" is not a duration such as 250ms, 5s or 2m");
    expect_fault(PARSE("--wait", "5"), "--wait: \"5\" is not a duration such as 250ms, 5s or 2m");
    expect_fault(PARSE("--wait", "5 s"), "--wait: \"5 s\" is not a duration such as 250ms, 5s or 2m");
    expect_fault(PARSE("--wait", "2h"), "--wait: 2h is out of range: expected 10ms to 1h");
    expect_fault(PARSE("--size", "1KB"), "--size: \"1KB\" is not a size such as 65536, 64KiB or 4MiB");
    expect_fault(PARSE("--size", "100"), "--size: 100 is out of range: expected at least 1KiB");
    expect_fault(PARSE("--size", "18014398509481984KiB"),
                 "--size: 18014398509481984KiB is out of range: expected 1KiB to 18446744073709551615");
    expect_fault(PARSE("--size", "-1"), "--size: -1 is out of range: expected 1KiB to 18446744073709551615");
    expect_fault(PARSE("--allow", "a", "--allow"), "--allow: needs a value (V)");
}

static void without_positionals_another_word_is_a_fault(void **state)
{
    struct target target = { 0 };
    struct fault fault;
    char *words[] = { (char[]) { "stray" } };
    const struct settings_words given = { .count = 1, .items = words };

    (void)state;
    assert_false(settings_parse(&table, &target, &given, &fault));
    assert_string_equal(fault.text, "stray: unexpected argument");
}

/* A long value leaves space for what is expected. */
static void a_long_value_is_cut_in_the_fault(void **state)
{
    char digits[1000], expected[FAULT_TEXT_BYTES];

    (void)state;
    memset(digits, '7', sizeof digits);
    digits[sizeof digits - 1] = '\0';
    snprintf(expected, sizeof expected, "--count: %.160s is out of range: expected 1 to 9", digits);
    expect_fault(PARSE("--count", digits), expected);
    digits[sizeof digits - 2] = 'x';
    snprintf(expected, sizeof expected, "--count: \"%.160s\" is not a whole number, nor the word auto",
             digits);
    expect_fault(PARSE("--count", digits), expected);
}

static void zero_is_the_word_that_means_zero(void **state)
{
    static const char *const zeros[] = { "auto", "0", "00" };

    (void)state;
    for (size_t i = 0; i < sizeof zeros / sizeof zeros[0]; i++) {
        struct target target = { .count = 7 };
        struct fault fault;
        assert_true(setting_value_set(setting_find(&table, "count", 5), &target, zeros[i], &fault));
        assert_int_equal(target.count, 0);
    }
}

/* A time that grows with the square of the number of items would not end within the time of a test. */
static void a_list_can_be_long(void **state)
{
    const struct setting *allow = setting_find(&table, "allow", 5), *any = setting_find(&table, "any", 3);
    struct target target = { 0 };

    (void)state;
    for (unsigned i = 0; i < LONG_LIST; i++) {
        const struct setting_item *item = setting_list_append(i % 3 ? allow : any, &target);
        assert_non_null(item);
        assert_int_equal(item->index, i % 3 ? i - i / 3 - 1 : i / 3);
    }
    assert_int_equal(target.list.count, LONG_LIST);
    settings_free(&table, &target);
}

/* A list whose items have the settings of the table as parts. */
static const struct setting_parts parts_of_table = {
    .table = { .rows = rows_of_table, .count = sizeof rows_of_table / sizeof rows_of_table[0] },
    .size = sizeof(struct target),
    .separator = ' ',
};
static const struct setting items = {
    .name = "items", .type = SETTING_LIST, AT(list), .parts = &parts_of_table, .value_name = "ITEM"
};
static const struct settings_table table_of_items = { .rows = &items, .count = 1 };

static void an_item_is_parsed_into_its_parts(void **state)
{
    struct target all = { 0 }, copy = { 0 };
    struct fault fault;

    (void)state;
    assert_true(setting_value_set(
        &items, &all, "  any text=\"two words\"=x\tallow=a,b size=1MiB flag  allow=\" c\" ", &fault));
    const struct target *item = all.list.items[0].parts;
    assert_string_equal(item->text, "two words=x");
    assert_int_equal(item->bytes, 1 << 20);
    assert_int_equal(item->duration, 250);
    assert_true(item->flag);
    assert_int_equal(item->list.count, 3);
    assert_null(item->list.items[0].value);
    assert_string_equal(item->list.items[1].value, "a,b");
    assert_string_equal(item->list.items[2].value, " c");

    assert_true(setting_value_copy(&items, &copy, &all));
    assert_true(setting_value_equal(&items, &copy, &all));
    assert_true(setting_list_compose(&items, &copy.list.items[0]));
    assert_string_equal(copy.list.items[0].value,
                        "text=\"two words=x\" size=1MiB flag allow=a,b allow=\" c\" any");
    ((struct target *)copy.list.items[0].parts)->duration = 251;
    assert_false(setting_value_equal(&items, &copy, &all));
    settings_free(&table_of_items, &all);
    settings_free(&table_of_items, &copy);
}

static void a_fault_in_an_item_quotes_it_and_names_the_part(void **state)
{
    static const struct {
        const char *text, *fault;
    } rows[] = {
        { "txt=a", "\"txt\" is unknown; did you mean text?" },
        { "--text=a", "\"--text\" is unknown; did you mean text?" },
        { "text=a text=b", "text: given twice" },
        { "text", "text: needs a value: text=T" },
        { "size=", "size: needs a value: size=SIZE" },
        { "any=x", "any: takes no value" },
        { "size=1", "size: 1 is out of range: expected at least 1KiB" },
        { "wait=soon", "wait: \"soon\" is not a duration such as 250ms, 5s or 2m" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct target all = { 0 };
        struct fault fault;
        char expected[200];
        snprintf(expected, sizeof expected, "\"%s\": %s", rows[i].text, rows[i].fault);
        assert_false(setting_value_set(&items, &all, rows[i].text, &fault));
        assert_string_equal(fault.text, expected);
        settings_free(&table_of_items, &all);
    }
}

static size_t printed(char text[TEXT_BYTES], const struct settings_table *settings, const struct setting *one)
{
    FILE *out = fmemopen(text, TEXT_BYTES, "w");

    assert_non_null(out);
    if (one)
        settings_print_one(settings, one, out);
    else
        settings_print_help(settings, out);
    assert_int_equal(fclose(out), 0);
    return strlen(text);
}

/* The help has one paragraph for each setting, however the settings are grouped. */
static void assert_print_help_has_all(const struct settings_table *settings)
{
    static char text[TEXT_BYTES];
    size_t paragraphs = 0;

    assert_in_range(printed(text, settings, NULL), 1, TEXT_BYTES - 2);
    for (const char *at = text; (at = strstr(at, "\n  --")); at++)
        paragraphs++;
    size_t in_table = 0;
    for (size_t i = 0; i < settings->count; i++)
        in_table += setting_is_in(settings, &settings->rows[i]);
    assert_int_equal(paragraphs, in_table);
}

static void settings_are_grouped_in_the_help(void **state)
{
    static const struct setting grouped[] = {
        { .name = "b", .type = SETTING_FLAG, AT(flag), .help = "second", .group = 1 },
        { .name = "a", .type = SETTING_FLAG, AT(flag), .help = "first" },
    };
    static const char *const groups[] = { "One", "Two", NULL };
    static char text[TEXT_BYTES];
    const struct settings_table with_groups = { .rows = grouped, .count = 2, .groups = groups };

    (void)state;
    printed(text, &with_groups, NULL);
    assert_string_equal(text, "One:\n\n  --a\n        first\n\nTwo:\n\n  --b\n        second\n");
    printed(text, &with_groups, setting_find(&with_groups, "b", 1));
    assert_string_equal(text, "--b\n\nsecond\n\nDefault:  off\nGroup:    Two\n");
    assert_null(setting_find(&with_groups, "c", 1));
}

static void one_setting_is_printed_in_full(void **state)
{
    static const struct {
        const char *name, *text;
    } rows[] = {
        { "count",
          "--count N\n\na count\n\nValue:    a whole number, from 1 to 9; or the word auto, which is "
          "0\nDefault:  2\n" },
        { "wait", "--wait D\n\na duration\n\nValue:    a duration such as 250ms, 5s or 2m, from 10ms to "
                  "1h\nDefault:  250ms\n" },
        { "size", "--size SIZE\n\na size\n\nValue:    a size such as 65536, 64KiB or 4MiB, at least "
                  "1KiB\nDefault:  64KiB\n" },
        { "colour", "--colour red|green\n\na choice\n\nDefault:  not set\n" },
        { "text", "--text T\n\na text\n\nDefault:  none, the setting is required\n" },
        { "allow", "--allow V …\n\na list\n\nValue:    may be given several times\nDefault:  not set\n" },
    };
    static char text[TEXT_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        printed(text, &table, setting_find(&table, rows[i].name, strlen(rows[i].name)));
        assert_string_equal(text, rows[i].text);
    }
}

/* The help of a quantity that may be 0 says what 0 means; a word that means 0 says it, too. */
static void assert_help_is_complete(const struct setting *setting)
{
    assert_non_null(setting->help);
    if (setting->min || setting->zero_word ||
        (setting->type != SETTING_COUNT && setting->type != SETTING_DURATION &&
         setting->type != SETTING_BYTES))
        return;
    if (!strstr(setting->help, "; 0"))
        fail_msg("%s: %s", setting->name, setting->help);
}

/* Each row of the table of the proxy accepts its own default, and has a help text. */
static void defaults_of_the_proxy_are_in_their_ranges(void **state)
{
    (void)state;
    for (enum config_mode mode = CONFIG_CLIENT; mode <= CONFIG_SERVER; mode++) {
        const struct settings_table settings = config_settings(mode);
        const struct settings_words none = { 0 };
        struct config config = { 0 };
        struct fault fault = { .text = "" };
        assert_false(settings_parse(&settings, &config, &none, &fault));
        assert_memory_equal(fault.text, "--listen: is required", 21);
        for (size_t i = 0; i < settings.count; i++)
            assert_help_is_complete(&settings.rows[i]);
        assert_print_help_has_all(&settings);
    }
}

static void expect_refused(enum config_mode mode, char *word, const char *text)
{
    const struct settings_table settings = config_settings(mode);
    const struct settings_words given = { .count = 1, .items = &word };
    struct config config = { 0 };
    struct fault fault;

    assert_false(settings_parse(&settings, &config, &given, &fault));
    assert_string_equal(fault.text, text);
    settings_free(&settings, &config);
}

static void each_mode_has_only_its_own_settings(void **state)
{
    (void)state;
    expect_refused(CONFIG_CLIENT, (char[]) { "--allow-any" }, "--allow-any: unknown option");
    expect_refused(CONFIG_SERVER, (char[]) { "--unsafe-listen" }, "--unsafe-listen: unknown option");
}

static void an_option_with_a_secret_names_the_options_for_it(void **state)
{
    static const char key[] =
        "--shared-key: a secret does not stand on the command line: name its environment "
        "variable in --shared-key-env, or its file in --shared-key-file";

    (void)state;
    expect_refused(CONFIG_CLIENT, (char[]) { "--shared-key" }, key);
    expect_refused(CONFIG_CLIENT, (char[]) { "--shared-key=hunter2" }, key);
    expect_refused(CONFIG_CLIENT, (char[]) { "-password" },
                   "-password: a secret does not stand on the command line: name its environment variable in "
                   "--password-env");
}

static void a_key_of_a_file_names_its_option(void **state)
{
    (void)state;
    expect_refused(CONFIG_CLIENT, (char[]) { "--delivery.ack_timeout=5s" },
                   "--delivery.ack_timeout: unknown option; did you mean --ack-timeout?");
    expect_refused(CONFIG_CLIENT, (char[]) { "--min-version=1.3" },
                   "--min-version: unknown option; did you mean --tls-min?");
    expect_refused(CONFIG_CLIENT, (char[]) { "--spiffe.timeout" },
                   "--spiffe.timeout: unknown option; did you mean --spiffe-timeout?");
    expect_refused(CONFIG_CLIENT, (char[]) { "--timeout" },
                   "--timeout: unknown option"); /* several have it */
    expect_refused(CONFIG_CLIENT, (char[]) { "-ack-timeout" },
                   "-ack-timeout: unknown option; did you mean --ack-timeout?");
}

static void expect_in_file(char *word, const char *text)
{
    static const struct settings_table own = { .rows = rows_of_table, .count = 1 };
    const struct settings_table of_file = config_settings(CONFIG_FILE);
    const struct settings_words given = { .count = 1, .items = &word, .of_file = &of_file };
    struct target target = { 0 };
    struct fault fault;

    assert_false(settings_parse(&own, &target, &given, &fault));
    assert_string_equal(fault.text, text);
}

static void an_option_beside_a_file_names_its_keys(void **state)
{
    (void)state;
    expect_in_file((char[]) { "--log-level=debug" },
                   "--log-level: unknown option; in the file it is log.level");
    expect_in_file((char[]) { "--cert" },
                   "--cert: unknown option; in the file it is tls.upstream.cert or tls.downstream.cert");
    expect_in_file((char[]) { "--txt" }, "--txt: unknown option; did you mean --text?");
}

static void a_secret_in_the_place_of_its_name_is_not_shown(void **state)
{
    static const char several[] =
        "the value has several lines, or is PEM; write one line: the path of a file, or the "
        "name of a variable, not what is in it",
                      variable[] = "expected the name of an environment variable, not its value";
    static const struct {
        const char *option, *value, *fault;
    } rows[] = {
        { "--key", "-----BEGIN PRIVATE KEY-----hunter2", several },
        { "--key", "hunter2\n", several },
        { "--crl", "-----BEGIN X509 CRL-----\n", several },
        { "--shared-key-env", "hunter2!", variable },
        { "--key-passphrase-env", "my hunter2", variable },
    };
    char word[80], text[200];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(word, sizeof word, "%s=%s", rows[i].option, rows[i].value);
        snprintf(text, sizeof text, "%s: %s", rows[i].option, rows[i].fault);
        expect_refused(CONFIG_CLIENT, word, text);
    }
    snprintf(text, sizeof text, "--accept-user: password-env: %s", variable);
    expect_refused(CONFIG_SERVER, (char[]) { "--accept-user=bob=hunter2!" }, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_setting_that_is_not_given_has_its_default),
        cmocka_unit_test(every_type_reads_what_a_user_writes),
        cmocka_unit_test(other_words_move_to_the_front_and_two_dashes_end_the_options),
        cmocka_unit_test(a_fault_names_the_option_and_what_it_expects),
        cmocka_unit_test(without_positionals_another_word_is_a_fault),
        cmocka_unit_test(a_long_value_is_cut_in_the_fault),
        cmocka_unit_test(zero_is_the_word_that_means_zero),
        cmocka_unit_test(a_list_can_be_long),
        cmocka_unit_test(an_item_is_parsed_into_its_parts),
        cmocka_unit_test(a_fault_in_an_item_quotes_it_and_names_the_part),
        cmocka_unit_test(defaults_of_the_proxy_are_in_their_ranges),
        cmocka_unit_test(settings_are_grouped_in_the_help),
        cmocka_unit_test(one_setting_is_printed_in_full),
        cmocka_unit_test(each_mode_has_only_its_own_settings),
        cmocka_unit_test(an_option_with_a_secret_names_the_options_for_it),
        cmocka_unit_test(a_key_of_a_file_names_its_option),
        cmocka_unit_test(an_option_beside_a_file_names_its_keys),
        cmocka_unit_test(a_secret_in_the_place_of_its_name_is_not_shown),
    };

    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
