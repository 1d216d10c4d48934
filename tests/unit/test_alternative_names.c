/* proxy/pki/alternative_names.c: which names a certificate can have. */
#include "pki/alternative_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

static void assert_made(const char *name, const char *spiffe_id, const char *expected)
{
    struct fault fault = { .text = "" };
    char text[256];

    GENERAL_NAMES *names = alternative_names_make(&name, name ? 1 : 0, spiffe_id, &fault);
    assert_string_equal(fault.text, "");
    assert_non_null(names);
    alternative_names_describe(names, text, sizeof text);
    assert_string_equal(text, expected);
    assert_false(alternative_names_have_others(names));
    GENERAL_NAMES_free(names);
}

static void assert_refused(const char *name, const char *spiffe_id, const char *part)
{
    struct fault fault = { .text = "" };

    assert_null(alternative_names_make(&name, name ? 1 : 0, spiffe_id, &fault));
    assert_non_null(strstr(fault.text, part));
}

static void test_names_have_their_kind(void **state)
{
    (void)state;
    assert_made("logs.example.com", NULL, "DNS:logs.example.com");
    assert_made("*.example.com", NULL, "DNS:*.example.com");
    assert_made("10.0.0.1", NULL, "IP:10.0.0.1");
    assert_made("::1", NULL, "IP:::1");
    assert_made("a", "spiffe://example.org/logs/a", "DNS:a, URI:spiffe://example.org/logs/a");
    assert_made(NULL, "spiffe://example.org", "URI:spiffe://example.org");
}

static void test_what_is_no_name_is_refused(void **state)
{
    static const char *const wrong[] = { "",           "a b",        "a..b",       "*",     "a.*.b",
                                         "*.10.0.0.1", "10.0.0.300", "a,DNS:evil", "[::1]", "a:24224" };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_refused(wrong[i], NULL, "is neither a DNS name nor an IP address");
    assert_refused(NULL, NULL, "at least one");
}

static void test_what_is_no_spiffe_id_is_refused(void **state)
{
    static const char *const wrong[] = { "https://example.org/a",
                                         "spiffe://",
                                         "spiffe:///a",
                                         "spiffe://Example.org/a",
                                         "spiffe://example.org/",
                                         "spiffe://example.org//a",
                                         "spiffe://example.org/../a",
                                         "spiffe://example.org/a?b",
                                         "spiffe://example.org:1/a" };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_refused(NULL, wrong[i], "expected spiffe://trust-domain/path");
}

static void test_a_description_is_cut_to_its_size(void **state)
{
    static const char *const many[] = { "one.example.com", "two.example.com", "three.example.com" };
    struct fault fault;
    char text[24];

    (void)state;
    GENERAL_NAMES *names = alternative_names_make(many, 3, NULL, &fault);
    memset(text, 'x', sizeof text);
    alternative_names_describe(names, text, sizeof text);
    assert_string_equal(text, "DNS:one.example.com, DN");
    GENERAL_NAMES_free(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_have_their_kind),
        cmocka_unit_test(test_what_is_no_name_is_refused),
        cmocka_unit_test(test_what_is_no_spiffe_id_is_refused),
        cmocka_unit_test(test_a_description_is_cut_to_its_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
