/* proxy/trust/credentials_options.c */
#include "trust/credentials_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct credentials_options example = {
    .role = TLS_SERVER,
    .cert_file = "cert.pem",
    .key_file = "key.pem",
    .ca_file = "ca.pem",
    .revocation = { .paths = { "a.crl" }, .count = 1 },
    .passphrase_file = "passphrase",
    .min_version = TLS_VERSION_1_2,
    .max_version = TLS_VERSION_1_3,
    .more = { { "more.pem", "more.key", NULL, "more.passphrase" } },
    .more_count = 1,
    .choices.of[TLS_GROUPS] = { 1, { 23 } },
};

static void check_differs(struct credentials_options other)
{
    assert_false(credentials_options_equal(&example, &other));
    assert_false(credentials_options_equal(&other, &example));
}

static void equal_names_of_files_are_equal(void **state)
{
    char name[] = "cert.pem";
    struct credentials_options other = example;

    (void)state;
    other.cert_file = name;
    assert_true(credentials_options_equal(&example, &other));
}

/* One line for each field. */
#define DIFFERING(FIELD, VALUE)                                                                              \
    do {                                                                                                     \
        struct credentials_options other = example;                                                          \
        other.FIELD = VALUE;                                                                                 \
        check_differs(other);                                                                                \
    } while (0)

static void each_field_matters(void **state)
{
    static const struct peer_policy nobody;

    (void)state;
    DIFFERING(role, TLS_CLIENT);
    DIFFERING(directory, "directory");
    DIFFERING(keystore, "keystore.p12");
    DIFFERING(cert_file, "other.pem");
    DIFFERING(key_file, "other.pem");
    DIFFERING(ca_file, "other.pem");
    DIFFERING(key_sessions, 2);
    DIFFERING(revocation.count, 0);
    DIFFERING(revocation.paths[0], "other.crl");
    DIFFERING(revocation.policy, REVOCATION_REQUIRE);
    DIFFERING(revocation.strength, STRENGTH_NOT_DEMANDED);
    DIFFERING(passphrase_env, "NAME");
    DIFFERING(passphrase_file, NULL);
    DIFFERING(min_version, TLS_VERSION_1_3);
    DIFFERING(max_version, TLS_VERSION_1_2);
    DIFFERING(choices.of[TLS_CIPHERS].count, 1);
    DIFFERING(choices.of[TLS_GROUPS].count, 0);
    DIFFERING(choices.of[TLS_SIGNATURES].count, 1);
    DIFFERING(choices.of[TLS_GROUPS].ids[0], 24);
    DIFFERING(sni, "name");
    DIFFERING(more_count, 0);
    DIFFERING(more[0].cert_file, "other.pem");
    DIFFERING(more[0].key_file, "other.pem");
    DIFFERING(more[0].passphrase_env, "NAME");
    DIFFERING(more[0].passphrase_file, "other");
    DIFFERING(item, 1);
    DIFFERING(omits_sni, true);
    DIFFERING(verifies_nothing, true);
    DIFFERING(ticket_keys_file, "tickets");
    DIFFERING(allow_cn_as_name, true);
    DIFFERING(ignores_name, true);
    DIFFERING(shows_nothing, true);
    DIFFERING(allow_weak, true);
    DIFFERING(client_certificate, CLIENT_CERTIFICATE_NONE);
    DIFFERING(speaks_link, true);
    DIFFERING(svid.socket, "unix:/agent.sock");
    DIFFERING(svid.spiffe_id, "spiffe://example.org/husk");
    DIFFERING(svid.hint, "internal");
    DIFFERING(policy, &nobody);
}

static void one_certificate_of_several_is_picked(void **state)
{
    const struct credentials_options first = credentials_options_at(&example, 0),
                                     last = credentials_options_at(&example, 1);

    (void)state;
    assert_string_equal(first.cert_file, "cert.pem");
    assert_string_equal(first.passphrase_file, "passphrase");
    assert_string_equal(last.cert_file, "more.pem");
    assert_string_equal(last.key_file, "more.key");
    assert_string_equal(last.passphrase_file, "more.passphrase");
    assert_string_equal(last.ca_file, "ca.pem");
    assert_int_equal(first.more_count + last.more_count + first.item, 0);
    assert_int_equal(last.item, 1);
}

static void policies_are_equal_by_their_rules(void **state)
{
    struct peer_policy policy = { 0 }, same = { 0 }, other = { 0 };
    struct credentials_options a = example, b = example;
    struct fault fault;

    (void)state;
    assert_true(peer_policy_add(&policy, PEER_RULE_CN, "agent", &fault));
    assert_true(peer_policy_add(&same, PEER_RULE_CN, "agent", &fault));
    assert_true(peer_policy_add(&other, PEER_RULE_CN, "others", &fault));
    a.policy = &policy;
    b.policy = &same;
    assert_true(credentials_options_equal(&a, &b));
    b.policy = &other;
    assert_false(credentials_options_equal(&a, &b));
    peer_policy_deinit(&policy);
    peer_policy_deinit(&same);
    peer_policy_deinit(&other);
}

static void a_source_of_the_certificate_means_tls(void **state)
{
    static const struct credentials_options plain = { .role = TLS_SERVER, .ca_file = "ca.pem" };
    struct credentials_options options = plain;

    (void)state;
    assert_false(credentials_options_are_set(&plain));
    assert_true(credentials_options_are_set(&example));
    options.directory = "directory";
    assert_true(credentials_options_are_set(&options));
    options.directory = NULL;
    options.keystore = "keystore.p12";
    assert_true(credentials_options_are_set(&options));
}

static void the_word_system_is_no_file(void **state)
{
    struct credentials_options options = example;

    (void)state;
    assert_false(credentials_options_use_system_cas(&options));
    options.ca_file = "./system";
    assert_false(credentials_options_use_system_cas(&options));
    options.ca_file = NULL;
    assert_false(credentials_options_use_system_cas(&options));
    options.ca_file = "system";
    assert_true(credentials_options_use_system_cas(&options));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_names_of_files_are_equal),
        cmocka_unit_test(each_field_matters),
        cmocka_unit_test(one_certificate_of_several_is_picked),
        cmocka_unit_test(policies_are_equal_by_their_rules),
        cmocka_unit_test(a_source_of_the_certificate_means_tls),
        cmocka_unit_test(the_word_system_is_no_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
