/* proxy/base/utf8.c: what is shown to people. */
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>

static void assert_cleaned(const char *from, const char *expected)
{
    char text[64];

    snprintf(text, sizeof text, "%s", from);
    utf8_clean(text);
    assert_string_equal(text, expected);
}

static void test_texts_are_cleaned(void **state)
{
    (void)state;
    assert_cleaned("", "");
    assert_cleaned("plain \xc3\xa9 \xf0\x9f\x90\xa6", "plain \xc3\xa9 \xf0\x9f\x90\xa6");
    assert_cleaned("a\x1b[31mb\r\nc\x7f", "a?[31mb??c?");
    assert_cleaned("\xc2\x9b"
                   "1m",
                   "?1m"); /* C1 */
    assert_cleaned("a\xe2\x80\xae"
                   "b\xe2\x80\x8b",
                   "a?b?"); /* override, zero width */
    assert_cleaned("cut \xe2\x80", "cut ??");
    assert_cleaned("\xff\xc0\xaf", "???");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts_are_cleaned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
