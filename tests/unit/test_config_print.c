/* config/config_print.c, config/yaml_quote.c: a printed configuration means what it was printed from. */
#include "config/config_file.h"
#include "config/config_print.h"
#include "config/setting_value.h"
#include "config/settings.h"
#include "config/yaml_quote.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static const char *look_up(const char *name)
{
    return strcmp(name, "ADDRESS") == 0 ? "aggregator:24224" : NULL;
}

static void file_read(struct config_file *file, const char *text)
{
    struct mistakes mistakes;

    mistakes_init(&mistakes, "a file");
    bool is_good = config_file_read_text(file, text, strlen(text), look_up, &mistakes);
    if (!is_good) {
        mistakes_print(&mistakes, stderr);
        fputs(text, stderr);
    }
    assert_true(is_good);
    mistakes_deinit(&mistakes);
}

/* The caller frees the text. */
static char *printed(const struct config *configs, size_t count)
{
    char *text = NULL;
    size_t length;
    struct fault fault;
    FILE *out = open_memstream(&text, &length);

    assert_non_null(out);
    assert_true(config_print(configs, count, out, &fault));
    assert_int_equal(fclose(out), 0);
    return text;
}

static void assert_same(const struct config *a, const struct config *b)
{
    const struct settings_table table = config_settings(CONFIG_FILE);

    for (size_t i = 0; i < table.count; i++) {
        if (!setting_value_equal(&table.rows[i], a, b))
            fail_msg("%s is different", table.rows[i].path);
    }
}

static void assert_round_trip(const char *text)
{
    struct config_file file, again;

    file_read(&file, text);
    char *first = printed(file.routes, file.count);
    file_read(&again, first);
    assert_int_equal(file.count, again.count);
    for (size_t i = 0; i < file.count; i++)
        assert_same(&file.routes[i], &again.routes[i]);
    config_file_free(&again);
    config_file_free(&file);
    free(first);
}

#define ROUTE "- {name: a, listen: 127.0.0.1:1, upstreams: b:2, "

static void a_file_is_printed_with_the_same_meaning(void **state)
{
    (void)state;
    assert_round_trip("routes:\n" ROUTE "}");
    assert_round_trip(
        "workers: auto\nadmin: {listen: \"off\", hosts: [a, b]}\nlog: {burst: 0, level: debug}\n"
        "defaults: {dns: {servers: [\"[::1]:53\", 10.0.0.1], min_ttl: 1500ms}, protocol: tcp}\n"
        "routes:\n" ROUTE "}\n- {name: b, listen: [c:1, d:2], upstreams: '${ADDRESS}'}");
    assert_round_trip("routes:\n" ROUTE "unsafe_listen: true, delivery: {max_age: 1h, batch_bytes: 0,\n"
                      "  compress: zstd}, tls: {upstream: {cert: 'a b', min_version: 1.3}},\n"
                      "  allow: {cn: ['*', \"no\"], uri: 'spiffe://a/*'}}");
}

static void lists_of_maps_are_printed_with_the_same_meaning(void **state)
{
    (void)state;
    assert_round_trip(
        "routes:\n"
        "- name: a\n"
        "  listen: [{address: 'unix:/run/a,b', mode: \"0660\", group: '7'}, 'unix:/run/c,mode=0600']\n"
        "  upstreams: [{address: a:1, weight: 7, standby: true, server_name: x}, 'b:2,weight=3', c:3]\n"
        "  rules: [{cn: [a, 'b c', '$${D}'], dns: e, tags: ['x.*', z], burst: 2s, bytes_per_second: 1MiB},\n"
        "          {any: true, tag_prefix: \"null\", max_message: 2KiB, messages_per_second: 3}]\n"
        "  add_identity: [{field: 'a,b'}, {field: c, from: uri}]\n"
        "  authentication: {downstream: {users: [{name: 'a=b', password_env: C}]}}");
}

static void options_are_printed_as_a_file(void **state)
{
    static const char *const given[] = {
        "--listen",
        "127.0.0.1:0",
        "--listen",
        "unix:/a b,mode=0600",
        "--upstream",
        "c:1",
        "--upstream",
        "d:2,weight=9,standby",
        "--cert",
        "a.pem",
        "--key",
        "b.pem",
        "--ca",
        "c.pem",
        "--allow-cn",
        "x\"y\\z",
        "--allow-any",
        "--accept-user",
        "me=PASSWORD",
        "--rule",
        "cn=\"a b\" tags=c.*,d burst=3s",
        "--ack-timeout",
        "90s",
        "--batch-bytes",
        "off",
        "--strip-metadata",
        "--add-identity",
        "field=a b,from=spki",
    };
    char *words[sizeof given / sizeof given[0]];
    struct config config = { .mode = CONFIG_SERVER };
    struct config_file file;
    struct fault fault;
    const struct settings_table table = config_settings(CONFIG_SERVER);

    (void)state;
    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++)
        words[i] = strdup(given[i]);
    assert_true(settings_parse(
        &table, &config, &(struct settings_words) { .count = sizeof given / sizeof given[0], .items = words },
        &fault));
    char *text = printed(&config, 1);
    file_read(&file, text);
    assert_int_equal(file.count, 1);
    assert_string_equal(file.routes[0].name, "server");
    config.name = file.routes[0].name;
    assert_same(&config, &file.routes[0]);
    config_file_free(&file);
    settings_free(&table, &config);
    free(text);
    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++)
        free(words[i]);
}

static void what_was_not_given_is_marked(void **state)
{
    struct config_file file;

    (void)state;
    file_read(&file,
              "workers: 1\ndefaults: {delivery: {max_attempts: 20}}\nroutes:\n" ROUTE "protocol: tcp}");
    char *text = printed(file.routes, file.count);
    assert_non_null(strstr(text, "workers: 1\n"));
    assert_non_null(strstr(text, "\n      max_attempts: 20\n"));
    assert_non_null(strstr(text, "\n    protocol: tcp\n"));
    assert_non_null(strstr(text, "\n      ack_timeout: 1m # default\n"));
    assert_non_null(strstr(text, "\n        weight: 1 # default\n"));
    assert_non_null(strstr(text, "\n      # servers: not set\n"));
    assert_non_null(strstr(text, "\n    # allow:\n      # cn: not set\n"));
    free(text);
    config_file_free(&file);
}

static void every_setting_is_printed(void **state)
{
    const struct settings_table table = config_settings(CONFIG_FILE);
    struct config_file file;

    (void)state;
    file_read(&file, "routes:\n" ROUTE "}");
    char *text = printed(file.routes, file.count);
    for (size_t i = 0; i < table.count; i++) {
        const char *dot = strrchr(table.rows[i].path, '.');
        char key[100];
        snprintf(key, sizeof key, " %s:", dot ? dot + 1 : table.rows[i].path);
        if (!strstr(text, key) && strncmp(text, key + 1, strlen(key + 1)) != 0)
            fail_msg("%s is missing", table.rows[i].path);
    }
    free(text);
    config_file_free(&file);
}

static void a_text_that_is_not_utf8_cannot_be_printed(void **state)
{
    struct config config = { .mode = CONFIG_CLIENT };
    const struct settings_table table = config_settings(CONFIG_CLIENT);
    struct fault fault;
    FILE *out = fopen("/dev/null", "w");

    (void)state;
    settings_set_defaults(&table, &config);
    config.username = "\xff";
    assert_false(config_print(&config, 1, out, &fault));
    assert_non_null(strstr(fault.text, "authentication.upstream.username"));
    fclose(out);
    settings_free(&table, &config);
}

/* ---- texts ---- */

static void assert_quoted(const char *text, const char *expected)
{
    char *written = NULL;
    size_t length;
    FILE *out = open_memstream(&written, &length);

    yaml_quote_text(text, out);
    fclose(out);
    assert_string_equal(written, expected);
    free(written);
}

static void quotes_are_where_a_reader_could_go_wrong(void **state)
{
    (void)state;
    assert_quoted("agents", "agents");
    assert_quoted("127.0.0.1:24224", "127.0.0.1:24224");
    assert_quoted("/etc/husk/a.pem", "/etc/husk/a.pem");
    assert_quoted("kube.*", "kube.*");
    assert_quoted("*.example", "\"*.example\"");
    assert_quoted("off", "\"off\"");
    assert_quoted("Null", "\"Null\"");
    assert_quoted("1.2", "\"1.2\"");
    assert_quoted("1:30", "\"1:30\"");
    assert_quoted("8080", "\"8080\"");
    assert_quoted("0660", "\"0660\"");
    assert_quoted("2024-01-31", "\"2024-01-31\"");
    assert_quoted("", "\"\"");
    assert_quoted("a b", "\"a b\"");
    assert_quoted("a:", "\"a:\"");
    assert_quoted("a #b", "\"a #b\"");
    assert_quoted("-a", "\"-a\"");
    assert_quoted("a\"b\\c", "\"a\\\"b\\\\c\"");
    assert_quoted("a\nb\x7f\t", "\"a\\u000ab\\u007f\\u0009\"");
    assert_quoted("\xc3\xbc \xe2\x80\xa8 \xc2\x85", "\"\xc3\xbc \\u2028 \\u0085\"");
    assert_quoted("$A", "\"$A\"");
    assert_quoted("${A}", "\"$${A}\"");
    assert_quoted("a$${A}$$b", "\"a$$$${A}$$b\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_printed_with_the_same_meaning),
        cmocka_unit_test(lists_of_maps_are_printed_with_the_same_meaning),
        cmocka_unit_test(options_are_printed_as_a_file),
        cmocka_unit_test(what_was_not_given_is_marked),
        cmocka_unit_test(every_setting_is_printed),
        cmocka_unit_test(a_text_that_is_not_utf8_cannot_be_printed),
        cmocka_unit_test(quotes_are_where_a_reader_could_go_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
