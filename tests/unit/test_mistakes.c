/* config/mistakes.c: what is printed of the mistakes in a file. */
#include "config/mistakes.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static void expect_printed(const struct mistakes *mistakes, const char *expected)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    assert_non_null(out);
    mistakes_print(mistakes, out);
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
}

static void they_are_sorted_by_place(void **state)
{
    struct mistakes mistakes;

    (void)state;
    mistakes_init(&mistakes, "husk.yaml");
    expect_printed(&mistakes, "");
    mistakes_add(&mistakes, (struct place) { 10, 2 }, "five");
    mistakes_add(&mistakes, (struct place) { 2, 10 }, "three, %s", "first");
    mistakes_add(&mistakes, (struct place) { 2, 9 }, "two");
    mistakes_add(&mistakes, (struct place) { 0, 0 }, "one");
    mistakes_add(&mistakes, (struct place) { 2, 10 }, "three, %s", "second");
    assert_int_equal(mistakes.count, 5);
    expect_printed(&mistakes, "husk.yaml: one\n"
                              "husk.yaml:2:9: two\n"
                              "husk.yaml:2:10: three, first\n"
                              "husk.yaml:2:10: three, second\n"
                              "husk.yaml:10:2: five\n");
    mistakes_deinit(&mistakes);
    assert_int_equal(mistakes.count, 0);
    expect_printed(&mistakes, "");
}

static void expect_last_line(unsigned count, const char *expected)
{
    struct mistakes mistakes;
    char *text = NULL;
    size_t length, lines = 0;
    FILE *out = open_memstream(&text, &length);

    mistakes_init(&mistakes, "f");
    for (unsigned i = count; i > 0; i--)
        mistakes_add(&mistakes, (struct place) { i, 1 }, "wrong");
    assert_non_null(out);
    mistakes_print(&mistakes, out);
    fclose(out);
    const char *last = text;
    for (const char *end = text; *end; end++) {
        if (*end == '\n')
            lines++;
        if (*end == '\n' && end[1])
            last = end + 1;
    }
    assert_string_equal(last, expected);
    assert_int_equal(lines, count > MISTAKES_PRINTED_MAX ? MISTAKES_PRINTED_MAX + 1 : count);
    free(text);
    mistakes_deinit(&mistakes);
}

static void only_the_first_are_printed(void **state)
{
    (void)state;
    expect_last_line(1, "f:1:1: wrong\n");
    expect_last_line(MISTAKES_PRINTED_MAX, "f:50:1: wrong\n");
    expect_last_line(MISTAKES_PRINTED_MAX + 1, "f: and 1 more\n");
    expect_last_line(MISTAKES_KEPT_MAX, "f: and 950 more\n");
    expect_last_line(MISTAKES_KEPT_MAX + 500, "f: and 1450 more\n"); /* counted, but not kept */
}

static void a_mistake_is_found_by_its_place_and_end(void **state)
{
    struct mistakes mistakes;

    (void)state;
    mistakes_init(&mistakes, "f");
    mistakes_add(&mistakes, (struct place) { 2, 3 }, "a: wrong");
    assert_true(mistakes_has(&mistakes, (struct place) { 2, 3 }, ": wrong"));
    assert_true(mistakes_has(&mistakes, (struct place) { 2, 3 }, "a: wrong"));
    assert_false(mistakes_has(&mistakes, (struct place) { 2, 3 }, "b: wrong"));
    assert_false(mistakes_has(&mistakes, (struct place) { 2, 3 }, "ba: wrong"));
    assert_false(mistakes_has(&mistakes, (struct place) { 2, 3 }, "a"));
    assert_false(mistakes_has(&mistakes, (struct place) { 2, 4 }, ": wrong"));
    assert_false(mistakes_has(&mistakes, (struct place) { 1, 3 }, ": wrong"));
    mistakes_deinit(&mistakes);
}

static void a_long_text_is_cut(void **state)
{
    char text[2 * FAULT_TEXT_BYTES];
    struct mistakes mistakes;

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    mistakes_init(&mistakes, "f");
    mistakes_add(&mistakes, (struct place) { 1, 1 }, "%s", text);
    assert_int_equal(strlen(mistakes.items[0].text), FAULT_TEXT_BYTES - 1);
    mistakes_deinit(&mistakes);
}

static void expect_quoted(const char *text, const char *expected)
{
    char quote[MISTAKES_QUOTE_BYTES];

    assert_ptr_equal(mistakes_quote(text, quote), quote);
    assert_string_equal(quote, expected);
}

static void a_quote_is_one_short_line(void **state)
{
    (void)state;
    expect_quoted("", "\"\"");
    expect_quoted("a b", "\"a b\"");
    expect_quoted("gr\303\274n", "\"gr\303\274n\"");
    expect_quoted("a\nb\t\177\001", "\"a\\x0ab\\x09\\x7f\\x01\"");
    expect_quoted("\377", "\"\\xff\"");
    /* The longest that fits in any case has 58 bytes. A character is cut as a whole. */
    expect_quoted("1234567890123456789012345678901234567890123456789012345678",
                  "\"1234567890123456789012345678901234567890123456789012345678\"");
    expect_quoted("12345678901234567890123456789012345678901234567890123456789",
                  "\"1234567890123456789012345678901234567890123456789012345678…\"");
    expect_quoted("123456789012345678901234567890123456789012345678901234567\303\274",
                  "\"123456789012345678901234567890123456789012345678901234567…\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_are_sorted_by_place),
        cmocka_unit_test(only_the_first_are_printed),
        cmocka_unit_test(a_mistake_is_found_by_its_place_and_end),
        cmocka_unit_test(a_long_text_is_cut),
        cmocka_unit_test(a_quote_is_one_short_line),
    };

    return cmocka_run_group_tests_name("mistakes", tests, NULL, NULL);
}
