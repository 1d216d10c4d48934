/* config/nearest.c: which known name a person meant. */
#include "config/nearest.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

static const char *const names[] = { "retain-bytes", "batch-bytes", "cert", "key", "ca", "listen" };

static const char *best_of(const char *word)
{
    struct nearest nearest = nearest_begin(word, strlen(word));

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        nearest_add(&nearest, names[i]);
    return nearest.best;
}

static void a_name_with_few_mistakes_is_recognised(void **state)
{
    (void)state;
    assert_string_equal(best_of("retain-byte"), "retain-bytes");
    assert_string_equal(best_of("retain-bytess"), "retain-bytes");
    assert_string_equal(best_of("retian-bytes"), "retain-bytes"); /* two letters exchanged: one mistake */
    assert_string_equal(best_of("batch_bytes"), "batch-bytes");
    assert_string_equal(best_of("lissten"), "listen");
    assert_string_equal(best_of("crt"), "cert");
    assert_string_equal(best_of("kye"), "key");
    assert_string_equal(best_of("listen"), "listen");
    assert_string_equal(best_of("CA"), "ca"); /* too short for another mistake */
    assert_string_equal(best_of("Key"), "key");
}

static void the_nearest_of_two_wins(void **state)
{
    (void)state;
    assert_string_equal(best_of("btch-bytes"), "batch-bytes");
    assert_string_equal(best_of("rtain-bytes"), "retain-bytes");
}

static void another_word_is_near_nothing(void **state)
{
    char longest[2 * NEAREST_WORD_MAX + 1];

    (void)state;
    assert_null(best_of(""));
    assert_null(best_of("x"));
    assert_null(best_of("no"));
    assert_null(best_of("frobnicate"));
    assert_null(best_of("retain")); /* half of the name is missing */
    memset(longest, 'k', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_null(best_of(longest));
}

static void the_word_needs_no_terminator(void **state)
{
    struct nearest nearest = nearest_begin("lsten=127.0.0.1:1", 5);

    (void)state;
    nearest_add(&nearest, "listen");
    assert_string_equal(nearest.best, "listen");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_with_few_mistakes_is_recognised),
        cmocka_unit_test(the_nearest_of_two_wins),
        cmocka_unit_test(another_word_is_near_nothing),
        cmocka_unit_test(the_word_needs_no_terminator),
    };

    return cmocka_run_group_tests_name("nearest", tests, NULL, NULL);
}
