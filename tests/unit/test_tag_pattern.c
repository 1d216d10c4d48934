/* proxy/forward/tag_pattern.c: what Fluentd matches, and what is refused. */
#include "forward/tag_pattern.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

struct row {
    const char *pattern, *tag;
    size_t tag_length;
    bool matches;
};

static const struct row rows[] = {
#include "tag_patterns.inc"
};

static bool matches(const char *text, const char *tag, size_t length)
{
    struct tag_pattern pattern;
    struct fault fault;

    if (!tag_pattern_init(&pattern, text, strlen(text), &fault))
        fail_msg("%s", fault.text);
    bool answer = tag_pattern_matches(&pattern, (const uint8_t *)tag, length);
    tag_pattern_deinit(&pattern);
    return answer;
}

static void answers_are_the_same_as_fluentds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        if (matches(row->pattern, row->tag, row->tag_length) != row->matches)
            fail_msg("pattern \"%s\", tag \"%s\": Fluentd says %d", row->pattern, row->tag, row->matches);
    }
}

static void a_pattern_ends_at_its_length(void **state)
{
    struct tag_pattern pattern;
    struct fault fault;

    (void)state;
    assert_true(tag_pattern_init(&pattern, "a.*,b", 3, &fault));
    assert_true(tag_pattern_matches(&pattern, (const uint8_t *)"a.x", 3));
    assert_true(tag_pattern_matches(&pattern, (const uint8_t *)"a.\0x", 4));
    assert_false(tag_pattern_matches(&pattern, (const uint8_t *)"a", 1));
    tag_pattern_deinit(&pattern);
}

static void expect_refused(const char *text, const char *expected)
{
    struct tag_pattern pattern;
    struct fault fault;

    assert_false(tag_pattern_init(&pattern, text, strlen(text), &fault));
    assert_string_equal(fault.text, expected);
}

static void unsupported_patterns_are_refused(void **state)
{
    char longest[TAG_PATTERN_BYTES_MAX + 2];

    (void)state;
    expect_refused("", "\"\": the pattern is empty");
    expect_refused("/a.*/", "\"/a.*/\": regular expressions are not supported");
    expect_refused("app.#{x}", "\"app.#{x}\": #{} is not supported: it would be Ruby code");
    expect_refused("{a,b", "\"{a,b\": a { is not closed");
    expect_refused("{a,b\\}", "\"{a,b\\}\": a { is not closed");
    expect_refused("a b", "\"a b\": has a space: several patterns are several items of the list");
    expect_refused("{{{{{{{{{{{{{{{{{a}}}}}}}}}}}}}}}}}",
                   "\"{{{{{{{{{{{{{{{{{a}}}}}}}}}}}}}}}}}\": braces nest deeper than 16");
    assert_true(matches("{{{{{{{{{{{{{{{{a}}}}}}}}}}}}}}}}", "a", 1));

    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    expect_refused(
        longest,
        "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\": is longer than 255 bytes");
}

/* Backtracking would take exponential time; the automaton takes length of the tag × states. */
static void the_costliest_pattern_and_tag_are_cheap(void **state)
{
    enum { TAG_BYTES = 64 * 1024 };
    char pattern[TAG_PATTERN_BYTES_MAX + 1], *tag = malloc(TAG_BYTES);

    (void)state;
    assert_non_null(tag);
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = "*a"[i % 2];
    pattern[TAG_PATTERN_BYTES_MAX - 1] = 'b';
    pattern[TAG_PATTERN_BYTES_MAX] = '\0';
    memset(tag, 'a', TAG_BYTES);
    assert_false(matches(pattern, tag, TAG_BYTES));
    tag[TAG_BYTES - 1] = 'b';
    assert_true(matches(pattern, tag, TAG_BYTES));
    free(tag);
}

/* The characters that make two states, up to the maximum length of a pattern. */
static void the_longest_patterns_fit(void **state)
{
    char pattern[TAG_PATTERN_BYTES_MAX + 1] = { 0 };

    (void)state;
    memset(pattern, ',', TAG_PATTERN_BYTES_MAX);
    pattern[0] = '{';
    pattern[TAG_PATTERN_BYTES_MAX - 1] = '}';
    assert_true(matches(pattern, "", 0));
    for (size_t i = 0; i < TAG_PATTERN_BYTES_MAX; i++)
        pattern[i] = "**."[i % 3];
    assert_true(matches(pattern, "a.b.c.", 6));
    assert_false(matches(pattern, "a.b.c", 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_the_same_as_fluentds),
        cmocka_unit_test(a_pattern_ends_at_its_length),
        cmocka_unit_test(unsupported_patterns_are_refused),
        cmocka_unit_test(the_costliest_pattern_and_tag_are_cheap),
        cmocka_unit_test(the_longest_patterns_fit),
    };

    return cmocka_run_group_tests_name("tag_pattern", tests, NULL, NULL);
}
