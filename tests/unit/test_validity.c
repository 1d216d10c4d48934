/* proxy/trust/validity.c: which certificate ends first. */
#include "support/pki.h"
#include "trust/validity.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <openssl/nid.h>

enum { NOW = 1000000 };

/* A CA that ends at `end`; `owner` NULL: a new one, else another version of it. */
static struct pki_pair ca_until(int64_t end, const char *cn, const struct pki_pair *owner)
{
    struct pki_profile profile = {
        .subject = { { NID_commonName, cn, 0 } }, .not_before = 1, .not_after = end, .is_ca = 1
    };

    return owner ? pki_issue_again(owner, &profile, NULL) : pki_issue(&profile, NULL);
}

static void check(const int64_t *ends, size_t count, int64_t first, int64_t last)
{
    STACK_OF(X509) *chain = sk_X509_new_null(), *cas = sk_X509_new_null();
    struct pki_pair leaf = ca_until(NOW + 5, "leaf", NULL), pairs[4];

    sk_X509_push(chain, leaf.certificate);
    for (size_t i = 0; i < count; i++) {
        pairs[i] = ca_until(ends[i], "CA", NULL);
        sk_X509_push(cas, pairs[i].certificate);
        sk_X509_push(chain, pairs[i].certificate);
    }
    struct validity validity = validity_of(chain, cas, NOW);
    assert_int_equal(validity.leaf, NOW + 5);
    assert_int_equal(validity.leaf_begin, 1);
    assert_int_equal(validity.first_ca, first);
    assert_int_equal(validity.intermediates, first);
    assert_int_equal(validity.last_ca, last);
    for (size_t i = 0; i < count; i++)
        pki_pair_free(&pairs[i]);
    pki_pair_free(&leaf);
    sk_X509_free(chain);
    sk_X509_free(cas);
}

static void test_the_first_end_counts_unless_it_is_past(void **state)
{
    (void)state;
    check((const int64_t[]) { NOW + 20, NOW + 10, NOW + 30 }, 3, NOW + 10, NOW + 30);
    check((const int64_t[]) { NOW - 1, NOW + 20 }, 2, NOW + 20, NOW + 20);
    check((const int64_t[]) { NOW }, 1, NOW, NOW);
    check(NULL, 0, 0, 0);
}

static void test_a_later_version_takes_the_place_of_an_earlier_one(void **state)
{
    STACK_OF(X509) *chain = sk_X509_new_null(), *cas = sk_X509_new_null();
    struct pki_pair old = ca_until(NOW + 10, "CA", NULL), successor = ca_until(NOW + 90, "CA", &old);
    struct pki_pair renamed = ca_until(NOW + 50, "another CA", &old);

    (void)state;
    sk_X509_push(chain, old.certificate);
    sk_X509_push(cas, old.certificate);
    sk_X509_push(cas, renamed.certificate);
    sk_X509_push(cas, successor.certificate);
    assert_int_equal(validity_of(chain, cas, NOW).first_ca, NOW + 50);
    pki_pair_free(&old);
    pki_pair_free(&successor);
    pki_pair_free(&renamed);
    sk_X509_free(chain);
    sk_X509_free(cas);
}

static void test_the_certificate_that_ends_first_counts(void **state)
{
    const struct validity a = { .leaf = NOW + 5,
                                .leaf_begin = 1,
                                .intermediates = 0,
                                .first_ca = NOW + 9,
                                .last_ca = NOW + 9 },
                          b = { .leaf = NOW + 4,
                                .leaf_begin = 2,
                                .intermediates = NOW + 7,
                                .first_ca = NOW + 9,
                                .last_ca = NOW + 9 };
    const struct validity joined[] = { validity_join(a, b), validity_join(b, a) };

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(joined[i].leaf, NOW + 4);
        assert_int_equal(joined[i].leaf_begin, 2);
        assert_int_equal(joined[i].intermediates, NOW + 7);
        assert_int_equal(joined[i].first_ca, NOW + 9);
        assert_int_equal(joined[i].last_ca, NOW + 9);
    }
}

static void test_the_next_end_is_of_our_own_chain_and_not_past(void **state)
{
    const struct validity both = { .leaf = 50, .intermediates = 40, .first_ca = 10, .last_ca = 10 };
    const struct validity leaf = { .leaf = 50 };

    (void)state;
    assert_int_equal(validity_next_end(&both, 39), 40);
    assert_int_equal(validity_next_end(&both, 40), 50);
    assert_int_equal(validity_next_end(&both, 50), 0);
    assert_int_equal(validity_next_end(&leaf, 0), 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_end_counts_unless_it_is_past),
        cmocka_unit_test(test_a_later_version_takes_the_place_of_an_earlier_one),
        cmocka_unit_test(test_the_certificate_that_ends_first_counts),
        cmocka_unit_test(test_the_next_end_is_of_our_own_chain_and_not_past),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
