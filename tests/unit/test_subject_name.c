/* proxy/pki/subject_name.c: subjects from texts, and the policy of the seed. */
#include "pki/subject_name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/mem.h>
#include <openssl/x509.h>
#include <string.h>

static X509_NAME *parsed(const char *text)
{
    struct fault fault = { .text = "" };
    X509_NAME *name = subject_name_parse(text, NULL, &fault);

    assert_string_equal(fault.text, "");
    return name;
}

static void assert_name(X509_NAME *name, const char *expected)
{
    char *text = X509_NAME_oneline(name, NULL, 0);

    assert_string_equal(text, expected);
    OPENSSL_free(text);
    X509_NAME_free(name);
}

static void test_a_subject_is_parsed(void **state)
{
    struct fault fault;

    (void)state;
    assert_name(parsed("/C=US/ST=CA/O=Your company name/CN=ca"), "/C=US/ST=CA/O=Your company name/CN=ca");
    assert_name(subject_name_parse("/O=a", "b", &fault), "/O=a/CN=b");
    assert_name(subject_name_parse("/O=a/CN=given", "b", &fault), "/O=a/CN=given");
}

static void test_a_wrong_subject_names_its_part(void **state)
{
    static const struct {
        const char *text, *fault;
    } cases[] = {
        { "O=a", "subject: \"O=a\": expected /C=US/ST=CA/O=example" },
        { "/O", "subject: \"O\": expected a part such as O=example" },
        { "/C=USA", "subject: C=USA: expected two letters" },
        { "/X=a", "subject: X=a: is no part of a name: use C, ST, L, O, OU, CN or emailAddress" },
        { "/O=", "subject: O=: the text is empty, too long or not valid here" },
        { "/CN=\xff", "subject: CN=\xff: the text is empty, too long or not valid here" },
    };
    struct fault fault;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_null(subject_name_parse(cases[i].text, NULL, &fault));
        assert_string_equal(fault.text, cases[i].fault);
    }
}

static void test_a_subject_below_a_ca_has_its_organisation(void **state)
{
    struct fault fault;
    X509_NAME *ca = parsed("/C=US/ST=CA/O=Acme/OU=unit/CN=ca");

    (void)state;
    assert_name(subject_name_below(ca, "leaf", &fault), "/C=US/ST=CA/O=Acme/CN=leaf");
    X509_NAME_free(ca);
}

static void test_the_strict_policy_orders_and_leaves_out(void **state)
{
    struct fault fault;
    X509_NAME *ca = parsed("/C=US/ST=CA/O=Acme/CN=ca");
    X509_NAME *asked = parsed("/CN=leaf/L=Town/OU=unit/O=Acme/ST=CA/C=US/emailAddress=a@example.com");

    (void)state;
    assert_name(subject_name_strict(ca, asked, &fault),
                "/C=US/ST=CA/O=Acme/OU=unit/CN=leaf/emailAddress=a@example.com");
    X509_NAME_free(asked);
    X509_NAME_free(ca);
}

static void assert_strict_refuses(const char *asked_text, const char *expected)
{
    struct fault fault;
    X509_NAME *ca = parsed("/C=US/ST=CA/O=Acme/CN=ca"), *asked = parsed(asked_text);

    assert_null(subject_name_strict(ca, asked, &fault));
    assert_non_null(strstr(fault.text, expected));
    X509_NAME_free(asked);
    X509_NAME_free(ca);
}

static void test_the_strict_policy_refuses_other_organisations(void **state)
{
    (void)state;
    assert_strict_refuses("/C=US/ST=CA/O=Other/CN=a", "organizationName is not that of the CA");
    assert_strict_refuses("/C=US/O=Acme/CN=a", "stateOrProvinceName is not that of the CA");
    assert_strict_refuses("/C=DE/ST=CA/O=Acme/CN=a", "countryName is not that of the CA");
    assert_strict_refuses("/C=US/ST=CA/O=Acme", "has no commonName");
}

static void test_a_common_name_has_up_to_64_characters(void **state)
{
    struct fault fault;
    char longest[] = "ääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääää";

    (void)state;
    assert_true(subject_name_check_cn("a b", &fault));
    assert_true(subject_name_check_cn(longest, &fault));
    assert_false(
        subject_name_check_cn("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", &fault));
    assert_false(subject_name_check_cn("", &fault));
    assert_false(subject_name_check_cn("\xff", &fault));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_subject_is_parsed),
        cmocka_unit_test(test_a_wrong_subject_names_its_part),
        cmocka_unit_test(test_a_subject_below_a_ca_has_its_organisation),
        cmocka_unit_test(test_the_strict_policy_orders_and_leaves_out),
        cmocka_unit_test(test_the_strict_policy_refuses_other_organisations),
        cmocka_unit_test(test_a_common_name_has_up_to_64_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
