/* config/option_words.c: options in the words of a file. */
#include "config/option_words.h"

#include "config/config_file.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static void expect_text(enum side side, const char *text, const char *expected)
{
    char *translated = option_words_translate(text, side);

    assert_non_null(translated);
    assert_string_equal(translated, expected);
    free(translated);
}

static void an_option_becomes_a_key(void **state)
{
    (void)state;
    expect_text(SIDE_UPSTREAM, "--cert", "tls.upstream.cert");
    expect_text(SIDE_DOWNSTREAM, "--cert", "tls.downstream.cert");
    expect_text(SIDE_UPSTREAM, "see --dns-servers; or (--ca), --ca",
                "see dns.servers; or (tls.upstream.ca), tls.upstream.ca");
    expect_text(SIDE_DOWNSTREAM, "the port of --upstream", "the port of upstreams");
    expect_text(SIDE_DOWNSTREAM, "--admin: in use", "admin.listen: in use");
}

static void a_group_of_options_becomes_a_group_of_keys(void **state)
{
    (void)state;
    expect_text(SIDE_UPSTREAM, "remove --shared-key-*, or",
                "remove authentication.upstream.shared_key_*, or");
    expect_text(SIDE_UPSTREAM, "--accept-key-*", "authentication.downstream.shared_key_*");
    expect_text(SIDE_UPSTREAM, "an --allow-* setting", "an allow.* setting");
}

static void other_words_stay(void **state)
{
    static const char *const texts[] = { "",          "--",          "-- x",      "--connect",
                                         "a--cert",   "/tmp/--key",  "--certain", "--cert-*",
                                         "\"--key\"", "--no-such-*", "---cert",   "CN=x--allow-*" };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        expect_text(SIDE_UPSTREAM, texts[i], texts[i]);
}

static const char *no_variable(const char *name)
{
    (void)name;
    return NULL;
}

static void expect_place(const struct config *config, struct option_value value, const char *path,
                         unsigned line)
{
    struct option_location location;

    option_words_locate(config, SIDE_UPSTREAM, &value, &location);
    assert_string_equal(location.path, path);
    assert_int_equal(location.place.line, line);
}

static void a_setting_has_a_path_and_a_place(void **state)
{
    static const char text[] = "admin: {listen: 127.0.0.1:1}\n"
                               "defaults: {tls: {upstream: {cert: a}}}\n"
                               "routes:\n"
                               "  - {name: a, listen: 127.0.0.1:1, upstreams: b:2}\n"
                               "  - name: b\n"
                               "    listen: [127.0.0.1:2]\n"
                               "    upstreams:\n"
                               "      - b:2\n"
                               "      - {address: c:3,\n"
                               "         weight: 2}\n";
    struct config_file file;
    struct mistakes mistakes;

    (void)state;
    mistakes_init(&mistakes, "file");
    assert_true(config_file_read_text(&file, text, sizeof text - 1, no_variable, &mistakes));
    expect_place(&file.routes[1], (struct option_value) { "admin", 0, NULL }, "admin.listen", 1);
    expect_place(&file.routes[1], (struct option_value) { "cert", 0, NULL }, "routes[1].tls.upstream.cert",
                 2);
    expect_place(&file.routes[0], (struct option_value) { "listen", 0, NULL }, "routes[0].listen[0]", 4);
    expect_place(&file.routes[1], (struct option_value) { "upstream", 1, NULL }, "routes[1].upstreams[1]", 9);
    expect_place(&file.routes[1], (struct option_value) { "upstream", 1, "weight" },
                 "routes[1].upstreams[1].weight", 10);
    expect_place(&file.routes[1], (struct option_value) { "upstream", 0, "weight" }, "routes[1].upstreams[0]",
                 8);
    expect_place(&file.routes[1], (struct option_value) { "upstream", 1, "standby" },
                 "routes[1].upstreams[1]", 9);
    expect_place(&file.routes[1], (struct option_value) { "key", 0, NULL }, "routes[1].tls.upstream.key", 0);
    config_file_free(&file);
    mistakes_deinit(&mistakes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_option_becomes_a_key),
        cmocka_unit_test(a_group_of_options_becomes_a_group_of_keys),
        cmocka_unit_test(other_words_stay),
        cmocka_unit_test(a_setting_has_a_path_and_a_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
