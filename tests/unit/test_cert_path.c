/* proxy/trust/cert_path.c: which path is found among several, which fault is reported, and how long it
 * searches. */
#include "support/pki.h"
#include "trust/cert_path.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <openssl/nid.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>

enum { PAIRS_MAX = 130 };

/* The certificates of one test: made in any order, then filed as CAs or as the peer's chain. */
struct site {
    size_t count;
    struct pki_pair pairs[PAIRS_MAX];
    STACK_OF(X509) * cas, *chain;
};

static void site_open(struct site *site)
{
    *site = (struct site) { .cas = sk_X509_new_null(), .chain = sk_X509_new_null() };
}

static void site_close(struct site *site)
{
    for (size_t i = 0; i < site->count; i++)
        pki_pair_free(&site->pairs[i]);
    sk_X509_free(site->cas);
    sk_X509_free(site->chain);
}

static struct pki_pair *keep(struct site *site, struct pki_pair pair)
{
    assert_true(site->count < PAIRS_MAX);
    site->pairs[site->count] = pair;
    return &site->pairs[site->count++];
}

static struct pki_profile ca_profile(const char *cn)
{
    return (struct pki_profile) { .subject = { { NID_commonName, cn, 0 } }, .is_ca = 1 };
}

static struct pki_pair *make_ca(struct site *site, const char *cn, const struct pki_pair *issuer)
{
    struct pki_profile profile = ca_profile(cn);

    return keep(site, pki_issue(&profile, issuer));
}

/* A CA whose certificates do not say which key signed them. */
static struct pki_pair *make_plain_ca(struct site *site, const char *cn, const struct pki_pair *issuer)
{
    struct pki_profile profile = ca_profile(cn);

    profile.has_no_key_identifiers = 1;
    return keep(site, pki_issue(&profile, issuer));
}

/* Another certificate of the CA `owner`: same name, same key. */
static struct pki_pair *make_again(struct site *site, const char *cn, const struct pki_pair *owner,
                                   const struct pki_pair *issuer)
{
    struct pki_profile profile = ca_profile(cn);

    return keep(site, pki_issue_again(owner, &profile, issuer));
}

static struct pki_pair *make_expired(struct site *site, const char *cn, const struct pki_pair *owner,
                                     const struct pki_pair *issuer)
{
    struct pki_profile profile = ca_profile(cn);

    profile.not_before = PKI_YEAR_2000 - 1;
    profile.not_after = PKI_YEAR_2000;
    return keep(site, pki_issue_again(owner, &profile, issuer));
}

static struct pki_pair *make_leaf(struct site *site, const struct pki_pair *issuer)
{
    return keep(site,
                pki_issue(&(struct pki_profile) { .subject = { { NID_commonName, "leaf", 0 } } }, issuer));
}

static struct pki_pair *make_plain_leaf(struct site *site, const struct pki_pair *issuer)
{
    return keep(site, pki_issue(&(struct pki_profile) { .subject = { { NID_commonName, "leaf", 0 } },
                                                        .has_no_key_identifiers = 1 },
                                issuer));
}

static void put(STACK_OF(X509) * stack, const struct pki_pair *pair)
{
    assert_true(sk_X509_push(stack, pair->certificate));
}

static void assert_found(const struct site *site)
{
    const struct cert_path_rules rules = { .trusted_cas = site->cas, .purpose = X509_PURPOSE_SSL_CLIENT };
    struct cert_path_failure failure = { 0 };
    int64_t not_after;

    if (!cert_path_find(site->chain, &rules, &not_after, &failure))
        fail_msg("%s", X509_verify_cert_error_string(failure.error));
}

static void assert_refused(const struct site *site, int error, const struct pki_pair *culprit)
{
    const struct cert_path_rules rules = { .trusted_cas = site->cas, .purpose = X509_PURPOSE_SSL_CLIENT };
    struct cert_path_failure failure = { 0 };
    int64_t not_after;

    assert_false(cert_path_find(site->chain, &rules, &not_after, &failure));
    assert_string_equal(X509_verify_cert_error_string(failure.error), X509_verify_cert_error_string(error));
    assert_ptr_equal(failure.certificate, culprit->certificate);
}

/* ---- when the path ends ---- */

/* Another certificate of the CA `owner`, which ends at `not_after`. */
static struct pki_pair *make_until(struct site *site, const char *cn, int64_t not_after,
                                   const struct pki_pair *owner, const struct pki_pair *issuer)
{
    struct pki_profile profile = ca_profile(cn);

    profile.not_before = PKI_YEAR_2000;
    profile.not_after = not_after;
    return keep(site, pki_issue_again(owner, &profile, issuer));
}

static int64_t end_of(const struct site *site)
{
    const struct cert_path_rules rules = { .trusted_cas = site->cas, .purpose = X509_PURPOSE_SSL_CLIENT };
    struct cert_path_failure failure = { 0 };
    int64_t not_after = 0;

    assert_true(cert_path_find(site->chain, &rules, &not_after, &failure));
    return not_after;
}

/* The leaf is valid for a day. */
static void test_the_first_end_of_the_path_counts(void **state)
{
    int64_t now = (int64_t)time(NULL);
    struct site site;

    (void)state;
    site_open(&site);
    struct pki_pair *made = make_ca(&site, "root", NULL);
    struct pki_pair *root = make_until(&site, "root", now + 5000, made, NULL);
    struct pki_pair *middle = make_until(&site, "middle", now + 7000, make_ca(&site, "middle", root), root);
    put(site.chain, make_leaf(&site, middle));
    put(site.chain, middle);
    put(site.cas, middle);
    assert_int_equal(end_of(&site), now + 7000); /* the CA itself counts, and nothing above it */
    sk_X509_set(site.cas, 0, root->certificate);
    assert_int_equal(end_of(&site), now + 5000);
    put(site.cas, made); /* is not on the path that is found first */
    assert_int_equal(end_of(&site), now + 5000);
    site_close(&site);
}

/* ---- several CAs ---- */

static void test_a_renewed_ca_may_stand_on_either_side_of_its_predecessor(void **state)
{
    struct site site;

    (void)state;
    for (int order = 0; order < 2; order++) {
        site_open(&site);
        struct pki_pair *successor = make_ca(&site, "CA", NULL);
        struct pki_pair *old = make_expired(&site, "CA", successor, NULL);
        put(site.cas, order ? old : successor);
        put(site.cas, order ? successor : old);
        put(site.chain, make_leaf(&site, successor));
        assert_found(&site);
        site_close(&site);
    }
}

static void test_cas_of_one_name_are_all_tried(void **state)
{
    struct site site;

    (void)state;
    for (int signer = 0; signer < 3; signer++) {
        site_open(&site);
        for (int i = 0; i < 3; i++)
            put(site.cas, make_plain_ca(&site, "CA", NULL));
        put(site.chain, make_plain_leaf(&site, &site.pairs[signer]));
        assert_found(&site);
        site_close(&site);
    }
}

static void test_a_ca_need_not_be_self_signed(void **state)
{
    struct site site;

    (void)state;
    site_open(&site);
    struct pki_pair *middle = make_ca(&site, "middle", make_ca(&site, "root", NULL));
    put(site.cas, middle);
    put(site.chain, make_leaf(&site, middle));
    assert_found(&site);
    put(site.chain, middle);
    assert_found(&site);
    site_close(&site);
}

static void test_a_peer_may_show_a_ca_itself(void **state)
{
    struct site site;

    (void)state;
    site_open(&site);
    struct pki_pair *root = make_ca(&site, "root", NULL);
    put(site.cas, root);
    put(site.chain, root);
    assert_found(&site);
    site_close(&site);
}

/* ---- several intermediates ---- */

static void test_an_intermediate_that_two_roots_signed(void **state)
{
    struct site site;

    (void)state;
    for (int order = 0; order < 2; order++) {
        site_open(&site);
        struct pki_pair *root = make_ca(&site, "root", NULL), *unknown = make_ca(&site, "unknown", NULL);
        struct pki_pair *middle = make_ca(&site, "middle", root);
        struct pki_pair *crossed = make_again(&site, "middle", middle, unknown);
        put(site.cas, root);
        put(site.chain, make_leaf(&site, middle));
        put(site.chain, order ? middle : crossed);
        put(site.chain, order ? crossed : middle);
        put(site.chain, unknown);
        assert_found(&site);
        site_close(&site);
    }
}

static void test_an_expired_intermediate_beside_its_successor(void **state)
{
    struct site site;

    (void)state;
    site_open(&site);
    struct pki_pair *root = make_ca(&site, "root", NULL), *middle = make_ca(&site, "middle", root);
    put(site.cas, root);
    put(site.chain, make_leaf(&site, middle));
    put(site.chain, make_expired(&site, "middle", middle, root));
    put(site.chain, middle);
    assert_found(&site);
    site_close(&site);
}

static void test_intermediates_and_roots_of_one_name_each(void **state)
{
    struct site site;

    (void)state;
    site_open(&site);
    struct pki_pair *roots[3], *middles[3];
    for (int i = 0; i < 3; i++) {
        roots[i] = make_plain_ca(&site, "root", NULL);
        put(site.cas, roots[i]);
    }
    for (int i = 0; i < 3; i++)
        middles[i] = make_plain_ca(&site, "middle", roots[2 - i]);
    put(site.chain, make_plain_leaf(&site, middles[2]));
    for (int i = 0; i < 3; i++)
        put(site.chain, middles[i]);
    assert_found(&site);
    site_close(&site);
}

static void test_intermediates_may_come_in_any_order_among_unrelated_certificates(void **state)
{
    struct site site;

    (void)state;
    site_open(&site);
    struct pki_pair *root = make_ca(&site, "root", NULL), *upper = make_ca(&site, "upper", root);
    struct pki_pair *lower = make_ca(&site, "lower", upper);
    put(site.cas, root);
    put(site.chain, make_leaf(&site, lower));
    put(site.chain, make_ca(&site, "stranger", NULL));
    put(site.chain, root);
    put(site.chain, upper);
    put(site.chain, lower);
    assert_found(&site);
    site_close(&site);
}

static void test_two_cas_that_signed_each_other_are_no_endless_path(void **state)
{
    struct site site;

    (void)state;
    site_open(&site);
    struct pki_pair *one = make_ca(&site, "one", NULL), *two = make_ca(&site, "two", NULL);
    put(site.cas, make_ca(&site, "root", NULL));
    put(site.chain, make_leaf(&site, one));
    put(site.chain, make_again(&site, "one", one, two));
    struct pki_pair *last = make_again(&site, "two", two, one);
    put(site.chain, last);
    assert_refused(&site, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, last);
    site_close(&site);
}

/* ---- which fault is reported ---- */

static void test_the_fault_nearest_to_the_peer_is_reported(void **state)
{
    struct site site;

    (void)state;
    for (int order = 0; order < 2; order++) {
        site_open(&site);
        struct pki_pair *successor = make_ca(&site, "CA", NULL);
        struct pki_pair *old = make_expired(&site, "CA", successor, NULL);
        struct pki_pair *leaf = make_expired(&site, "leaf", make_leaf(&site, successor), successor);
        put(site.cas, order ? old : successor);
        put(site.cas, order ? successor : old);
        put(site.chain, leaf);
        assert_refused(&site, X509_V_ERR_CERT_HAS_EXPIRED, leaf);
        site_close(&site);
    }
}

static void test_a_ca_that_did_not_sign_is_not_blamed_for_its_age(void **state)
{
    struct site site;

    (void)state;
    site_open(&site);
    struct pki_pair *signer = make_plain_ca(&site, "CA", NULL);
    put(site.cas, make_expired(&site, "CA", make_plain_ca(&site, "CA", NULL), NULL));
    struct pki_pair *leaf = make_plain_leaf(&site, signer);
    put(site.chain, leaf);
    assert_refused(&site, X509_V_ERR_CERT_SIGNATURE_FAILURE, leaf);
    struct pki_pair *old = make_expired(&site, "CA", signer, NULL);
    put(site.cas, old);
    assert_refused(&site, X509_V_ERR_CERT_HAS_EXPIRED, old);
    site_close(&site);
}

static void test_a_ca_that_must_not_sign_certificates_is_named(void **state)
{
    struct site site;
    struct pki_profile profile = ca_profile("CA");

    (void)state;
    site_open(&site);
    profile.key_usage = "digitalSignature";
    struct pki_pair *ca = keep(&site, pki_issue(&profile, NULL));
    put(site.cas, ca);
    put(site.chain, make_leaf(&site, ca));
    assert_refused(&site, X509_V_ERR_KEYUSAGE_NO_CERTSIGN, ca);
    site_close(&site);
}

static void test_without_any_ca_the_longest_path_is_reported(void **state)
{
    struct site site;

    (void)state;
    site_open(&site);
    struct pki_pair *unknown = make_ca(&site, "unknown", NULL), *middle = make_ca(&site, "middle", unknown);
    put(site.cas, make_ca(&site, "root", NULL));
    put(site.chain, make_leaf(&site, middle));
    put(site.chain, middle);
    assert_refused(&site, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, middle);
    put(site.chain, unknown);
    assert_refused(&site, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, unknown);
    site_close(&site);
}

/* ---- strength ---- */

static void test_a_weak_intermediate_is_refused_and_a_strong_one_beside_it_is_found(void **state)
{
    struct site site;
    struct pki_profile profile = ca_profile("middle");

    (void)state;
    site_open(&site);
    profile.digest = EVP_sha1();
    struct pki_pair *root = make_ca(&site, "root", NULL), *weak = keep(&site, pki_issue(&profile, root));
    put(site.cas, root);
    put(site.chain, make_leaf(&site, weak));
    put(site.chain, weak);
    struct cert_path_rules rules = { .trusted_cas = site.cas, .purpose = X509_PURPOSE_SSL_CLIENT };
    struct cert_path_failure failure = { 0 };
    int64_t not_after;
    assert_false(cert_path_find(site.chain, &rules, &not_after, &failure));
    assert_int_equal(failure.error, CERT_PATH_WEAK);
    assert_ptr_equal(failure.certificate, weak->certificate);
    assert_string_equal(failure.flaw, "is signed with ecdsa-with-SHA1");
    rules.allow_weak = true;
    assert_true(cert_path_find(site.chain, &rules, &not_after, &failure));
    put(site.chain, make_again(&site, "middle", weak, root));
    assert_found(&site);
    site_close(&site);
}

static void test_the_ca_itself_may_be_weak(void **state)
{
    struct site site;
    struct pki_profile profile = ca_profile("CA");

    (void)state;
    site_open(&site);
    profile.digest = EVP_sha1();
    struct pki_pair *ca = keep(&site, pki_issue_for(pki_rsa_key_new(1024), &profile, NULL));
    put(site.cas, ca);
    put(site.chain, make_leaf(&site, ca));
    assert_found(&site);
    site_close(&site);
}

/* ---- bounds ---- */

static void test_as_many_issuers_are_tried_as_allowed(void **state)
{
    struct site site;

    (void)state;
    for (size_t strangers = CERT_PATH_ISSUERS_MAX - 1; strangers <= CERT_PATH_ISSUERS_MAX; strangers++) {
        site_open(&site);
        for (size_t i = 0; i < strangers; i++)
            put(site.cas, make_plain_ca(&site, "CA", NULL));
        struct pki_pair *signer = make_plain_ca(&site, "CA", NULL), *leaf = make_plain_leaf(&site, signer);
        put(site.cas, signer);
        put(site.chain, leaf);
        if (strangers < CERT_PATH_ISSUERS_MAX)
            assert_found(&site);
        else
            assert_refused(&site, X509_V_ERR_CERT_CHAIN_TOO_LONG, leaf);
        site_close(&site);
    }
}

/* Each of 40 certificates may have issued each other one: there are more paths than can be walked. */
static void test_a_search_among_too_many_paths_ends(void **state)
{
    struct site site;

    (void)state;
    site_open(&site);
    put(site.cas, make_plain_ca(&site, "root", NULL));
    struct pki_pair *first = make_plain_ca(&site, "maze", NULL), *leaf = make_plain_leaf(&site, first);
    put(site.chain, leaf);
    for (int i = 0; i < 40; i++)
        put(site.chain, make_plain_ca(&site, "maze", NULL));
    assert_refused(&site, X509_V_ERR_CERT_CHAIN_TOO_LONG, leaf);
    site_close(&site);
}

static void test_a_long_path_is_found(void **state)
{
    static char names[60][8];
    struct site site;

    (void)state;
    site_open(&site);
    struct pki_pair *issuer = make_ca(&site, "root", NULL), *path[60];
    put(site.cas, issuer);
    for (int i = 0; i < 60; i++) {
        snprintf(names[i], sizeof names[i], "ca %d", i);
        issuer = path[i] = make_ca(&site, names[i], issuer);
    }
    put(site.chain, make_leaf(&site, issuer));
    for (int i = 60; i-- > 0;)
        put(site.chain, path[i]);
    assert_found(&site);
    site_close(&site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_end_of_the_path_counts),
        cmocka_unit_test(test_a_renewed_ca_may_stand_on_either_side_of_its_predecessor),
        cmocka_unit_test(test_cas_of_one_name_are_all_tried),
        cmocka_unit_test(test_a_ca_need_not_be_self_signed),
        cmocka_unit_test(test_a_peer_may_show_a_ca_itself),
        cmocka_unit_test(test_an_intermediate_that_two_roots_signed),
        cmocka_unit_test(test_an_expired_intermediate_beside_its_successor),
        cmocka_unit_test(test_intermediates_and_roots_of_one_name_each),
        cmocka_unit_test(test_intermediates_may_come_in_any_order_among_unrelated_certificates),
        cmocka_unit_test(test_two_cas_that_signed_each_other_are_no_endless_path),
        cmocka_unit_test(test_the_fault_nearest_to_the_peer_is_reported),
        cmocka_unit_test(test_a_ca_that_did_not_sign_is_not_blamed_for_its_age),
        cmocka_unit_test(test_a_ca_that_must_not_sign_certificates_is_named),
        cmocka_unit_test(test_without_any_ca_the_longest_path_is_reported),
        cmocka_unit_test(test_a_weak_intermediate_is_refused_and_a_strong_one_beside_it_is_found),
        cmocka_unit_test(test_the_ca_itself_may_be_weak),
        cmocka_unit_test(test_as_many_issuers_are_tried_as_allowed),
        cmocka_unit_test(test_a_search_among_too_many_paths_ends),
        cmocka_unit_test(test_a_long_path_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
