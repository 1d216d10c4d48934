/* proxy/trust/peer_policy.c: who is allowed, and what `*` matches. */
#include "trust/peer_policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define SPKI "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* An identity that has `name` in one place only. */
static bool allows(enum peer_rule_kind kind, const char *pattern, enum peer_rule_kind place, const char *name)
{
    char *values[] = { (char *)name };
    struct identity_names names = { .count = 1, .values = values };
    struct identity identity = { .spki = SPKI };
    struct peer_policy policy = { 0 };
    struct fault fault;

    identity.cn = place == PEER_RULE_CN ? (char *)name : NULL;
    if (place == PEER_RULE_DNS)
        identity.dns = names;
    if (place == PEER_RULE_URI)
        identity.uri = names;
    if (place == PEER_RULE_OU)
        identity.ou = names;
    assert_true(peer_policy_add(&policy, kind, pattern, &fault));
    bool is_allowed = peer_policy_allows(&policy, &identity);
    peer_policy_deinit(&policy);
    return is_allowed;
}

static bool matches(enum peer_rule_kind kind, const char *pattern, const char *name)
{
    return allows(kind, pattern, kind, name);
}

static void test_an_empty_policy_allows_nobody(void **state)
{
    (void)state;
    struct peer_policy policy = { 0 };
    struct identity identity = { .cn = (char *)"client", .spki = SPKI };

    assert_false(peer_policy_allows(&policy, &identity));
}

static void test_any_allows_an_identity_without_a_name(void **state)
{
    (void)state;
    assert_true(allows(PEER_RULE_ANY, NULL, PEER_RULE_ANY, NULL));
}

static void test_one_matching_rule_is_enough(void **state)
{
    (void)state;
    struct peer_policy policy = { 0 };
    struct identity identity = { .cn = (char *)"client", .spki = SPKI };
    struct fault fault;

    assert_true(peer_policy_add(&policy, PEER_RULE_DNS, "client", &fault));
    assert_true(peer_policy_add(&policy, PEER_RULE_CN, "other", &fault));
    assert_false(peer_policy_allows(&policy, &identity));
    assert_true(peer_policy_add(&policy, PEER_RULE_CN, "client", &fault));
    assert_true(peer_policy_allows(&policy, &identity));
    peer_policy_deinit(&policy);
    assert_int_equal(policy.count, 0);
}

static void test_a_rule_matches_only_its_own_kind_of_name(void **state)
{
    (void)state;
    static const enum peer_rule_kind kinds[] = { PEER_RULE_CN, PEER_RULE_DNS, PEER_RULE_URI, PEER_RULE_OU };

    for (size_t rule = 0; rule < 4; rule++) {
        for (size_t place = 0; place < 4; place++)
            assert_int_equal(allows(kinds[rule], "name", kinds[place], "name"), rule == place);
    }
}

static void test_every_name_of_a_kind_is_compared(void **state)
{
    (void)state;
    char *values[] = { (char *)"first", (char *)"second" };
    struct identity identity = { .dns = { .count = 2, .values = values }, .spki = SPKI };
    struct peer_policy policy = { 0 };
    struct fault fault;

    assert_true(peer_policy_add(&policy, PEER_RULE_DNS, "second", &fault));
    assert_true(peer_policy_allows(&policy, &identity));
    peer_policy_deinit(&policy);
}

static void test_the_whole_name_must_match(void **state)
{
    (void)state;
    assert_true(matches(PEER_RULE_CN, "client", "client"));
    assert_false(matches(PEER_RULE_CN, "client", "client2"));
    assert_false(matches(PEER_RULE_CN, "client", "clien"));
    assert_false(matches(PEER_RULE_CN, "client", "a client"));
    assert_false(matches(PEER_RULE_DNS, "agent", "agent.example"));
}

static void test_only_dns_ignores_case(void **state)
{
    (void)state;
    assert_true(matches(PEER_RULE_DNS, "Agent.EXAMPLE", "aGent.example"));
    assert_false(matches(PEER_RULE_CN, "Client", "client"));
    assert_false(matches(PEER_RULE_OU, "Logs", "logs"));
    assert_false(matches(PEER_RULE_URI, "spiffe://A", "spiffe://a"));
    assert_false(matches(PEER_RULE_DNS, "[", "{")); /* letters only */
}

static void test_a_star_stays_inside_a_dns_label(void **state)
{
    (void)state;
    assert_true(matches(PEER_RULE_DNS, "*.example", "agent-1.example"));
    assert_true(matches(PEER_RULE_DNS, "agent-*.example", "agent-1.example"));
    assert_true(matches(PEER_RULE_DNS, "agent-*.example", "agent-.example"));
    assert_true(matches(PEER_RULE_DNS, "*.*.example", "a.b.example"));
    assert_true(matches(PEER_RULE_DNS, "*.example", "*.example"));
    assert_false(matches(PEER_RULE_DNS, "*.example", "a.b.example"));
    assert_false(matches(PEER_RULE_DNS, "*", "a.b"));
    assert_false(matches(PEER_RULE_DNS, "*.example", "example"));
    assert_false(matches(PEER_RULE_DNS, "a*", "a.b"));
}

static void test_a_star_stays_inside_a_uri_segment(void **state)
{
    (void)state;
    assert_true(matches(PEER_RULE_URI, "spiffe://td/ns/*/sa/fluent-bit", "spiffe://td/ns/web/sa/fluent-bit"));
    assert_true(matches(PEER_RULE_URI, "spiffe://*/agent", "spiffe://a.b.c/agent"));
    assert_false(
        matches(PEER_RULE_URI, "spiffe://td/ns/*/sa/fluent-bit", "spiffe://td/ns/a/b/sa/fluent-bit"));
    assert_false(matches(PEER_RULE_URI, "spiffe://td/*", "spiffe://td/ns/web"));
    assert_false(matches(PEER_RULE_URI, "spiffe://td/ns/*", "spiffe://td/ns/a/"));
}

static void test_a_star_matches_anything_in_cn_and_ou(void **state)
{
    (void)state;
    assert_true(matches(PEER_RULE_CN, "*", "a.b/c d"));
    assert_true(matches(PEER_RULE_CN, "agent*example", "agent.1/example"));
    assert_true(matches(PEER_RULE_OU, "*ab*ab", "xaababab"));
    assert_false(matches(PEER_RULE_OU, "*ab*abc", "abab"));
    assert_true(matches(PEER_RULE_CN, "a**b", "ab"));
}

/* Compares with the recursive definition, for every short text of a small alphabet. */
static bool defined_to_match(const char *pattern, const char *text, char boundary)
{
    if (*pattern == '*') {
        if (defined_to_match(pattern + 1, text, boundary))
            return true;
        return *text && *text != boundary && defined_to_match(pattern, text + 1, boundary);
    }
    if (!*pattern || !*text)
        return *pattern == *text;
    return *pattern == *text && defined_to_match(pattern + 1, text + 1, boundary);
}

enum { WORD_LENGTH_MAX = 5 };

/* Word `number` over `letters`; a short word ends with NULs. */
static bool word_make(unsigned number, const char *letters, char word[WORD_LENGTH_MAX + 1])
{
    size_t count = strlen(letters) + 1, length = 0;
    bool ended = false;

    for (int i = 0; i < WORD_LENGTH_MAX; i++, number /= (unsigned)count) {
        unsigned digit = number % (unsigned)count;
        if (digit && ended)
            return false;
        ended |= digit == 0;
        if (digit)
            word[length++] = letters[digit - 1];
    }
    word[length] = '\0';
    return length > 0;
}

static void test_stars_match_as_the_recursive_definition(void **state)
{
    (void)state;
    char pattern[WORD_LENGTH_MAX + 1], text[WORD_LENGTH_MAX + 1];
    struct identity identity = { .spki = SPKI };
    char *values[] = { text };
    struct fault fault;

    identity.dns = (struct identity_names) { .count = 1, .values = values };
    identity.cn = text;
    for (unsigned i = 0; i < 4 * 4 * 4 * 4 * 4; i++) {
        struct peer_policy dns = { 0 }, cn = { 0 };
        if (!word_make(i, "a.*", pattern))
            continue;
        assert_true(peer_policy_add(&dns, PEER_RULE_DNS, pattern, &fault));
        assert_true(peer_policy_add(&cn, PEER_RULE_CN, pattern, &fault));
        for (unsigned j = 0; j < 3 * 3 * 3 * 3 * 3; j++) {
            if (!word_make(j, "a.", text))
                continue;
            assert_int_equal(peer_policy_allows(&dns, &identity), defined_to_match(pattern, text, '.'));
            assert_int_equal(peer_policy_allows(&cn, &identity), defined_to_match(pattern, text, '\0'));
        }
        peer_policy_deinit(&dns);
        peer_policy_deinit(&cn);
    }
}

static void test_spki_is_compared_without_case(void **state)
{
    (void)state;
    assert_true(allows(PEER_RULE_SPKI, SPKI, PEER_RULE_ANY, NULL));
    assert_true(allows(PEER_RULE_SPKI, "0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
                       PEER_RULE_ANY, NULL));
    assert_false(allows(PEER_RULE_SPKI, "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                        PEER_RULE_ANY, NULL));
    assert_false(allows(PEER_RULE_SPKI, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdee",
                        PEER_RULE_ANY, NULL));
}

static void test_refuses_empty_values_and_malformed_hashes(void **state)
{
    (void)state;
    struct peer_policy policy = { 0 };
    struct fault fault;

    assert_false(peer_policy_add(&policy, PEER_RULE_CN, "", &fault));
    assert_string_equal(fault.text, "the value is empty");
    assert_false(peer_policy_add(&policy, PEER_RULE_DNS, NULL, &fault));
    assert_false(peer_policy_add(&policy, PEER_RULE_SPKI, "abc", &fault));
    assert_string_equal(fault.text, "\"abc\" is not a SHA-256 hash: expected 64 hex digits");
    assert_false(peer_policy_add(&policy, PEER_RULE_SPKI,
                                 "g123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", &fault));
    assert_int_equal(policy.count, 0);
    peer_policy_deinit(&policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_policy_allows_nobody),
        cmocka_unit_test(test_any_allows_an_identity_without_a_name),
        cmocka_unit_test(test_one_matching_rule_is_enough),
        cmocka_unit_test(test_a_rule_matches_only_its_own_kind_of_name),
        cmocka_unit_test(test_every_name_of_a_kind_is_compared),
        cmocka_unit_test(test_the_whole_name_must_match),
        cmocka_unit_test(test_only_dns_ignores_case),
        cmocka_unit_test(test_a_star_stays_inside_a_dns_label),
        cmocka_unit_test(test_a_star_stays_inside_a_uri_segment),
        cmocka_unit_test(test_a_star_matches_anything_in_cn_and_ou),
        cmocka_unit_test(test_stars_match_as_the_recursive_definition),
        cmocka_unit_test(test_spki_is_compared_without_case),
        cmocka_unit_test(test_refuses_empty_values_and_malformed_hashes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
