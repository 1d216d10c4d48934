/* proxy/admin/http_host.c: which hosts the admin endpoint has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "admin/http_host.h"

static const struct http_host_names names = { .items = { "husk.logging.svc", "Prom_1." }, .count = 2 };

static void take_field(struct http_host *host, const char *name, const char *value)
{
    http_host_take_name(host, name, strlen(name));
    http_host_take_value(host, value, strlen(value));
}

static enum http_host_verdict judge(const char *value)
{
    struct http_host host = { 0 };

    take_field(&host, "Host", value);
    return http_host_judge(&host, 1, &names);
}

static void expect_all(const char *const *values, enum http_host_verdict verdict)
{
    for (; *values; values++)
        if (judge(*values) != verdict)
            fail_msg("\"%s\"", *values);
}

static void test_own_hosts(void **state)
{
    static const char *const ours[] = {
        "localhost",
        "LocalHost",
        "localhost.",
        "localhost:9901",
        "localhost.:9901",
        "localhost:",
        "localhost \t",
        "127.0.0.1",
        "10.244.1.7:9901",
        "127.0.0.1.",
        "255.255.255.255:1",
        "[::1]",
        "[::1]:9901",
        "[2001:DB8::1]:80",
        "[::ffff:10.0.0.1]",
        "husk.logging.svc",
        "HUSK.LOGGING.SVC.:9901",
        "prom_1",
        "prom_1.",
        "",
        " ",
        ":9901",
        NULL,
    };

    (void)state;
    expect_all(ours, HTTP_HOST_OURS);
}

static void test_other_names(void **state)
{
    static const char *const others[] = {
        "evil.example",
        "evil.example:9901",
        "localhost.evil.example",
        "evil.localhost",
        "localhos",
        "localhostt",
        "localhost..",
        ".",
        "..",
        "127.0.0.1.evil.example",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "127.0.0.256",
        "127.0.0.01",
        "husk.logging",
        "husk.logging.svc.cluster.local",
        "xhusk.logging.svc",
        "prom-1",
        "local%68ost",
        "a,b",
        "~",
        NULL,
    };

    (void)state;
    expect_all(others, HTTP_HOST_OTHERS);
}

static void test_malformed_hosts(void **state)
{
    static const char *const bad[] = {
        "local host",
        "localhost, evil.example",
        "localhost:x",
        "localhost:80:90",
        "localhost:-1",
        "localhost/",
        "a@b",
        "http://localhost",
        "::1",
        "[::1",
        "[",
        "[]",
        "[]:1",
        "::1]",
        "[::1]x",
        "[::1]x:9901",
        "[::1]:x",
        "[evil.example]",
        "[127.0.0.1]",
        "[fe80::1%25eth0]",
        "[v1.x]",
        "a%",
        "a%4",
        "a%zz",
        "a\\b",
        "a\"b",
        "caf\xc3\xa9",
        "\x7f",
        "a\x01",
        NULL,
    };

    (void)state;
    expect_all(bad, HTTP_HOST_BAD);
}

static void test_a_nul_byte_is_malformed(void **state)
{
    static const char value[] = "localhost\0.evil", address[] = "[::1\0]";
    struct http_host host = { 0 }, other = { 0 };

    (void)state;
    http_host_take_name(&host, "Host", 4);
    http_host_take_value(&host, value, sizeof value - 1);
    assert_int_equal(http_host_judge(&host, 1, &names), HTTP_HOST_BAD);
    http_host_take_name(&other, "Host", 4);
    http_host_take_value(&other, address, sizeof address - 1);
    assert_int_equal(http_host_judge(&other, 1, &names), HTTP_HOST_BAD);
}

static void test_a_host_longer_than_any_name_is_malformed(void **state)
{
    char value[HTTP_HOST_BYTES + 2] = "";

    (void)state;
    memset(value, 'a', HTTP_HOST_BYTES);
    assert_int_equal(judge(value), HTTP_HOST_OTHERS);
    value[HTTP_HOST_BYTES] = 'a';
    assert_int_equal(judge(value), HTTP_HOST_BAD);
}

static void test_http_1_1_needs_one_host(void **state)
{
    struct http_host none = { 0 }, other = { 0 }, twice = { 0 };

    (void)state;
    assert_int_equal(http_host_judge(&none, 1, &names), HTTP_HOST_BAD);
    assert_int_equal(http_host_judge(&none, 0, &names), HTTP_HOST_OURS);
    take_field(&other, "Hos", "localhost");
    take_field(&other, "Hosts", "localhost");
    take_field(&other, "X-Host", "localhost");
    take_field(&other, "", "localhost");
    assert_int_equal(http_host_judge(&other, 1, &names), HTTP_HOST_BAD);
    take_field(&other, "hOST", "localhost");
    assert_int_equal(http_host_judge(&other, 1, &names), HTTP_HOST_OURS);
    take_field(&twice, "Host", "");
    take_field(&twice, "host", "localhost");
    assert_int_equal(http_host_judge(&twice, 1, &names), HTTP_HOST_BAD);
    assert_int_equal(http_host_judge(&twice, 0, &names), HTTP_HOST_BAD);
}

/* A parser reports pieces as they come. */
static void test_pieces(void **state)
{
    static const char name[] = "hOSt", value[] = "Husk.logging.SVC:9901";
    struct http_host host = { 0 };

    (void)state;
    take_field(&host, "A", "b");
    for (size_t i = 0; i < sizeof name - 1; i++)
        http_host_take_name(&host, &name[i], 1);
    for (size_t i = 0; i < sizeof value - 1; i++)
        http_host_take_value(&host, &value[i], 1);
    take_field(&host, "C", "evil.example");
    assert_int_equal(http_host_judge(&host, 1, &names), HTTP_HOST_OURS);
    assert_int_equal(host.fields, 1);

    size_t length;
    const char *text = http_host_text(&host, &length);
    assert_int_equal(length, sizeof value - 1);
    assert_memory_equal(text, value, length);
}

static enum http_host_verdict judge_target(const char *value, const char *target)
{
    struct http_host host = { 0 };

    take_field(&host, "Host", value);
    http_host_set_target(&host, target, strlen(target));
    return http_host_judge(&host, 1, &names);
}

static void test_the_target_replaces_the_field(void **state)
{
    (void)state;
    assert_int_equal(judge_target("evil.example", "localhost"), HTTP_HOST_OURS);
    assert_int_equal(judge_target("localhost", "evil.example"), HTTP_HOST_OTHERS);
    assert_int_equal(judge_target("evil.example", "[::1]"), HTTP_HOST_OURS);
    assert_int_equal(judge_target("a b", "localhost"), HTTP_HOST_BAD);
    assert_int_equal(judge_target("localhost", "a b"), HTTP_HOST_BAD);

    struct http_host host = { 0 };
    size_t length;
    http_host_set_target(&host, "evil", 4);
    assert_int_equal(http_host_judge(&host, 1, &names), HTTP_HOST_BAD);
    assert_int_equal(http_host_judge(&host, 0, &names), HTTP_HOST_OTHERS);
    assert_string_equal(http_host_text(&host, &length), "evil");
    assert_int_equal(length, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_hosts),
        cmocka_unit_test(test_other_names),
        cmocka_unit_test(test_malformed_hosts),
        cmocka_unit_test(test_a_nul_byte_is_malformed),
        cmocka_unit_test(test_a_host_longer_than_any_name_is_malformed),
        cmocka_unit_test(test_http_1_1_needs_one_host),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_the_target_replaces_the_field),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
