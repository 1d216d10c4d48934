/* proxy/delivery/tag_text.c */
#include "delivery/tag_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

static void expect(const char *tag, size_t length, const char *expected)
{
    char text[TAG_TEXT_BYTES];

    tag_text_write(text, (const uint8_t *)tag, length);
    assert_string_equal(text, expected);
}

static void what_is_not_printable_is_escaped(void **state)
{
    (void)state;
    expect("", 0, "");
    expect("app.web-1", 9, "app.web-1");
    expect("a\"\\\n\x7f\xff\0b", 8, "a\\x22\\x5c\\x0a\\x7f\\xff\\x00b");
}

static void a_long_tag_is_cut(void **state)
{
    char tag[TAG_TEXT_SHOWN], expected[TAG_TEXT_BYTES] = { 0 };

    (void)state;
    memset(tag, 'x', sizeof tag);
    memset(expected, 'x', sizeof tag);
    expect(tag, sizeof tag, expected);
    strcat(expected, "...");
    expect(tag, 1000, expected); /* its other bytes are not read */
    memset(tag, '\xff', sizeof tag);
    expected[0] = '\0';
    for (unsigned i = 0; i < TAG_TEXT_SHOWN; i++)
        strcat(expected, "\\xff");
    strcat(expected, "...");
    expect(tag, sizeof tag + 1, expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_printable_is_escaped),
        cmocka_unit_test(a_long_tag_is_cut),
    };

    return cmocka_run_group_tests_name("tag_text", tests, NULL, NULL);
}
