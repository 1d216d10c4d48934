/* proxy/trust/peer_check.c: each way in which a peer can fail, with its reason, text and alert. */
#include "support/pki.h"
#include "trust/peer_check.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <openssl/nid.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
    struct pki_pair ca, other_ca;
    STACK_OF(X509) * cas;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    fixture->ca = pki_issue_ca("our CA");
    fixture->other_ca = pki_issue_ca("another CA");
    fixture->cas = sk_X509_new_null();
    sk_X509_push(fixture->cas, fixture->ca.certificate);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    pki_pair_free(&fixture->ca);
    pki_pair_free(&fixture->other_ca);
    sk_X509_free(fixture->cas);
    free(fixture);
    return 0;
}

/* The check and the expected verdict. */
struct expectation {
    struct peer_check_rules rules;
    const char *server_name;
    enum end_reason reason;
    const char *detail;
    int alert;
    bool lacks_issuer;
};

static void check_chain(struct fixture *fixture, X509 *const *certificates, size_t count,
                        const struct expectation *expected)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    struct peer_check check = { .server_name = expected->server_name };
    struct peer_check_rules rules = expected->rules;
    uint8_t alert = 0;

    for (size_t i = 0; i < count; i++)
        assert_true(sk_X509_push(chain, certificates[i]));
    rules.trusted_cas = fixture->cas;
    bool is_accepted = peer_check_verify(&check, &rules, chain, &alert);
    assert_string_equal(check.detail, expected->detail ? expected->detail : "");
    assert_int_equal(check.reason, expected->reason);
    assert_int_equal(check.lacks_issuer, expected->lacks_issuer);
    assert_int_equal(is_accepted, expected->reason == END_NONE);
    if (is_accepted)
        assert_int_equal(check.identity != NULL, count > 0);
    else
        assert_int_equal(alert, expected->alert);
    peer_check_deinit(&check);
    sk_X509_free(chain);
}

/* A certificate of our CA. */
static void check_leaf(struct fixture *fixture, const struct pki_profile *profile,
                       const struct expectation *expected)
{
    struct pki_pair leaf = pki_issue(profile, &fixture->ca);

    check_chain(fixture, &leaf.certificate, 1, expected);
    pki_pair_free(&leaf);
}

static const struct pki_profile client = { .subject = { { NID_commonName, "client", 0 } },
                                           .extended_key_usage = "clientAuth" };

static const struct pki_profile server = {
    .subject = { { NID_commonName, "aggregator", 0 } },
    .alternatives = { { GEN_DNS, "aggregator.example", 0 },
                      { GEN_DNS, "*.logs.example", 0 },
                      { GEN_IPADD, "\xc0\x00\x02\x01", 4 },
                      { GEN_IPADD, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16 },
                      { GEN_URI, "spiffe://aggregator", 0 } },
    .extended_key_usage = "serverAuth",
};

static const struct pki_profile cn_only_server = { .subject = { { NID_commonName, "Aggregator", 0 } },
                                                   .extended_key_usage = "serverAuth" };

/* ---- chains ---- */

static void test_accepts_a_client_of_our_ca(void **state)
{
    check_leaf(*state, &client, &(struct expectation) { .rules.role = TLS_SERVER });
}

static void test_accepts_a_certificate_without_extended_usage(void **state)
{
    struct pki_profile profile = client;

    profile.extended_key_usage = NULL;
    check_leaf(*state, &profile, &(struct expectation) { .rules.role = TLS_SERVER });
}

static void test_refuses_an_expired_certificate(void **state)
{
    struct pki_profile profile = client;

    profile.not_before = PKI_YEAR_2000 - 86400;
    profile.not_after = PKI_YEAR_2000;
    check_leaf(*state, &profile,
               &(struct expectation) { .rules.role = TLS_SERVER,
                                       .reason = END_CERTIFICATE_EXPIRED,
                                       .alert = SSL_AD_CERTIFICATE_EXPIRED,
                                       .detail = "certificate CN=client expired at 2000-01-01T00:00:00Z" });
}

static void test_refuses_a_certificate_that_is_not_valid_yet(void **state)
{
    struct pki_profile profile = client;

    profile.not_before = PKI_YEAR_2099;
    profile.not_after = PKI_YEAR_2099 + 86400;
    check_leaf(
        *state, &profile,
        &(struct expectation) { .rules.role = TLS_SERVER,
                                .reason = END_CERTIFICATE_EXPIRED,
                                .alert = SSL_AD_CERTIFICATE_EXPIRED,
                                .detail = "certificate CN=client is not valid before 2099-01-01T00:00:00Z" });
}

static void test_refuses_the_wrong_usage(void **state)
{
    check_leaf(*state, &server,
               &(struct expectation) { .rules.role = TLS_SERVER,
                                       .reason = END_CERTIFICATE_USAGE,
                                       .alert = SSL_AD_UNSUPPORTED_CERTIFICATE,
                                       .detail = "certificate CN=aggregator is not meant for a TLS client" });
    check_leaf(*state, &client,
               &(struct expectation) { .rules.role = TLS_CLIENT,
                                       .server_name = "client",
                                       .reason = END_CERTIFICATE_USAGE,
                                       .alert = SSL_AD_UNSUPPORTED_CERTIFICATE,
                                       .detail = "certificate CN=client is not meant for a TLS server" });
}

static void test_refuses_another_ca(void **state)
{
    struct fixture *fixture = *state;
    struct pki_pair leaf = pki_issue(&client, &fixture->other_ca);
    X509 *chain[] = { leaf.certificate, fixture->other_ca.certificate };
    struct expectation expected = {
        .rules.role = TLS_SERVER,
        .reason = END_CERTIFICATE_UNKNOWN_CA,
        .alert = SSL_AD_UNKNOWN_CA,
        .detail = "certificate CN=client is issued by CN=another CA, which is not in our CA file",
        .lacks_issuer = true,
    };

    check_chain(fixture, chain, 1, &expected);
    expected.lacks_issuer = false;
    expected.detail = "the chain ends at CN=another CA, which is not in our CA file";
    check_chain(fixture, chain, 2, &expected);
    pki_pair_free(&leaf);
}

static void test_refuses_a_self_signed_certificate(void **state)
{
    struct pki_pair leaf = pki_issue(&client, NULL);

    check_chain(*state, &leaf.certificate, 1,
                &(struct expectation) { .rules.role = TLS_SERVER,
                                        .reason = END_CERTIFICATE_UNKNOWN_CA,
                                        .alert = SSL_AD_UNKNOWN_CA,
                                        .detail = "certificate CN=client is self-signed" });
    pki_pair_free(&leaf);
}

/* A CA that was recreated with the same name. */
static void test_refuses_a_ca_of_the_same_name(void **state)
{
    struct pki_pair impostor = pki_issue_ca("our CA");
    struct pki_pair leaf = pki_issue(&client, &impostor);

    check_chain(*state, &leaf.certificate, 1,
                &(struct expectation) {
                    .rules.role = TLS_SERVER,
                    .reason = END_CERTIFICATE_UNKNOWN_CA,
                    .alert = SSL_AD_UNKNOWN_CA,
                    .detail = "certificate CN=client is issued by CN=our CA, which is not in our CA file" });
    pki_pair_free(&leaf);
    pki_pair_free(&impostor);
}

static void test_refuses_a_leaf_that_acts_as_ca(void **state)
{
    struct fixture *fixture = *state;
    struct pki_pair leaf = pki_issue(&client, &fixture->ca);
    struct pki_pair forged =
        pki_issue(&(struct pki_profile) { .subject = { { NID_commonName, "forged", 0 } } }, &leaf);
    X509 *chain[] = { forged.certificate, leaf.certificate };

    check_chain(fixture, chain, 2,
                &(struct expectation) { .rules.role = TLS_SERVER,
                                        .reason = END_CERTIFICATE_INVALID,
                                        .alert = SSL_AD_UNKNOWN_CA,
                                        .detail = "certificate CN=client: invalid CA certificate" });
    pki_pair_free(&forged);
    pki_pair_free(&leaf);
}

static void test_accepts_an_intermediate_that_the_peer_sends(void **state)
{
    struct fixture *fixture = *state;
    struct pki_pair middle = pki_issue(
        &(struct pki_profile) { .subject = { { NID_commonName, "middle", 0 } }, .is_ca = 1 }, &fixture->ca);
    struct pki_pair leaf = pki_issue(&client, &middle);
    X509 *chain[] = { leaf.certificate, middle.certificate };
    struct expectation expected = { .rules.role = TLS_SERVER };

    check_chain(fixture, chain, 2, &expected);
    expected.reason = END_CERTIFICATE_UNKNOWN_CA;
    expected.alert = SSL_AD_UNKNOWN_CA;
    expected.detail = "certificate CN=client is issued by CN=middle, which is not in our CA file";
    expected.lacks_issuer = true;
    check_chain(fixture, chain, 1, &expected);
    pki_pair_free(&leaf);
    pki_pair_free(&middle);
}

static void test_refuses_a_peer_without_certificate(void **state)
{
    check_chain(*state, NULL, 0,
                &(struct expectation) { .rules.role = TLS_SERVER,
                                        .reason = END_CERTIFICATE_MISSING,
                                        .alert = SSL_AD_CERTIFICATE_REQUIRED,
                                        .detail = "the peer sent no certificate" });
}

static void test_refuses_a_weak_certificate_unless_allowed(void **state)
{
    struct pki_profile profile = client;
    struct expectation expected = {
        .rules.role = TLS_SERVER,
        .reason = END_CERTIFICATE_WEAK,
        .alert = SSL_AD_BAD_CERTIFICATE,
        .detail = "certificate CN=client is signed with ecdsa-with-SHA1",
    };

    profile.digest = EVP_sha1();
    check_leaf(*state, &profile, &expected);
    check_leaf(*state, &profile,
               &(struct expectation) { .rules = { .role = TLS_SERVER, .allow_weak = true } });
}

/* ---- the server's name ---- */

static void test_matches_dns_names_and_addresses(void **state)
{
    static const char *const names[] = { "aggregator.example", "AGGREGATOR.example", "aggregator.example.",
                                         "a.logs.example",     "192.0.2.1",          "2001:db8::1",
                                         "2001:0db8:0::1" };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        check_leaf(*state, &server,
                   &(struct expectation) { .rules.role = TLS_CLIENT, .server_name = names[i] });
}

static void assert_name_refused(void **state, const char *server_name, const char *detail)
{
    check_leaf(*state, &server,
               &(struct expectation) { .rules = { .role = TLS_CLIENT, .allow_cn_as_name = true },
                                       .server_name = server_name,
                                       .reason = END_CERTIFICATE_NAME,
                                       .alert = SSL_AD_BAD_CERTIFICATE,
                                       .detail = detail });
}

static void test_refuses_other_names_and_lists_the_names_found(void **state)
{
#define FOUND "but for: aggregator.example, *.logs.example, 192.0.2.1, 2001:db8::1"
    assert_name_refused(state, "other.example", "certificate CN=aggregator is not for other.example, " FOUND);
    assert_name_refused(state, "192.0.2.2", "certificate CN=aggregator is not for 192.0.2.2, " FOUND);
    assert_name_refused(state, "a.b.logs.example",
                        "certificate CN=aggregator is not for a.b.logs.example, " FOUND);
    /* A CN never counts beside a SAN, even if the option is set. */
    assert_name_refused(state, "aggregator", "certificate CN=aggregator is not for aggregator, " FOUND);
    assert_name_refused(state, NULL, "no server name was given to compare with");
}

static void test_diagnoses_a_certificate_without_san(void **state)
{
    struct expectation expected = {
        .rules.role = TLS_CLIENT,
        .server_name = "aggregator",
        .reason = END_CERTIFICATE_NAME,
        .alert = SSL_AD_BAD_CERTIFICATE,
        .detail = "certificate has no subjectAltName; its CN is \"Aggregator\": --server-name Aggregator "
                  "together with --allow-cn-as-name would accept it",
    };

    check_leaf(*state, &cn_only_server, &expected);
    expected.rules.allow_cn_as_name = true;
    expected.server_name = "192.0.2.1";
    check_leaf(*state, &cn_only_server, &expected);
}

static void test_accepts_the_cn_if_the_option_is_set(void **state)
{
    struct expectation expected = { .rules = { .role = TLS_CLIENT, .allow_cn_as_name = true },
                                    .server_name = "aggregator" };

    check_leaf(*state, &cn_only_server, &expected);
    expected.server_name = "aggregator.";
    check_leaf(*state, &cn_only_server, &expected);
}

static void test_accepts_no_wildcard_in_the_cn(void **state)
{
    struct pki_profile profile = cn_only_server;

    profile.subject[0] = (struct pki_name) { NID_commonName, "*.example", 0 };
    check_leaf(*state, &profile,
               &(struct expectation) {
                   .rules = { .role = TLS_CLIENT, .allow_cn_as_name = true },
                   .server_name = "a.example",
                   .reason = END_CERTIFICATE_NAME,
                   .alert = SSL_AD_BAD_CERTIFICATE,
                   .detail = "certificate has no subjectAltName; its CN is \"*.example\": --server-name "
                             "*.example together with --allow-cn-as-name would accept it" });
}

static void test_ignores_the_cn_beside_a_san_of_another_kind(void **state)
{
    struct pki_profile profile = cn_only_server;

    profile.alternatives[0] = (struct pki_name) { GEN_URI, "spiffe://aggregator", 0 };
    check_leaf(*state, &profile,
               &(struct expectation) {
                   .rules = { .role = TLS_CLIENT, .allow_cn_as_name = true },
                   .server_name = "aggregator",
                   .reason = END_CERTIFICATE_NAME,
                   .alert = SSL_AD_BAD_CERTIFICATE,
                   .detail =
                       "certificate CN=Aggregator has no name of a server, but the URI spiffe://aggregator: "
                       "--allow-server-uri spiffe://aggregator together with --ignore-server-name would "
                       "accept it" });
}

static void test_ignores_a_cn_with_a_nul(void **state)
{
    struct pki_profile profile = cn_only_server;

    profile.subject[0] = (struct pki_name) { NID_commonName, "aggregator\0.evil", 16 };
    check_leaf(
        *state, &profile,
        &(struct expectation) {
            .rules = { .role = TLS_CLIENT, .allow_cn_as_name = true },
            .server_name = "aggregator",
            .reason = END_CERTIFICATE_NAME,
            .alert = SSL_AD_BAD_CERTIFICATE,
            .detail = "certificate CN=aggregator\\00.evil is not for aggregator, but for: no name at all" });
}

/* ---- the policy ---- */

static void test_policy_decides_after_the_chain(void **state)
{
    struct peer_policy policy = { 0 };
    struct fault fault;
    struct expectation expected = { .rules = { .role = TLS_SERVER, .policy = &policy },
                                    .reason = END_NOT_ALLOWED,
                                    .alert = SSL_AD_ACCESS_DENIED,
                                    .detail =
                                        "no --allow-* setting admits a name of the certificate: cn:client" };

    check_leaf(*state, &client, &expected);
    assert_true(peer_policy_add(&policy, PEER_RULE_CN, "client", &fault));
    expected.reason = END_NONE;
    expected.detail = NULL;
    check_leaf(*state, &client, &expected);
    assert_true(peer_policy_deny(&policy, PEER_RULE_CN, "cli*", &fault));
    expected.reason = END_NOT_ALLOWED;
    expected.detail = "--deny-cn cli* denies a name of the certificate: cn:client";
    check_leaf(*state, &client, &expected);
    peer_policy_deinit(&policy);
}

static void test_a_client_judges_the_name_of_the_server_and_then_the_policy(void **state)
{
    struct peer_policy policy = { 0 };
    struct fault fault;
    struct expectation expected = { .rules = { .role = TLS_CLIENT, .policy = &policy },
                                    .server_name = "elsewhere",
                                    .reason = END_CERTIFICATE_NAME,
                                    .detail = "certificate CN=aggregator is not for elsewhere, " FOUND,
                                    .alert = SSL_AD_BAD_CERTIFICATE };

    assert_non_null(peer_policy_add(&policy, PEER_RULE_CN, "aggregator", &fault));
    check_leaf(*state, &server, &expected);
    expected.rules.ignores_name = true;
    expected.reason = END_NONE;
    expected.detail = NULL;
    check_leaf(*state, &server, &expected);
    expected.server_name = NULL;
    check_leaf(*state, &server, &expected);
    peer_policy_deinit(&policy);
    expected.reason = END_NOT_ALLOWED;
    expected.detail = "no --allow-server-* setting admits a name of the certificate: cn:aggregator, "
                      "dns:aggregator.example, dns:*.logs.example, uri:spiffe://aggregator";
    expected.alert = SSL_AD_ACCESS_DENIED;
    check_leaf(*state, &server, &expected);
}

static void test_the_policy_decides_about_a_peer_without_certificate(void **state)
{
    struct peer_policy policy = { 0 };
    struct fault fault;
    struct expectation expected = { .rules = { .role = TLS_SERVER, .policy = &policy },
                                    .reason = END_CERTIFICATE_MISSING,
                                    .alert = SSL_AD_CERTIFICATE_REQUIRED,
                                    .detail = "the peer sent no certificate" };

    assert_non_null(peer_policy_add(&policy, PEER_RULE_VERIFIED, NULL, &fault));
    check_chain(*state, NULL, 0, &expected);
    expected.rules.allows_anonymous = true;
    check_chain(*state, NULL, 0, &expected);
    assert_non_null(peer_policy_add(&policy, PEER_RULE_ANONYMOUS, NULL, &fault));
    expected.rules.allows_anonymous = false;
    check_chain(*state, NULL, 0, &expected);
    expected = (struct expectation) { .rules = expected.rules };
    expected.rules.allows_anonymous = true;
    check_chain(*state, NULL, 0, &expected);
    peer_policy_deinit(&policy);
}

static void test_a_second_check_replaces_the_first(void **state)
{
    struct fixture *fixture = *state;
    struct pki_pair leaf = pki_issue(&client, &fixture->ca), foreign = pki_issue(&client, NULL);
    STACK_OF(X509) *chain = sk_X509_new_null();
    struct peer_check check = { 0 };
    struct peer_check_rules rules = { .role = TLS_SERVER, .trusted_cas = fixture->cas };
    uint8_t alert;

    sk_X509_push(chain, foreign.certificate);
    assert_false(peer_check_verify(&check, &rules, chain, &alert));
    assert_null(check.identity);
    sk_X509_set(chain, 0, leaf.certificate);
    assert_true(peer_check_verify(&check, &rules, chain, &alert));
    assert_int_equal(check.reason, END_NONE);
    assert_string_equal(check.detail, "");
    assert_non_null(check.identity);
    sk_X509_set(chain, 0, foreign.certificate);
    assert_false(peer_check_verify(&check, &rules, chain, &alert));
    assert_null(check.identity);
    peer_check_deinit(&check);
    sk_X509_free(chain);
    pki_pair_free(&leaf);
    pki_pair_free(&foreign);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts_a_client_of_our_ca),
        cmocka_unit_test(test_accepts_a_certificate_without_extended_usage),
        cmocka_unit_test(test_refuses_an_expired_certificate),
        cmocka_unit_test(test_refuses_a_certificate_that_is_not_valid_yet),
        cmocka_unit_test(test_refuses_the_wrong_usage),
        cmocka_unit_test(test_refuses_another_ca),
        cmocka_unit_test(test_refuses_a_self_signed_certificate),
        cmocka_unit_test(test_refuses_a_ca_of_the_same_name),
        cmocka_unit_test(test_refuses_a_leaf_that_acts_as_ca),
        cmocka_unit_test(test_accepts_an_intermediate_that_the_peer_sends),
        cmocka_unit_test(test_refuses_a_peer_without_certificate),
        cmocka_unit_test(test_refuses_a_weak_certificate_unless_allowed),
        cmocka_unit_test(test_matches_dns_names_and_addresses),
        cmocka_unit_test(test_refuses_other_names_and_lists_the_names_found),
        cmocka_unit_test(test_diagnoses_a_certificate_without_san),
        cmocka_unit_test(test_accepts_the_cn_if_the_option_is_set),
        cmocka_unit_test(test_accepts_no_wildcard_in_the_cn),
        cmocka_unit_test(test_ignores_the_cn_beside_a_san_of_another_kind),
        cmocka_unit_test(test_ignores_a_cn_with_a_nul),
        cmocka_unit_test(test_policy_decides_after_the_chain),
        cmocka_unit_test(test_the_policy_decides_about_a_peer_without_certificate),
        cmocka_unit_test(test_a_client_judges_the_name_of_the_server_and_then_the_policy),
        cmocka_unit_test(test_a_second_check_replaces_the_first),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
