/* config/name_server.c: which words are name servers. */
#include "config/name_server.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

static void good_words_are_addresses_with_or_without_a_port(void **state)
{
    static const char *const words[] = {
        "10.0.0.1",     "10.0.0.1:53",       "127.0.0.1:65535", "::1",
        "fd00::1",      "[::1]:53",          "[fd00::1]:1",     "::ffff:1.2.3.4",
        "fe80::1%eth0", "[fe80::1%eth0]:53", "1.1.1.1:00053"
    };

    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!name_server_is_good(words[i], strlen(words[i])))
            fail_msg("%s", words[i]);
    }
}

static void other_words_are_none(void **state)
{
    static const char *const words[] = {
        "",
        "a",
        "ns.example.com",
        "ns:53",
        "1.1.1",
        "1.1.1.256",
        "1.1.1.1:",
        "1.1.1.1:0",
        "1.1.1.1:65536",
        "1.1.1.1:5x",
        "1.1.1.1:999999",
        " 1.1.1.1",
        "1.1.1.1 ",
        "[::1]",
        "[::1]:",
        "[::1]:0",
        "[::1",
        "[1.1.1.1]:53",
        "::1:53:x",
        "dns://::1",
        "fe80::1%",
        "fe80::1%a b",
        "[]:53",
        "1.1.1.1:-1",
        "1.1.1.1:53:53",
    };
    char long_word[200];

    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (name_server_is_good(words[i], strlen(words[i])))
            fail_msg("%s", words[i]);
    }
    memset(long_word, '1', sizeof long_word);
    assert_false(name_server_is_good(long_word, sizeof long_word));
}

static void a_word_ends_at_its_length(void **state)
{
    (void)state;
    assert_true(name_server_is_good("1.1.1.1,a", 7));
    assert_false(name_server_is_good("1.1.1.1", 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_words_are_addresses_with_or_without_a_port),
        cmocka_unit_test(other_words_are_none),
        cmocka_unit_test(a_word_ends_at_its_length),
    };

    return cmocka_run_group_tests_name("name_server", tests, NULL, NULL);
}
