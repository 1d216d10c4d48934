/* proxy/trust/svid_bundles.c, and how trust/peer_check.c uses the bundles. */
#include "support/pki.h"
#include "trust/peer_check.h"
#include "trust/svid_bundles.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

static const struct pki_profile svid = {
    .alternatives = { { GEN_URI, "spiffe://a.example/agent", 0 } },
    .key_usage = "critical,digitalSignature",
    .extended_key_usage = "clientAuth,serverAuth",
};

struct fixture {
    struct pki_pair own, other;
    struct svid_bundles *bundles; /* a.example: own, b.example: other */
};

static void bundle_add(struct svid_bundles *bundles, const char *domain, X509 *ca)
{
    uint8_t *der = NULL;
    int length = i2d_X509(ca, &der);
    struct fault fault;

    assert_true(length > 0 && svid_bundles_add(bundles, domain, der, (size_t)length, &fault));
    OPENSSL_free(der);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    fixture->own = pki_issue_ca("own");
    fixture->other = pki_issue_ca("other");
    fixture->bundles = svid_bundles_new();
    bundle_add(fixture->bundles, "a.example", fixture->own.certificate);
    bundle_add(fixture->bundles, "b.example", fixture->other.certificate);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    svid_bundles_free(fixture->bundles);
    pki_pair_free(&fixture->own);
    pki_pair_free(&fixture->other);
    free(fixture);
    return 0;
}

static void bundles_are_found_by_trust_domain(void **state)
{
    const struct fixture *fixture = *state;
    STACK_OF(X509) *all = svid_bundles_all(fixture->bundles);

    assert_string_equal(svid_bundles_own_domain(fixture->bundles), "a.example");
    assert_int_equal(sk_X509_num(svid_bundles_find(fixture->bundles, "b.example")), 1);
    assert_null(svid_bundles_find(fixture->bundles, "c.example"));
    assert_int_equal(sk_X509_num(all), 2);
    sk_X509_pop_free(all, X509_free);
}

static void the_first_bundle_of_a_trust_domain_stays(void **state)
{
    const struct fixture *fixture = *state;

    bundle_add(fixture->bundles, "a.example", fixture->other.certificate);
    X509 *ca = sk_X509_value(svid_bundles_find(fixture->bundles, "a.example"), 0);
    assert_int_equal(X509_cmp(ca, fixture->own.certificate), 0);
}

static void what_is_no_list_of_cas_is_no_bundle(void **state)
{
    const struct fixture *fixture = *state;
    struct pki_pair leaf = pki_issue(&svid, &fixture->own);
    uint8_t *der = NULL;
    size_t length = (size_t)i2d_X509(leaf.certificate, &der);
    struct fault fault;

    assert_false(svid_bundles_add(fixture->bundles, "c.example", der, length, &fault));
    assert_string_equal(fault.text, "certificate uri:spiffe://a.example/agent is not a CA certificate");
    assert_false(svid_bundles_add(fixture->bundles, "c.example", der, length - 1, &fault));
    assert_int_equal(strncmp(fault.text, "certificate 1 cannot be read: ", 30), 0);
    assert_false(svid_bundles_add(fixture->bundles, "c.example", der, 0, &fault));
    assert_string_equal(fault.text, "no certificate");
    assert_null(svid_bundles_find(fixture->bundles, "c.example"));
    OPENSSL_free(der);
    pki_pair_free(&leaf);
}

/* ---- leaves ---- */

static void check_leaf(const struct pki_profile *profile, const char *expected)
{
    char id[SPIFFE_ID_BYTES], domain[SPIFFE_DOMAIN_BYTES];
    struct pki_pair leaf = pki_issue(profile, NULL);
    struct fault fault = { .text = "" };

    assert_int_equal(svid_bundles_read_leaf(leaf.certificate, id, domain, &fault), expected == NULL);
    assert_string_equal(fault.text, expected ? expected : "");
    if (!expected)
        assert_string_equal(domain, "a.example");
    pki_pair_free(&leaf);
}

static void a_leaf_has_one_id_and_signs_nothing(void **state)
{
    static const char signs[] = "the keyUsage of an X.509-SVID has no keyCertSign and no cRLSign";
    struct pki_profile profile = svid;

    (void)state;
    check_leaf(&profile, NULL);
    profile.key_usage = NULL;
    check_leaf(&profile, NULL);
    profile.key_usage = "critical,digitalSignature,cRLSign";
    check_leaf(&profile, signs);
    profile.key_usage = "critical,digitalSignature,keyCertSign";
    check_leaf(&profile, signs);
    profile = svid;
    profile.is_ca = 1;
    check_leaf(&profile, "a CA certificate is not the X.509-SVID of a workload");
    profile = svid;
    profile.alternatives[1] = (struct pki_name) { GEN_DNS, "agent", 0 };
    check_leaf(&profile, NULL);
    profile.alternatives[1] = (struct pki_name) { GEN_URI, "spiffe://a.example/agent", 0 };
    check_leaf(&profile, "an X.509-SVID has exactly one URI, this certificate has 2");
    profile.alternatives[0] = profile.alternatives[1] = (struct pki_name) { GEN_DNS, "agent", 0 };
    check_leaf(&profile, "an X.509-SVID has exactly one URI, this certificate has 0");
    profile = svid;
    profile.alternatives[0] = (struct pki_name) { GEN_URI, "spiffe://a.example", 0 };
    check_leaf(&profile, "\"spiffe://a.example\" is not the SPIFFE ID of a workload");
    profile.alternatives[0] = (struct pki_name) { GEN_URI, "spiffe://a.example/agent\0x", 26 };
    check_leaf(&profile, "\"\" is not the SPIFFE ID of a workload");
}

/* ---- peers ---- */

static void check_peer(const struct fixture *fixture, enum tls_role role, const char *id,
                       const struct pki_pair *ca, enum end_reason expected)
{
    const struct peer_check_rules rules = { .role = role, .bundles = fixture->bundles };
    struct peer_check check = { .server_name = "no.such.name" };
    struct pki_profile profile = svid;
    STACK_OF(X509) *chain = sk_X509_new_null();
    uint8_t alert = 0;

    profile.alternatives[0] = (struct pki_name) { GEN_URI, id, 0 };
    struct pki_pair leaf = pki_issue(&profile, ca);
    sk_X509_push(chain, leaf.certificate);
    assert_int_equal(peer_check_verify(&check, &rules, chain, &alert), expected == END_NONE);
    assert_int_equal(check.reason, expected);
    assert_int_equal(alert != 0, expected != END_NONE);
    peer_check_deinit(&check);
    sk_X509_free(chain);
    pki_pair_free(&leaf);
}

static void a_peer_is_verified_with_the_bundle_of_its_trust_domain(void **state)
{
    const struct fixture *f = *state;

    check_peer(f, TLS_SERVER, "spiffe://a.example/x", &f->own, END_NONE);
    check_peer(f, TLS_SERVER, "spiffe://b.example/x", &f->other, END_NONE);
    check_peer(f, TLS_SERVER, "spiffe://b.example/x", &f->own, END_CERTIFICATE_UNKNOWN_CA);
    check_peer(f, TLS_SERVER, "spiffe://a.example/x", &f->other, END_CERTIFICATE_UNKNOWN_CA);
    check_peer(f, TLS_SERVER, "spiffe://c.example/x", &f->own, END_CERTIFICATE_UNKNOWN_CA);
    check_peer(f, TLS_SERVER, "https://a.example/x", &f->own, END_CERTIFICATE_INVALID);
}

static void a_server_is_of_our_trust_domain_whatever_its_name(void **state)
{
    const struct fixture *f = *state;

    check_peer(f, TLS_CLIENT, "spiffe://a.example/x", &f->own, END_NONE);
    check_peer(f, TLS_CLIENT, "spiffe://b.example/x", &f->other, END_CERTIFICATE_NAME);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bundles_are_found_by_trust_domain, setup, teardown),
        cmocka_unit_test_setup_teardown(the_first_bundle_of_a_trust_domain_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_list_of_cas_is_no_bundle, setup, teardown),
        cmocka_unit_test(a_leaf_has_one_id_and_signs_nothing),
        cmocka_unit_test_setup_teardown(a_peer_is_verified_with_the_bundle_of_its_trust_domain, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_server_is_of_our_trust_domain_whatever_its_name, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
