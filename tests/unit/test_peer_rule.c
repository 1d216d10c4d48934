/* proxy/trust/peer_rule.c: groups of rules, what an unreadable name does to them, and their explanation. The
 * patterns of names are in test_peer_policy.c. */
#include "trust/peer_policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define SPKI "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char *const ou_values[] = { (char *)"logs" };

/* Its CN is "agent", its OU "logs". Its DNS names cannot be read, and it has no URI. */
static const struct identity agent = { .cn = (char *)"agent",
                                       .ou = { .count = 1, .values = (char **)ou_values },
                                       .dns = { .is_incomplete = true },
                                       .issuer = (char *)"CN=CA",
                                       .spki = "00" };

/* The names with each verdict about the agent. */
static const struct {
    enum peer_rule_kind kind;
    const char *value;
} names[] = {
    [PEER_RULE_NO] = { PEER_RULE_CN, "other" },
    [PEER_RULE_UNKNOWN] = { PEER_RULE_DNS, "agent" },
    [PEER_RULE_YES] = { PEER_RULE_OU, "l*" },
};

static struct peer_rule *part_add(struct peer_rule *group, enum peer_rule_kind kind, const char *value)
{
    struct fault fault;
    struct peer_rule *part = peer_rule_add(group, kind, value, &fault);

    assert_non_null(part);
    return part;
}

static struct peer_rule group_of(enum peer_rule_kind kind)
{
    struct peer_rule group;
    struct fault fault;

    assert_true(peer_rule_init(&group, kind, NULL, &fault));
    return group;
}

static enum peer_rule_verdict verdict_of_two(enum peer_rule_kind kind, enum peer_rule_verdict a,
                                             enum peer_rule_verdict b)
{
    struct peer_rule group = group_of(kind);

    part_add(&group, names[a].kind, names[a].value);
    part_add(&group, names[b].kind, names[b].value);
    enum peer_rule_verdict verdict = peer_rule_judge(&group, &agent);
    peer_rule_deinit(&group);
    return verdict;
}

#define N PEER_RULE_NO
#define U PEER_RULE_UNKNOWN
#define Y PEER_RULE_YES

static void groups_judge_as_kleene_does(void **state)
{
    static const enum peer_rule_verdict any[3][3] = { { N, U, Y }, { U, U, Y }, { Y, Y, Y } },
                                        all[3][3] = { { N, N, N }, { N, U, U }, { N, U, Y } },
                                        none[3][3] = { { Y, U, N }, { U, U, N }, { N, N, N } };

    (void)state;
    for (enum peer_rule_verdict a = N; a <= Y; a++) {
        for (enum peer_rule_verdict b = N; b <= Y; b++) {
            assert_int_equal(verdict_of_two(PEER_RULE_ANY_OF, a, b), any[a][b]);
            assert_int_equal(verdict_of_two(PEER_RULE_ALL_OF, a, b), all[a][b]);
            assert_int_equal(verdict_of_two(PEER_RULE_NOT, a, b), none[a][b]);
        }
    }
}

static void a_group_without_parts_matches_nothing(void **state)
{
    (void)state;
    for (enum peer_rule_kind kind = PEER_RULE_ANY_OF; kind <= PEER_RULE_NOT; kind++) {
        struct peer_rule group = group_of(kind);
        assert_int_equal(peer_rule_judge(&group, &agent), PEER_RULE_NO);
        peer_rule_deinit(&group);
    }
}

/* Each kind of name that cannot be read. */
static void an_unreadable_name_leaves_open_only_its_own_kind(void **state)
{
    static const struct identity_names unread = { .is_incomplete = true };
    static const struct {
        enum peer_rule_kind kind;
        struct identity identity;
    } rows[] = {
        { PEER_RULE_CN, { .cn_is_unreadable = true, .issuer = (char *)"i" } },
        { PEER_RULE_DNS, { .dns = unread, .issuer = (char *)"i" } },
        { PEER_RULE_URI, { .uri = unread, .issuer = (char *)"i" } },
        { PEER_RULE_EMAIL, { .email = unread, .issuer = (char *)"i" } },
        { PEER_RULE_O, { .o = unread, .issuer = (char *)"i" } },
        { PEER_RULE_OU, { .ou = unread, .issuer = (char *)"i" } },
        { PEER_RULE_ISSUER, { .issuer = NULL } },
    };
    const size_t count = sizeof rows / sizeof rows[0];

    (void)state;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < count; k++) {
            struct peer_rule not = group_of(PEER_RULE_NOT);
            const struct peer_rule *name = part_add(&not, rows[k].kind, "x");
            assert_int_equal(peer_rule_judge(name, &rows[i].identity),
                             i == k ? PEER_RULE_UNKNOWN : PEER_RULE_NO);
            assert_int_equal(peer_rule_judge(&not, &rows[i].identity),
                             i == k ? PEER_RULE_UNKNOWN : PEER_RULE_YES);
            peer_rule_deinit(&not);
        }
    }
}

static struct peer_policy policy_of(enum peer_rule_kind kind, enum peer_rule_verdict part)
{
    struct peer_policy policy = { 0 };
    struct fault fault;
    struct peer_rule *rule = peer_policy_add(&policy, kind, NULL, &fault);

    assert_non_null(rule);
    part_add(rule, names[part].kind, names[part].value);
    return policy;
}

static void an_unreadable_name_admits_nobody_and_is_denied(void **state)
{
    struct peer_policy policy = policy_of(PEER_RULE_NOT, PEER_RULE_UNKNOWN);
    struct fault fault;

    (void)state;
    assert_int_equal(peer_policy_judge(&policy, &agent), PEER_RULE_UNKNOWN);
    assert_null(peer_policy_admitter(&policy, &agent));
    peer_policy_deinit(&policy);

    policy = policy_of(PEER_RULE_NOT, PEER_RULE_NO);
    assert_int_equal(peer_policy_judge(&policy, &agent), PEER_RULE_YES);
    assert_ptr_equal(peer_policy_admitter(&policy, &agent), policy.rules);
    assert_non_null(peer_policy_deny(&policy, PEER_RULE_DNS, "test", &fault));
    assert_int_equal(peer_policy_judge(&policy, &agent), PEER_RULE_NO);
    assert_ptr_equal(peer_policy_denier(&policy, &agent), &policy.rules[1]);
    peer_policy_deinit(&policy);
}

static void expect_explanation(const struct peer_rule *rule, const char *expected)
{
    char text[256], cut[8];

    peer_rule_explain(rule, &agent, text, sizeof text);
    assert_string_equal(text, expected);
    peer_rule_explain(rule, &agent, cut, sizeof cut);
    assert_memory_equal(cut, expected, sizeof cut - 1);
    assert_int_equal(cut[sizeof cut - 1], '\0');
}

static void the_names_that_decide_are_explained(void **state)
{
    struct peer_rule all = group_of(PEER_RULE_ALL_OF);
    struct peer_rule *any = part_add(&all, PEER_RULE_ANY_OF, NULL);

    (void)state;
    part_add(any, PEER_RULE_CN, "other");
    part_add(any, PEER_RULE_CN, "a*");
    struct peer_rule *not = part_add(&all, PEER_RULE_NOT, NULL);
    part_add(not, PEER_RULE_URI, "spiffe://td/**");
    part_add(not, PEER_RULE_OU, "test");
    expect_explanation(&all, "cn:agent and no uri matches \"spiffe://td/**\" and no ou matches \"test\"");
    part_add(not, PEER_RULE_OU, "logs");
    expect_explanation(&all, "ou:logs");
    part_add(&all, PEER_RULE_CN, "nobody");
    expect_explanation(&all, "ou:logs");
    peer_rule_deinit(&all);

    all = group_of(PEER_RULE_ALL_OF);
    part_add(&all, PEER_RULE_ANY, NULL);
    expect_explanation(&all, "any name");
    part_add(&all, PEER_RULE_DNS, "x");
    expect_explanation(&all, "the certificate has a name of the kind dns that cannot be read");
    part_add(&all, PEER_RULE_CN, "x");
    expect_explanation(&all, "no cn matches \"x\"");
    peer_rule_deinit(&all);
}

/* A subject can have several CNs. Only the last one is the CN of the peer, but none of them is ignored. */
static void another_cn_admits_nobody_and_can_be_denied(void **state)
{
    char *others[] = { (char *)"evil", (char *)"users" };
    const struct identity identity = { .cn = (char *)"agent", .other_cns = { .count = 2, .values = others } },
                          unread = { .cn = (char *)"agent", .other_cns = { .is_incomplete = true } };
    struct peer_rule not = group_of(PEER_RULE_NOT);
    struct peer_policy policy = { 0 };
    struct fault fault;
    char text[64];

    (void)state;
    const struct peer_rule *name = part_add(&not, PEER_RULE_CN, "ev*");
    assert_int_equal(peer_rule_judge(name, &identity), PEER_RULE_UNKNOWN);
    assert_int_equal(peer_rule_judge(&not, &identity), PEER_RULE_UNKNOWN);
    assert_int_equal(peer_rule_judge(name, &unread), PEER_RULE_UNKNOWN);
    peer_rule_explain(&not, &identity, text, sizeof text);
    assert_string_equal(text, "cn:evil is not the last CN of the certificate");
    peer_rule_deinit(&not);
    assert_non_null(peer_policy_add(&policy, PEER_RULE_CN, "evil", &fault));
    assert_int_equal(peer_policy_judge(&policy, &identity), PEER_RULE_UNKNOWN);
    assert_non_null(peer_policy_add(&policy, PEER_RULE_CN, "agent", &fault));
    assert_int_equal(peer_policy_judge(&policy, &identity), PEER_RULE_YES);
    assert_non_null(peer_policy_deny(&policy, PEER_RULE_CN, "users", &fault));
    assert_int_equal(peer_policy_judge(&policy, &identity), PEER_RULE_NO);
    peer_policy_deinit(&policy);
}

static void expressions_are_equal_if_all_parts_are(void **state)
{
    struct peer_rule a = group_of(PEER_RULE_NOT), b = group_of(PEER_RULE_NOT), c = group_of(PEER_RULE_ALL_OF);
    struct peer_rule *a_part = part_add(&a, PEER_RULE_ANY_OF, NULL), *b_part;

    (void)state;
    assert_false(peer_rule_equal(&a, &b));
    b_part = part_add(&b, PEER_RULE_ANY_OF, NULL);
    part_add(&c, PEER_RULE_ANY_OF, NULL);
    assert_true(peer_rule_equal(&a, &b));
    assert_false(peer_rule_equal(&a, &c));
    part_add(a_part, PEER_RULE_CN, "x");
    part_add(b_part, PEER_RULE_CN, "y");
    assert_false(peer_rule_equal(&a, &b));
    peer_rule_deinit(&a);
    peer_rule_deinit(&b);
    peer_rule_deinit(&c);
}

/* NULL: the peer has no certificate. */
static void a_peer_without_certificate_matches_only_what_is_said_of_it(void **state)
{
    static const struct {
        enum peer_rule_kind kind;
        enum peer_rule_verdict of_anonymous, of_agent;
    } rows[] = {
        { PEER_RULE_ANY, PEER_RULE_YES, PEER_RULE_YES },
        { PEER_RULE_VERIFIED, PEER_RULE_NO, PEER_RULE_YES },
        { PEER_RULE_ANONYMOUS, PEER_RULE_YES, PEER_RULE_NO },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct peer_rule rule = group_of(rows[i].kind);
        assert_int_equal(peer_rule_judge(&rule, NULL), rows[i].of_anonymous);
        assert_int_equal(peer_rule_judge(&rule, &agent), rows[i].of_agent);
        peer_rule_deinit(&rule);
    }
    for (enum peer_rule_kind kind = PEER_RULE_CN; kind <= PEER_RULE_ISSUER; kind++) {
        struct peer_rule not = group_of(PEER_RULE_NOT);
        const struct peer_rule *name = part_add(&not, kind, kind == PEER_RULE_SPKI ? SPKI : "*");
        char text[64];
        assert_int_equal(peer_rule_judge(name, NULL), PEER_RULE_NO);
        assert_int_equal(peer_rule_judge(&not, NULL), PEER_RULE_UNKNOWN);
        peer_rule_explain(&not, NULL, text, sizeof text);
        assert_memory_equal(text, "no ", 3);
        peer_rule_deinit(&not);
    }
}

static void a_wrong_part_is_refused(void **state)
{
    struct peer_rule group = group_of(PEER_RULE_ALL_OF);
    struct fault fault;

    (void)state;
    assert_null(peer_rule_add(&group, PEER_RULE_SPKI, "12", &fault));
    assert_string_equal(fault.text, "\"12\" is not a SHA-256 hash: expected 64 hex digits");
    assert_null(peer_rule_add(&group, PEER_RULE_OU, "", &fault));
    assert_int_equal(group.part_count, 0);
    peer_rule_deinit(&group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_judge_as_kleene_does),
        cmocka_unit_test(a_group_without_parts_matches_nothing),
        cmocka_unit_test(an_unreadable_name_leaves_open_only_its_own_kind),
        cmocka_unit_test(an_unreadable_name_admits_nobody_and_is_denied),
        cmocka_unit_test(the_names_that_decide_are_explained),
        cmocka_unit_test(another_cn_admits_nobody_and_can_be_denied),
        cmocka_unit_test(expressions_are_equal_if_all_parts_are),
        cmocka_unit_test(a_peer_without_certificate_matches_only_what_is_said_of_it),
        cmocka_unit_test(a_wrong_part_is_refused),
    };

    return cmocka_run_group_tests_name("peer_rule", tests, NULL, NULL);
}
