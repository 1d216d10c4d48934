/* proxy/trust/peer_policy.c: who is allowed, and what `*` matches. */
#include "trust/name_pattern.h"
#include "trust/peer_policy.h"
#include "trust/peer_rule_value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define SPKI "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static bool is_allowed(const struct peer_policy *policy, const struct identity *identity)
{
    return peer_policy_judge(policy, identity) == PEER_RULE_YES;
}

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
    if (place == PEER_RULE_O)
        identity.o = names;
    if (place == PEER_RULE_EMAIL)
        identity.email = names;
    identity.issuer = place == PEER_RULE_ISSUER ? (char *)name : NULL;
    assert_true(peer_policy_add(&policy, kind, pattern, &fault));
    bool is_admitted = is_allowed(&policy, &identity);
    peer_policy_deinit(&policy);
    return is_admitted;
}

static bool matches(enum peer_rule_kind kind, const char *pattern, const char *name)
{
    return allows(kind, pattern, kind, name);
}

static void test_what_no_name_can_match_is_told(void **state)
{
    static const struct {
        enum peer_rule_kind kind;
        const char *value;
        bool can_match;
    } cases[] = {
        { PEER_RULE_URI, "spiffe://td/a", true },
        { PEER_RULE_URI, "urn:a", true },
        { PEER_RULE_URI, "a+b-c.1:x", true },
        { PEER_RULE_URI, "*", true },
        { PEER_RULE_URI, "**", true },
        { PEER_RULE_URI, "*/a", true },
        { PEER_RULE_URI, "sp*://td", true },
        { PEER_RULE_URI, "https://td//a/../b?c", true },
        { PEER_RULE_URI, "spiffe://td", true },
        { PEER_RULE_URI, "spiffe://td/**", true },
        { PEER_RULE_URI, "spiffe://*/A..b/.*/*.", true },
        { PEER_RULE_URI, "spiffe:*", true },
        { PEER_RULE_URI, "spiffe://*", true },
        { PEER_RULE_URI, "SPIFFE://td", false },
        { PEER_RULE_URI, "spiffe:td", false },
        { PEER_RULE_URI, "spiffe://", false },
        { PEER_RULE_URI, "spiffe:///a", false },
        { PEER_RULE_URI, "spiffe://TD/a", false },
        { PEER_RULE_URI, "spiffe://td:443/a", false },
        { PEER_RULE_URI, "spiffe://td/", false },
        { PEER_RULE_URI, "spiffe://td/**/", false },
        { PEER_RULE_URI, "spiffe://td//a", false },
        { PEER_RULE_URI, "spiffe://td/./a", false },
        { PEER_RULE_URI, "spiffe://td/a/..", false },
        { PEER_RULE_URI, "spiffe://td/%61", false },
        { PEER_RULE_URI, "spiffe://td/a?b", false },
        { PEER_RULE_URI, "spiffe://td/a b", false },
        { PEER_RULE_URI, "https://caf\xc3\xa9", false },
        { PEER_RULE_URI, "td/a", false },
        { PEER_RULE_URI, "//td/a", false },
        { PEER_RULE_URI, "://td", false },
        { PEER_RULE_URI, "a", false },
        { PEER_RULE_URI, "1a://td", false },
        { PEER_RULE_URI, "a b://td", false },
        { PEER_RULE_URI, "td/x:*", false },
        { PEER_RULE_DNS, "*.example", true },
        { PEER_RULE_DNS, "a_b-c", true },
        { PEER_RULE_DNS, "https://a", false },
        { PEER_RULE_DNS, "a:24224", false },
        { PEER_RULE_DNS, "a/b", false },
        { PEER_RULE_DNS, "a@b", false },
        { PEER_RULE_DNS, "caf\xc3\xa9.example", false },
        { PEER_RULE_EMAIL, "a@b", true },
        { PEER_RULE_EMAIL, "*@*", true },
        { PEER_RULE_EMAIL, "*", false },
        { PEER_RULE_EMAIL, "caf\xc3\xa9@b", false },
        { PEER_RULE_EMAIL, "a", false },
        { PEER_RULE_CN, "https://any text", true },
        { PEER_RULE_OU, "a", true },
        { PEER_RULE_OU, "caf\xc3\xa9", true },
        { PEER_RULE_OU, "caf\xe9", false },
        { PEER_RULE_ISSUER, "CN=CA,O=Example\\, Inc.", true },
        { PEER_RULE_ISSUER, "*", true },
        { PEER_RULE_ISSUER, "CN=CA, O=*", true },
        { PEER_RULE_ISSUER, "CA", false },
        { PEER_RULE_ISSUER, "CN=CA, O=Example", false },
        { PEER_RULE_ISSUER, "/O=Example/CN=CA", false },
        { PEER_RULE_ANY, NULL, true },
    };
    struct fault fault;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fault_set(&fault, "no fault");
        if (peer_rule_value_can_match(cases[i].kind, cases[i].value, &fault) != cases[i].can_match)
            fail_msg("%s: %s", cases[i].value, fault.text);
    }
}

static void test_an_empty_policy_allows_nobody(void **state)
{
    (void)state;
    struct peer_policy policy = { 0 };
    struct identity identity = { .cn = (char *)"client", .spki = SPKI };

    assert_false(is_allowed(&policy, &identity));
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
    assert_false(is_allowed(&policy, &identity));
    assert_true(peer_policy_add(&policy, PEER_RULE_CN, "client", &fault));
    assert_true(is_allowed(&policy, &identity));
    peer_policy_deinit(&policy);
    assert_int_equal(policy.count, 0);
}

static void test_a_rule_that_denies_wins_whatever_its_order(void **state)
{
    (void)state;
    static const char *const values[] = { [PEER_RULE_CN] = "cl*",
                                          [PEER_RULE_DNS] = "*.Example",
                                          [PEER_RULE_URI] = "spiffe://td/*",
                                          [PEER_RULE_OU] = "l?gs",
                                          [PEER_RULE_SPKI] = SPKI };
    char *dns = (char *)"a.example", *uri = (char *)"spiffe://td/a", *ou = (char *)"logs";
    struct identity identity = { .cn = (char *)"client",
                                 .dns = { .count = 1, .values = &dns },
                                 .uri = { .count = 1, .values = &uri },
                                 .ou = { .count = 1, .values = &ou },
                                 .spki = SPKI };
    struct fault fault;

    for (enum peer_rule_kind kind = PEER_RULE_CN; kind <= PEER_RULE_SPKI; kind++) {
        struct peer_policy policy = { 0 };
        bool is_denied = kind != PEER_RULE_OU; /* `?` is an ordinary character */
        assert_true(peer_policy_deny(&policy, kind, values[kind], &fault));
        assert_true(peer_policy_add(&policy, PEER_RULE_ANY, NULL, &fault));
        assert_int_equal(is_allowed(&policy, &identity), !is_denied);
        const struct peer_rule *denier = peer_policy_denier(&policy, &identity);
        assert_ptr_equal(denier, is_denied ? &policy.rules[0] : NULL);
        assert_true(peer_policy_deny(&policy, PEER_RULE_OU, "logs", &fault));
        assert_false(is_allowed(&policy, &identity));
        peer_policy_deinit(&policy);
    }
}

static void test_a_policy_that_only_denies_allows_nobody(void **state)
{
    (void)state;
    struct peer_policy policy = { 0 };
    struct identity identity = { .cn = (char *)"client", .spki = SPKI };
    struct fault fault;

    assert_true(peer_policy_deny(&policy, PEER_RULE_CN, "other", &fault));
    assert_false(is_allowed(&policy, &identity));
    assert_null(peer_policy_denier(&policy, &identity));
    assert_false(peer_policy_deny(&policy, PEER_RULE_SPKI, "12", &fault));
    assert_false(peer_policy_deny(&policy, PEER_RULE_CN, "", &fault));
    peer_policy_deinit(&policy);
}

static void test_a_rule_matches_only_its_own_kind_of_name(void **state)
{
    (void)state;
    static const enum peer_rule_kind kinds[] = { PEER_RULE_CN, PEER_RULE_DNS,   PEER_RULE_URI,   PEER_RULE_OU,
                                                 PEER_RULE_O,  PEER_RULE_EMAIL, PEER_RULE_ISSUER };

    const size_t count = sizeof kinds / sizeof kinds[0];

    for (size_t rule = 0; rule < count; rule++) {
        for (size_t place = 0; place < count; place++)
            assert_int_equal(allows(kinds[rule], "name", kinds[place], "name"), rule == place);
    }
}

static void test_a_rule_tells_which_name_it_matches(void **state)
{
    (void)state;
    char *values[] = { (char *)"first", (char *)"second" };
    const struct identity identity = { .cn = (char *)"name",
                                       .dns = { .count = 2, .values = values },
                                       .spki = SPKI };
    struct peer_policy policy = { 0 };
    struct fault fault;

    assert_true(peer_policy_add(&policy, PEER_RULE_CN, "other", &fault));
    assert_true(peer_policy_add(&policy, PEER_RULE_DNS, "sec*", &fault));
    assert_true(peer_policy_add(&policy, PEER_RULE_SPKI, SPKI, &fault));
    assert_true(peer_policy_add(&policy, PEER_RULE_ANY, NULL, &fault));
    const struct peer_rule *rules = policy.rules;
    assert_ptr_equal(peer_policy_admitter(&policy, &identity), &rules[1]);
    assert_null(peer_rule_match(&rules[0], &identity));
    assert_string_equal(peer_rule_match(&rules[1], &identity), "second");
    assert_string_equal(peer_rule_match(&rules[2], &identity), SPKI);
    assert_string_equal(peer_rule_match(&rules[3], &identity), "any name");
    peer_policy_deinit(&policy);
}

static void test_every_name_of_a_kind_is_compared(void **state)
{
    (void)state;
    char *values[] = { (char *)"first", (char *)"second" };
    struct identity identity = { .dns = { .count = 2, .values = values }, .spki = SPKI };
    struct peer_policy policy = { 0 };
    struct fault fault;

    assert_true(peer_policy_add(&policy, PEER_RULE_DNS, "second", &fault));
    assert_true(is_allowed(&policy, &identity));
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
    assert_true(matches(PEER_RULE_DNS, "agent.example.", "agent.example"));
    assert_false(matches(PEER_RULE_DNS, "agent.example..", "agent.example"));
}

/* RFC 5280, 7.2 to 7.5. */
static void test_case_matters_in_text_and_not_in_domains(void **state)
{
    (void)state;
    assert_true(matches(PEER_RULE_EMAIL, "a@Example.ORG", "a@eXample.org"));
    assert_true(matches(PEER_RULE_EMAIL, "\"A@b\"@EXAMPLE", "\"A@b\"@example"));
    assert_false(matches(PEER_RULE_EMAIL, "\"A@B\"@EXAMPLE", "\"A@b\"@example"));
    assert_true(matches(PEER_RULE_URI, "HTTPS://*.Example/A", "https://a.eXAMPLE/A"));
    assert_false(matches(PEER_RULE_URI, "https://example/A", "https://example/a"));
    assert_false(matches(PEER_RULE_URI, "https://example?A", "https://example?a"));
    assert_true(matches(PEER_RULE_URI, "URN:a:b", "urn:a:b"));
    assert_false(matches(PEER_RULE_URI, "urn:A:b", "urn:a:b"));
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

static void test_two_stars_match_any_part_of_a_uri(void **state)
{
    (void)state;
    assert_true(matches(PEER_RULE_URI, "spiffe://td/**", "spiffe://td/ns/web/sa/a"));
    assert_true(matches(PEER_RULE_URI, "spiffe://td/**/sa/agent-*", "spiffe://td/ns/web/sa/agent-1"));
    assert_true(matches(PEER_RULE_URI, "spiffe://td/**/sa/*", "spiffe://td/a/sa/b/c/sa/d"));
    assert_false(matches(PEER_RULE_URI, "spiffe://td/**/sa/*", "spiffe://td/a/sa/b/c/sa/d/e"));
    assert_false(matches(PEER_RULE_URI, "spiffe://td/**", "spiffe://other/ns/web"));
    assert_false(matches(PEER_RULE_URI, "spiffe://td/**/a", "spiffe://td/a"));
    assert_false(matches(PEER_RULE_DNS, "**.example", "a.b.example")); /* in a URI alone */
    assert_false(matches(PEER_RULE_EMAIL, "**", "a@example"));
}

static void test_neighbours_of_a_spiffe_pattern_do_not_match(void **state)
{
    (void)state;
    assert_false(matches(PEER_RULE_URI, "spiffe://td/**", "spiffe://td"));
    assert_false(matches(PEER_RULE_URI, "spiffe://td/**", "spiffe://td.evil/a"));
    assert_false(matches(PEER_RULE_URI, "spiffe://td/**", "spiffe://TD/a"));
    assert_false(matches(PEER_RULE_URI, "spiffe://td/ns/*", "spiffe://td/ns"));
    assert_false(matches(PEER_RULE_URI, "spiffe://td/ns/*/sa", "spiffe://td/ns/sa"));
    assert_false(matches(PEER_RULE_URI, "spiffe://td/ns/a", "spiffe://td/ns/a/"));
    assert_false(matches(PEER_RULE_URI, "spiffe://td/ns/a", "spiffe://td/ns/%61"));
    assert_false(matches(PEER_RULE_URI, "spiffe://td/ns/a?x", "spiffe://td/ns/a"));
    assert_false(matches(PEER_RULE_URI, "spiffe://*/a", "spiffe://td/b/a"));
}

static void test_a_star_stays_on_one_side_of_an_e_mail_address(void **state)
{
    (void)state;
    assert_true(matches(PEER_RULE_EMAIL, "*@example.org", "a.b@example.org"));
    assert_false(matches(PEER_RULE_EMAIL, "*", "a@example.org"));
    assert_false(matches(PEER_RULE_EMAIL, "*.org", "a@example.org"));
    assert_false(matches(PEER_RULE_EMAIL, "A@example.org", "a@example.org"));
}

static void test_a_star_matches_anything_in_o_and_issuer(void **state)
{
    (void)state;
    assert_true(matches(PEER_RULE_O, "Example*", "Example, Inc."));
    assert_true(matches(PEER_RULE_ISSUER, "CN=Agents*,O=Example", "CN=Agents 2,OU=a/b,O=Example"));
    assert_false(matches(PEER_RULE_ISSUER, "CN=Agents", "CN=Agents,O=Example"));
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

/* The same for URIs. */
static bool uri_defined_to_match(const char *pattern, const char *text)
{
    if (pattern[0] == '*' && pattern[1] == '*')
        return uri_defined_to_match(pattern + 2, text) || (*text && uri_defined_to_match(pattern, text + 1));
    if (*pattern == '*')
        return uri_defined_to_match(pattern + 1, text) ||
               (*text && *text != '/' && uri_defined_to_match(pattern, text + 1));
    if (!*pattern || !*text)
        return *pattern == *text;
    return *pattern == *text && uri_defined_to_match(pattern + 1, text + 1);
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

static void test_stars_of_uris_match_as_the_recursive_definition(void **state)
{
    (void)state;
    char pattern[WORD_LENGTH_MAX + 1], text[WORD_LENGTH_MAX + 1], *values[] = { text };
    const struct identity identity = { .uri = { .count = 1, .values = values }, .spki = SPKI };
    struct fault fault;

    for (unsigned i = 0; i < 4 * 4 * 4 * 4 * 4; i++) {
        struct peer_policy policy = { 0 };
        if (!word_make(i, "a/*", pattern))
            continue;
        assert_true(peer_policy_add(&policy, PEER_RULE_URI, pattern, &fault));
        for (unsigned j = 0; j < 3 * 3 * 3 * 3 * 3; j++) {
            if (word_make(j, "a/", text))
                assert_int_equal(is_allowed(&policy, &identity), uri_defined_to_match(pattern, text));
        }
        peer_policy_deinit(&policy);
    }
}

static void test_stars_match_as_the_recursive_definition(void **state)
{
    (void)state;
    char pattern[WORD_LENGTH_MAX + 1], text[WORD_LENGTH_MAX + 1];

    for (unsigned i = 0; i < 4 * 4 * 4 * 4 * 4; i++) {
        if (!word_make(i, "a.*", pattern))
            continue;
        for (unsigned j = 0; j < 3 * 3 * 3 * 3 * 3; j++) {
            if (!word_make(j, "a.", text))
                continue;
            assert_int_equal(name_pattern_matches(pattern, text, NAME_PATTERN_DNS),
                             defined_to_match(pattern, text, '.'));
            assert_int_equal(name_pattern_matches(pattern, text, NAME_PATTERN_TEXT),
                             defined_to_match(pattern, text, '\0'));
        }
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

static void test_policies_are_equal_if_their_rules_are(void **state)
{
    (void)state;
    struct peer_policy policy = { 0 }, other = { 0 };
    struct fault fault;

    assert_true(peer_policy_equal(&policy, &other));
    assert_true(peer_policy_add(&policy, PEER_RULE_CN, "client", &fault));
    assert_false(peer_policy_equal(&policy, &other));
    assert_true(peer_policy_add(&other, PEER_RULE_OU, "client", &fault));
    assert_false(peer_policy_equal(&policy, &other));
    peer_policy_deinit(&other);
    assert_true(peer_policy_add(&other, PEER_RULE_CN, "Client", &fault));
    assert_false(peer_policy_equal(&policy, &other));
    peer_policy_deinit(&other);
    assert_true(peer_policy_add(&other, PEER_RULE_CN, "client", &fault));
    assert_true(peer_policy_equal(&policy, &other));
    assert_true(peer_policy_add(&policy, PEER_RULE_ANY, NULL, &fault));
    assert_true(peer_policy_add(&other, PEER_RULE_ANY, NULL, &fault));
    assert_true(peer_policy_equal(&policy, &other));
    peer_policy_deinit(&policy);
    peer_policy_deinit(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_no_name_can_match_is_told),
        cmocka_unit_test(test_an_empty_policy_allows_nobody),
        cmocka_unit_test(test_any_allows_an_identity_without_a_name),
        cmocka_unit_test(test_one_matching_rule_is_enough),
        cmocka_unit_test(test_a_rule_matches_only_its_own_kind_of_name),
        cmocka_unit_test(test_a_rule_tells_which_name_it_matches),
        cmocka_unit_test(test_every_name_of_a_kind_is_compared),
        cmocka_unit_test(test_the_whole_name_must_match),
        cmocka_unit_test(test_case_matters_in_text_and_not_in_domains),
        cmocka_unit_test(test_a_star_stays_inside_a_dns_label),
        cmocka_unit_test(test_a_star_stays_inside_a_uri_segment),
        cmocka_unit_test(test_a_star_matches_anything_in_cn_and_ou),
        cmocka_unit_test(test_stars_match_as_the_recursive_definition),
        cmocka_unit_test(test_stars_of_uris_match_as_the_recursive_definition),
        cmocka_unit_test(test_two_stars_match_any_part_of_a_uri),
        cmocka_unit_test(test_neighbours_of_a_spiffe_pattern_do_not_match),
        cmocka_unit_test(test_a_star_stays_on_one_side_of_an_e_mail_address),
        cmocka_unit_test(test_a_star_matches_anything_in_o_and_issuer),
        cmocka_unit_test(test_a_rule_that_denies_wins_whatever_its_order),
        cmocka_unit_test(test_a_policy_that_only_denies_allows_nobody),
        cmocka_unit_test(test_spki_is_compared_without_case),
        cmocka_unit_test(test_refuses_empty_values_and_malformed_hashes),
        cmocka_unit_test(test_policies_are_equal_if_their_rules_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
