/* proxy/relay/message_policy.c: which rule counts, and what it makes of tags, prefixes, sizes and rates. */
#include "delivery/message_policy.h"

#include "forward/rewriter.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPKI "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

enum { NOW_MS = 1000 };

struct fixture {
    struct message_policy policy;
    struct message_meters meters;
};

static int set_up(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state ? 0 : 1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    message_meters_deinit(&f->meters);
    message_policy_deinit(&f->policy);
    free(f);
    return 0;
}

/* A rule about those with this CN, or about anybody; it moves with the next one. */
static struct message_rule *add(struct fixture *f, const char *cn)
{
    struct message_rule *rule = message_policy_add(&f->policy, cn ? cn : "any");
    struct fault fault;

    assert_non_null(rule);
    assert_true(peer_policy_add(&rule->who, cn ? PEER_RULE_CN : PEER_RULE_ANY, cn, &fault));
    rule->burst_ms = 1000;
    return rule;
}

static void set_tags(struct message_rule *rule, const char *list)
{
    struct fault fault;

    if (!message_rule_set_tags(rule, list, &fault))
        fail_msg("%s", fault.text);
}

static void set_prefix(struct message_rule *rule, const char *prefix)
{
    struct fault fault;

    if (!message_rule_set_prefix(rule, prefix, &fault))
        fail_msg("%s", fault.text);
}

static void open_as(struct fixture *f, struct message_permit *permit, const char *cn)
{
    const struct identity identity = { .cn = (char *)(uintptr_t)cn, .spki = SPKI };

    assert_int_equal(message_permit_open(permit, &f->policy, &f->meters, &identity, NOW_MS), END_NONE);
}

static enum end_reason judge(struct message_permit *permit, const char *tag)
{
    return message_permit_judge(permit, (const uint8_t *)tag, strlen(tag));
}

/* What this identity gets for one tag. */
static enum end_reason verdict(struct fixture *f, const char *cn, const char *tag)
{
    struct message_permit permit;

    open_as(f, &permit, cn);
    enum end_reason reason = judge(&permit, tag);
    message_permit_close(&permit);
    return reason;
}

static void without_rules_anything_may_be_written(void **state)
{
    struct fixture *f = *state;
    struct message_permit permit = { 0 };

    assert_int_equal(judge(&permit, "x"), END_NONE);
    open_as(f, &permit, "a");
    assert_int_equal(judge(&permit, "x"), END_NONE);
    assert_int_equal(message_permit_wait_ms(&permit, NOW_MS), 0);
    assert_int_equal(message_permit_message_bytes(&permit, 5), 5);
    assert_int_equal(permit.prefix_length, 0);
    assert_string_equal(message_permit_detail(&permit), "");
    message_permit_close(&permit);
}

static void the_first_rule_that_matches_counts(void **state)
{
    struct fixture *f = *state;

    set_tags(add(f, "a"), "a.**,{x,y}.*,p\\,q");
    set_tags(add(f, "*"), "b.**");
    assert_int_equal(verdict(f, "a", "a.1"), END_NONE);
    assert_int_equal(verdict(f, "a", "y.1"), END_NONE);
    assert_int_equal(verdict(f, "a", "p,q"), END_NONE);
    assert_int_equal(verdict(f, "a", "b.1"), END_TAG_NOT_ALLOWED);
    assert_int_equal(verdict(f, "b", "b.1"), END_NONE);
    assert_int_equal(verdict(f, "b", "a.1"), END_TAG_NOT_ALLOWED);
}

static void a_rule_without_tags_allows_all(void **state)
{
    struct fixture *f = *state;

    add(f, "a");
    assert_int_equal(verdict(f, "a", ""), END_NONE);
    assert_int_equal(verdict(f, "a", "x.y"), END_NONE);
}

static void whom_no_rule_is_about_may_write_nothing(void **state)
{
    struct fixture *f = *state;
    struct message_permit permit;

    add(f, "a");
    open_as(f, &permit, "b");
    assert_int_equal(judge(&permit, "x"), END_TAG_NOT_ALLOWED);
    assert_string_equal(message_permit_detail(&permit), "no rule matches this identity, whose tag is \"x\"");
    message_permit_close(&permit);
}

static void an_agent_without_certificate_is_anybody(void **state)
{
    struct fixture *f = *state;
    struct message_permit permit;

    add(f, "*");
    assert_int_equal(message_permit_open(&permit, &f->policy, &f->meters, NULL, NOW_MS), END_NONE);
    assert_int_equal(judge(&permit, "x"), END_TAG_NOT_ALLOWED);
    message_permit_close(&permit);
    add(f, NULL);
    assert_int_equal(message_permit_open(&permit, &f->policy, &f->meters, NULL, NOW_MS), END_NONE);
    assert_int_equal(judge(&permit, "x"), END_NONE);
    message_permit_close(&permit);
}

static void the_detail_names_rule_and_tag_harmlessly(void **state)
{
    struct fixture *f = *state;
    struct message_permit permit;
    char tag[1000], expected[1000];

    add(f, "b");
    set_tags(add(f, "a"), "x");
    open_as(f, &permit, "a");
    assert_int_equal(judge(&permit, "é\n\"\\ok"), END_TAG_NOT_ALLOWED);
    assert_string_equal(message_permit_detail(&permit),
                        "rule 2 (a): does not allow the tag \"\\xc3\\xa9\\x0a\\x22\\x5cok\"");
    memset(tag, '\x01', sizeof tag);
    assert_int_equal(message_permit_judge(&permit, (const uint8_t *)tag, sizeof tag), END_TAG_NOT_ALLOWED);
    size_t used = (size_t)snprintf(expected, sizeof expected, "rule 2 (a): does not allow the tag \"");
    for (unsigned i = 0; i < 64; i++)
        used += (size_t)snprintf(expected + used, sizeof expected - used, "\\x01");
    snprintf(expected + used, sizeof expected - used, "...\"");
    assert_string_equal(message_permit_detail(&permit), expected);
    message_permit_close(&permit);
}

/* ---- prefixes ---- */

static char *const dns_names[] = { (char *)"Web-1.Example", (char *)"b" };
static char *const uri_names[] = { (char *)"spiffe://td/ns/a" };

static const struct identity full = { .cn = (char *)"a.b_C é",
                                      .dns = { .count = 2, .values = (char **)dns_names },
                                      .uri = { .count = 1, .values = (char **)uri_names },
                                      .spki = SPKI };

static void expect_prefix(void **state, const char *prefix, const struct identity *identity,
                          const char *expected)
{
    struct fixture *f = *state;
    struct message_permit permit;

    set_prefix(add(f, NULL), prefix);
    assert_int_equal(message_permit_open(&permit, &f->policy, &f->meters, identity, NOW_MS), END_NONE);
    assert_int_equal(permit.prefix_length, strlen(expected));
    assert_memory_equal(permit.prefix, expected, permit.prefix_length);
    message_permit_close(&permit);
    message_policy_deinit(&f->policy);
}

static void a_name_becomes_one_part_of_the_tag_that_no_other_name_becomes(void **state)
{
    expect_prefix(state, "edge-", &full, "edge-");
    expect_prefix(state, "{cn}.", &full, "a%2Eb_C%20%C3%A9.");
    expect_prefix(state, "x.{dns}.y.{spki8}.", &full, "x.web-1%2Eexample.y.01234567.");
    expect_prefix(state, "ns-{uri}.z", &full, "ns-spiffe%3A%2F%2Ftd%2Fns%2Fa.z");
    expect_prefix(state, "{cn}.", &(const struct identity) { .cn = (char *)"a%2Eb" }, "a%252Eb.");
}

static void expect_not_allowed(struct fixture *f, const struct identity *identity, const char *detail)
{
    struct message_permit permit;

    assert_int_equal(message_permit_open(&permit, &f->policy, &f->meters, identity, NOW_MS), END_NOT_ALLOWED);
    assert_string_equal(message_permit_detail(&permit), detail);
    message_permit_close(&permit);
}

static void a_prefix_that_cannot_be_made_is_a_refusal(void **state)
{
    static const char *const names[] = { "{cn}", "{dns}", "{uri}" };
    const struct identity bare = { .spki = SPKI };
    char cn[REWRITE_PREFIX_BYTES_MAX + 1] = { 0 }, detail[100];
    struct fixture *f = *state;

    for (unsigned i = 0; i < 3; i++) {
        snprintf(detail, sizeof detail, "%s.", names[i]);
        set_prefix(add(f, NULL), detail);
        snprintf(detail, sizeof detail, "rule 1 (any): the certificate has no name for %s", names[i]);
        expect_not_allowed(f, &bare, detail);
        message_policy_deinit(&f->policy);
    }
    set_prefix(add(f, NULL), "{spki8}.");
    expect_not_allowed(f, NULL, "rule 1 (any): the certificate has no name for {spki8}");
    message_policy_deinit(&f->policy);

    memset(cn, 'a', sizeof cn - 1);
    set_prefix(add(f, NULL), "{cn}.");
    expect_not_allowed(f, &(const struct identity) { .cn = cn },
                       "rule 1 (any): the tag prefix becomes 257 bytes long, more than 256");
    struct message_permit permit;
    assert_int_equal(message_permit_open(&permit, &f->policy, &f->meters,
                                         &(const struct identity) { .cn = cn + 1 }, NOW_MS),
                     END_NONE);
    assert_int_equal(permit.prefix_length, REWRITE_PREFIX_BYTES_MAX);
    message_permit_close(&permit);
}

static void a_permit_has_fields_with_the_names_of_the_identity(void **state)
{
    const struct route_identity_fields fields = {
        4, { { "c", IDENTITY_CN }, { "u", IDENTITY_URI }, { "d", IDENTITY_DNS }, { "s", IDENTITY_SPKI } }
    };
    static const char pairs[] = "\xa1"
                                "c\xa8"
                                "a.b_C \xc3\xa9"
                                "\xa1u\xb0spiffe://td/ns/a"
                                "\xa1"
                                "d\xadweb-1.example\xa1s\xd9\x40" SPKI;
    struct message_permit permit = { 0 };

    (void)state;
    assert_int_equal(message_permit_set_fields(&permit, &fields, &full), END_NONE);
    assert_int_equal(permit.fields.count, 4);
    assert_int_equal(permit.fields.length, sizeof pairs - 1);
    assert_memory_equal(permit.fields.pairs, pairs, sizeof pairs - 1);
    message_permit_close(&permit);
    assert_int_equal(permit.fields.count, 0);
    assert_int_equal(message_permit_set_fields(&permit, &(const struct route_identity_fields) { 0 }, NULL),
                     END_NONE);
    assert_int_equal(permit.fields.count, 0);
    message_permit_close(&permit);
}

static void an_identity_without_the_name_of_a_field_is_not_allowed(void **state)
{
    const struct identity bare = { .spki = SPKI }, *const identities[] = { &bare, NULL };
    char cn[RECORD_FIELD_VALUE_BYTES_MAX + 2] = "";

    (void)state;
    memset(cn, 'a', sizeof cn - 1);
    for (unsigned name = IDENTITY_CN; name < IDENTITY_NAME_COUNT; name++) {
        const struct route_identity_fields fields = { 1, { { "peer", name } } };
        for (unsigned i = 0; i < 2; i++) {
            struct message_permit permit = { 0 };
            bool has_name = name == IDENTITY_SPKI && i == 0;
            assert_int_equal(message_permit_set_fields(&permit, &fields, identities[i]),
                             has_name ? END_NONE : END_NOT_ALLOWED);
            assert_string_equal(message_permit_detail(&permit),
                                has_name ? ""
                                         : "the certificate has no name, or too long a name, for the field "
                                           "\"peer\"");
            message_permit_close(&permit);
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        const struct route_identity_fields fields = { 1, { { "peer", IDENTITY_CN } } };
        struct message_permit permit = { 0 };
        assert_int_equal(
            message_permit_set_fields(&permit, &fields, &(const struct identity) { .cn = cn + i }),
            i ? END_NONE : END_NOT_ALLOWED);
        message_permit_close(&permit);
    }
}

static void expect_bad_prefix(struct message_rule *rule, const char *prefix, const char *expected)
{
    struct fault fault;

    assert_false(message_rule_set_prefix(rule, prefix, &fault));
    assert_string_equal(fault.text, expected);
}

static void prefixes_that_could_be_mistaken_are_refused(void **state)
{
#define NO_DOT                                                                                               \
    "each name must be followed by a dot, before the next name and before the end; otherwise the tags of "   \
    "one identity could begin like those of another"
    struct message_rule *rule = add(*state, "a");
    char longest[REWRITE_PREFIX_BYTES_MAX + 2] = { 0 };

    expect_bad_prefix(rule, "{cn}", "\"{cn}\": " NO_DOT);
    expect_bad_prefix(rule, "{cn}-", "\"{cn}-\": " NO_DOT);
    expect_bad_prefix(rule, "{cn}{dns}.", "\"{cn}{dns}.\": " NO_DOT);
    expect_bad_prefix(rule, "{cn}-{dns}.", "\"{cn}-{dns}.\": " NO_DOT);
    expect_bad_prefix(rule, "{ou}.", "\"{ou}.\": braces are only allowed in {cn}, {uri}, {dns} and {spki8}");
    expect_bad_prefix(rule, "a}.", "\"a}.\": braces are only allowed in {cn}, {uri}, {dns} and {spki8}");
    memset(longest, 'a', sizeof longest - 1);
    expect_bad_prefix(rule, longest, "is longer than 256 bytes");
    assert_false(message_rule_needs_identity(rule));
    set_prefix(rule, longest + 1);
    assert_false(message_rule_needs_identity(rule));
}

/* ---- sizes and rates ---- */

static void a_rule_makes_the_longest_message_shorter_only(void **state)
{
    struct fixture *f = *state;
    struct message_permit permit;

    add(f, "a")->message_bytes = 2048;
    open_as(f, &permit, "a");
    assert_int_equal(message_permit_message_bytes(&permit, 4096), 2048);
    assert_int_equal(message_permit_message_bytes(&permit, 1024), 1024);
    message_permit_note_length(&permit);
    assert_string_equal(message_permit_detail(&permit), "rule 1 (a): allows 2048 bytes");
    message_permit_close(&permit);
}

static void an_identity_has_one_rate_however_many_connections_it_opens(void **state)
{
    struct fixture *f = *state;
    struct message_permit first, second, other;
    struct message_rule *rule = add(f, "*");

    rule->messages_per_second = 10;
    rule->bytes_per_second = 100000;
    open_as(f, &first, "a");
    open_as(f, &second, "a");
    open_as(f, &other, "b");
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(message_permit_wait_ms(&second, NOW_MS), 0);
        message_permit_charge(i % 2 ? &first : &second, 1, 1, NOW_MS);
    }
    assert_int_equal(message_permit_wait_ms(&first, NOW_MS), 100);
    assert_int_equal(message_permit_wait_ms(&second, NOW_MS), 100);
    assert_int_equal(message_permit_wait_ms(&second, NOW_MS + 95), 10); /* no shorter pauses */
    assert_int_equal(message_permit_wait_ms(&other, NOW_MS), 0);
    message_permit_close(&first);
    message_permit_close(&second);
    message_permit_close(&other);

    open_as(f, &first, "a"); /* nor by coming back */
    assert_int_equal(message_permit_wait_ms(&first, NOW_MS + 50), 10);
    message_permit_charge(&first, 1, 300000, NOW_MS + 2000);
    assert_int_equal(message_permit_wait_ms(&first, NOW_MS + 2000), 2001);
    message_permit_close(&first);
}

static size_t meter_count(const struct message_meters *meters)
{
    size_t count = 0;

    for (size_t i = 0; meters->heads && i < MESSAGE_METERS_HEADS; i++) {
        for (const struct message_meter *meter = meters->heads[i]; meter; meter = meter->next)
            count++;
    }
    return count;
}

/* Each takes one token, which is there again when the next but one comes. */
static void meters_that_are_as_good_as_new_are_forgotten(void **state)
{
    struct fixture *f = *state;
    struct message_permit permit;
    char name[32];

    add(f, "*")->messages_per_second = 1;
    for (unsigned i = 0; i < 2000; i++) {
        const struct identity identity = { .cn = name };
        uint64_t now_ms = NOW_MS + i * 600UL;

        snprintf(name, sizeof name, "agent-%u", i);
        assert_int_equal(message_permit_open(&permit, &f->policy, &f->meters, &identity, now_ms), END_NONE);
        message_permit_charge(&permit, 1, 1, now_ms);
        message_permit_close(&permit);
    }
    assert_in_range(meter_count(&f->meters), 1, 2 * MESSAGE_METERS_HEADS);
}

static void a_new_policy_with_the_same_rule_begins_no_new_burst(void **state)
{
    struct fixture *f = *state;
    struct message_permit before, after;

    add(f, "*")->messages_per_second = 10;
    open_as(f, &before, "a");
    message_permit_charge(&before, 10, 1, NOW_MS);
    message_policy_deinit(&f->policy); /* the permit still has the rules */
    assert_int_equal(judge(&before, "x"), END_NONE);
    add(f, "first")->messages_per_second = 10;
    add(f, "*")->messages_per_second = 10;
    open_as(f, &after, "a");
    assert_int_equal(message_permit_wait_ms(&after, NOW_MS), 100);
    message_permit_close(&before);
    assert_int_equal(message_permit_wait_ms(&after, NOW_MS), 100);
    message_permit_close(&after);
    assert_int_equal(meter_count(&f->meters), 1);

    message_policy_deinit(&f->policy);
    add(f, "*")->messages_per_second = 20; /* another rate */
    open_as(f, &after, "a");
    assert_int_equal(message_permit_wait_ms(&after, NOW_MS), 0);
    message_permit_close(&after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_rules_anything_may_be_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_first_rule_that_matches_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_rule_without_tags_allows_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(whom_no_rule_is_about_may_write_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_agent_without_certificate_is_anybody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_detail_names_rule_and_tag_harmlessly, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_name_becomes_one_part_of_the_tag_that_no_other_name_becomes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_prefix_that_cannot_be_made_is_a_refusal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_permit_has_fields_with_the_names_of_the_identity, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_identity_without_the_name_of_a_field_is_not_allowed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(prefixes_that_could_be_mistaken_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_rule_makes_the_longest_message_shorter_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_identity_has_one_rate_however_many_connections_it_opens, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(meters_that_are_as_good_as_new_are_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_new_policy_with_the_same_rule_begins_no_new_burst, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests_name("message_policy", tests, NULL, NULL);
}
