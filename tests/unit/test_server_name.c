/* proxy/trust/server_name.c: what a name is, and which certificates carry it (RFC 9525, 6). */
#include "support/pki.h"
#include "trust/server_name.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <openssl/nid.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define LABEL_63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz01234567890"
#define NAME_253                                                                                             \
    LABEL_63 "." LABEL_63 "." LABEL_63 ".abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz012345678"

static void test_names_and_addresses_are_accepted(void **state)
{
    static const char *const names[] = { "localhost", "logs.example.com", "logs.example.com.",
                                         "LOGS",      "_x._tcp.a-b.c1",   "xn--bcher-kva.example",
                                         "192.0.2.1", "2001:db8::1",      "::1",
                                         "1.example", LABEL_63,           NAME_253,
                                         NAME_253 "." };
    struct fault fault;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_true(server_name_check(names[i], &fault));
}

static void test_other_texts_are_refused_with_advice(void **state)
{
    static const struct {
        const char *name, *advice;
    } rows[] = {
        { "logs.example:24224", ": write it without port and brackets" },
        { "192.0.2.1:24224", ": write it without port and brackets" },
        { "[::1]", ": write it without port and brackets" },
        { "[::1]:24224", ": write it without port and brackets" },
        { "b\xc3\xbc"
          "cher.example",
          ": write a DNS name in ASCII (\"xn--…\")" },
        { "*.example.com", ": it cannot have a wildcard" },
        { "", "" },
        { ".", "" },
        { " logs", "" },
        { "logs ", "" },
        { "our logs", "" },
        { "logs\n", "" },
        { "a..b", "" },
        { ".a", "" },
        { "a..", "" },
        { "a/b", "" },
        { "-a", ": no label begins or ends with \"-\"" },
        { "a-", ": no label begins or ends with \"-\"" },
        { "a-.example", ": no label begins or ends with \"-\"" },
        { "a.-b.", ": no label begins or ends with \"-\"" },
        { "192.0.2", "" },
        { "192.0.2.256", "" },
        { "192.0.2.01", "" },
        { "logs.1", "" },
        { LABEL_63 "a", "" },
        { NAME_253 "a.a", "" },
    };
    struct fault fault;
    char expected[FAULT_TEXT_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_false(server_name_check(rows[i].name, &fault));
        snprintf(expected, sizeof expected, "\"%s\" is neither a DNS name nor an IP address%s", rows[i].name,
                 rows[i].advice);
        assert_string_equal(fault.text, expected);
    }
}

static void test_the_dns_name_has_no_final_dot(void **state)
{
    char dns[SERVER_NAME_DNS_BYTES];

    (void)state;
    assert_true(server_name_to_dns("logs.example.", dns));
    assert_string_equal(dns, "logs.example");
    assert_false(server_name_to_dns("192.0.2.1", dns));
    assert_false(server_name_to_dns("::1", dns));
    assert_false(server_name_to_dns("our logs", dns));
}

static void test_names_of_one_server_are_equal(void **state)
{
    static const struct {
        const char *a, *b;
        bool are_equal;
    } rows[] = {
        { "logs.example", "logs.example", true },
        { "logs.example", "LOGS.Example", true },
        { "logs.example", "logs.example.", true },
        { "logs.example", "log.example", false },
        { "logs.example", "logs.example.org", false },
        { "logs.example", "logs", false },
        { "2001:db8::1", "2001:DB8:0::1", true },
        { "2001:db8::1", "2001:db8::2", false },
        { "192.0.2.1", "192.0.2.1", true },
        { "192.0.2.1", "::ffff:192.0.2.1", false }, /* certificates carry them as different names */
        { "192.0.2.1", "logs.example", false },
        { "our logs", "Our Logs", true },
        { "our logs", "our logs.", false },
        { NULL, "logs.example", false },
        { NULL, NULL, true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(server_name_equal(rows[i].a, rows[i].b), rows[i].are_equal);
        assert_int_equal(server_name_equal(rows[i].b, rows[i].a), rows[i].are_equal);
    }
}

static void check(const struct pki_name *carried, const char *name, bool is_match)
{
    struct pki_profile profile = { .subject = { { NID_commonName, "cn.example.com", 0 } },
                                   .alternatives = { *carried } };
    struct pki_pair pair = pki_issue(&profile, NULL);

    if (server_name_matches(pair.certificate, name) != is_match)
        fail_msg("%s %s %s", carried->bytes, is_match ? "does not match" : "matches", name);
    pki_pair_free(&pair);
}

static void check_dns(const char *carried, const char *name, bool is_match)
{
    check(&(struct pki_name) { GEN_DNS, carried, 0 }, name, is_match);
}

static void test_dns_names_match_without_regard_to_case(void **state)
{
    (void)state;
    check_dns("logs.example.com", "logs.example.com", true);
    check_dns("Logs.EXAMPLE.com", "lOGS.example.com", true);
    check_dns("logs.example.com", "logs.example.com.", true);
    check_dns("logs", "logs", true);
    check_dns("logs.example.com", "logs.example", false);
    check_dns("logs.example.com", "example.com", false);
    check_dns("example.com", "logs.example.com", false);
    check_dns("other.example.com", "cn.example.com", false);
    check(&(struct pki_name) { GEN_DNS, "logs.example.com\0.evil", 22 }, "logs.example.com", false);
    check(&(struct pki_name) { GEN_EMAIL, "logs.example.com", 0 }, "logs.example.com", false);
    check(&(struct pki_name) { GEN_URI, "https://logs.example.com", 0 }, "logs.example.com", false);
}

static void test_a_wildcard_is_the_whole_first_label_and_stands_for_one(void **state)
{
    (void)state;
    check_dns("*.example.com", "logs.example.com", true);
    check_dns("*.Example.com", "LOGS.example.COM", true);
    check_dns("*.example.com", "xn--bcher-kva.example.com", true);
    check_dns("*.example.com", "example.com", false);
    check_dns("*.example.com", "a.logs.example.com", false);
    check_dns("*.example.com", "logs.example.org", false);
    check_dns("l*.example.com", "logs.example.com", false);
    check_dns("*s.example.com", "logs.example.com", false);
    check_dns("l*s.example.com", "logs.example.com", false);
    check_dns("xn--*.example.com", "xn--a.example.com", false);
    check_dns("logs.*.com", "logs.example.com", false);
    check_dns("*.*.com", "logs.example.com", false);
    check_dns("*", "logs", false);
    check_dns("*.com", "example.com", false);
    check_dns("*.", "logs", false);
}

static void test_addresses_match_only_addresses(void **state)
{
    (void)state;
    check(&(struct pki_name) { GEN_IPADD, "\xc0\x00\x02\x01", 4 }, "192.0.2.1", true);
    check(&(struct pki_name) { GEN_IPADD, "\xc0\x00\x02\x01", 4 }, "192.0.2.2", false);
    check(&(struct pki_name) { GEN_IPADD, "\xc0\x00\x02\x01", 4 }, "::ffff:192.0.2.1", false);
    check(&(struct pki_name) { GEN_IPADD, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16 }, "2001:DB8::1",
          true);
    check_dns("192.0.2.1", "192.0.2.1", false);
    check_dns("*.0.2.1", "192.0.2.1", false);
    check_dns("2001:db8::1", "2001:db8::1", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_addresses_are_accepted),
        cmocka_unit_test(test_other_texts_are_refused_with_advice),
        cmocka_unit_test(test_the_dns_name_has_no_final_dot),
        cmocka_unit_test(test_names_of_one_server_are_equal),
        cmocka_unit_test(test_dns_names_match_without_regard_to_case),
        cmocka_unit_test(test_a_wildcard_is_the_whole_first_label_and_stands_for_one),
        cmocka_unit_test(test_addresses_match_only_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
