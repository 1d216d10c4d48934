/* proxy/trust/spiffe_id.c */
#include "trust/spiffe_id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void ids_of_workloads_have_a_domain_and_a_path(void **state)
{
    static const char *const good[] = {
        "spiffe://example.org/a", "spiffe://example.org/ns/logs/sa/husk",
        "spiffe://a/b.c-d_E",     "spiffe://127.0.0.1/agent",
        "spiffe://a_b-c.d/...",
    };
    char domain[SPIFFE_DOMAIN_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(spiffe_id_read(good[i], domain));
    assert_true(spiffe_id_read("spiffe://example.org/a", domain));
    assert_string_equal(domain, "example.org");
}

static void other_texts_are_no_ids_of_workloads(void **state)
{
    static const char *const bad[] = {
        "",
        "spiffe://",
        "spiffe:///a",
        "spiffe://example.org",
        "spiffe://example.org/",
        "spiffe://example.org//a",
        "spiffe://example.org/a/",
        "spiffe://example.org/a/./b",
        "spiffe://example.org/..",
        "spiffe://example.org/%61",
        "spiffe://example.org/a?b",
        "spiffe://example.org/a#b",
        "spiffe://example.org:80/a",
        "spiffe://user@example.org/a",
        "spiffe://Example.org/a",
        "spiffe://[::1]/a",
        "SPIFFE://example.org/a",
        "https://example.org/a",
        "xspiffe://example.org/a",
    };
    char domain[SPIFFE_DOMAIN_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(spiffe_id_read(bad[i], domain));
}

static void ids_of_trust_domains_have_no_path(void **state)
{
    char domain[SPIFFE_DOMAIN_BYTES];

    (void)state;
    assert_true(spiffe_id_read_domain("spiffe://example.org", domain));
    assert_string_equal(domain, "example.org");
    assert_false(spiffe_id_read_domain("spiffe://example.org/", domain));
    assert_false(spiffe_id_read_domain("spiffe://example.org/a", domain));
    assert_false(spiffe_id_read_domain("example.org", domain));
    assert_false(spiffe_id_read_domain("spiffe://", domain));
}

/* SPIFFE-ID, 2.3. */
static void the_lengths_of_the_standard_are_the_limits(void **state)
{
    char text[SPIFFE_ID_BYTES + 1], domain[SPIFFE_DOMAIN_BYTES];

    (void)state;
    memset(text, 'a', sizeof text);
    memcpy(text, "spiffe://a/", 11);
    text[SPIFFE_ID_BYTES - 1] = '\0';
    assert_true(spiffe_id_read(text, domain));
    text[SPIFFE_ID_BYTES - 1] = 'a';
    text[SPIFFE_ID_BYTES] = '\0';
    assert_false(spiffe_id_read(text, domain));
    memset(text, 'a', sizeof text);
    memcpy(text, "spiffe://", 9);
    text[9 + SPIFFE_DOMAIN_BYTES - 1] = '\0';
    assert_true(spiffe_id_read_domain(text, domain));
    text[9 + SPIFFE_DOMAIN_BYTES - 1] = 'a';
    text[9 + SPIFFE_DOMAIN_BYTES] = '\0';
    assert_false(spiffe_id_read_domain(text, domain));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_of_workloads_have_a_domain_and_a_path),
        cmocka_unit_test(other_texts_are_no_ids_of_workloads),
        cmocka_unit_test(ids_of_trust_domains_have_no_path),
        cmocka_unit_test(the_lengths_of_the_standard_are_the_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
