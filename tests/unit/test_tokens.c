/* proxy/trust/tokens.c */
#include "trust/tokens.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MANY = 1000 };

static void a_module_is_known_by_its_file(void **state)
{
    struct tokens *tokens = tokens_new(1);
    char path[] = "/a.so";

    (void)state;
    struct token_module *module = tokens_module(tokens, "/a.so");
    assert_non_null(module);
    assert_ptr_equal(module, tokens_module(tokens, path));
    assert_ptr_not_equal(module, tokens_module(tokens, "/b.so"));
    assert_string_equal(tokens_path(module), "/a.so");
    assert_int_equal(tokens_timeout_ms(tokens), 1);
    assert_true(tokens_close(tokens));
}

static void a_module_opens_one_key_at_a_time(void **state)
{
    struct tokens *tokens = tokens_new(1);
    struct token_module *module = tokens_module(tokens, "/a.so"), *other = tokens_module(tokens, "/b.so");

    (void)state;
    assert_true(tokens_enter(module));
    assert_false(tokens_enter(module));
    assert_false(tokens_enter(module));
    assert_true(tokens_enter(other));
    tokens_leave(module);
    assert_true(tokens_enter(module));
    assert_false(tokens_enter(other));
    assert_true(tokens_close(tokens));
}

static void each_refused_pin_is_remembered(void **state)
{
    struct tokens *tokens = tokens_new(1);
    struct token_module *module = tokens_module(tokens, "/a.so"), *other = tokens_module(tokens, "/b.so");

    (void)state;
    tokens_lock(module);
    assert_false(tokens_have_refused(module, 0));
    tokens_note_refusal(module, 1);
    tokens_note_refusal(module, 2);
    assert_true(tokens_have_refused(module, 1) && tokens_have_refused(module, 2));
    assert_false(tokens_have_refused(module, 0) || tokens_have_refused(module, 3));
    tokens_unlock(module);
    tokens_lock(other);
    assert_false(tokens_have_refused(other, 1));
    tokens_unlock(other);
    assert_true(tokens_close(tokens));
}

/* More than the memory has space for. */
static void the_last_refused_pins_are_remembered(void **state)
{
    struct tokens *tokens = tokens_new(1);
    struct token_module *module = tokens_module(tokens, "/a.so");

    (void)state;
    tokens_lock(module);
    for (uint64_t pin = 1; pin <= MANY; pin++) {
        tokens_note_refusal(module, pin);
        assert_true(tokens_have_refused(module, pin));
        assert_true(pin == 1 || tokens_have_refused(module, pin - 1));
    }
    tokens_unlock(module);
    assert_true(tokens_close(tokens));
}

static void who_shares_them_keeps_them(void **state)
{
    struct tokens *tokens = tokens_new(1);
    struct tokens *shared = tokens_share(tokens);

    (void)state;
    assert_false(tokens_close(tokens)); /* after a second */
    assert_non_null(tokens_module(shared, "/a.so"));
    tokens_release(shared);
    assert_true(tokens_close(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_module_is_known_by_its_file),
        cmocka_unit_test(a_module_opens_one_key_at_a_time),
        cmocka_unit_test(each_refused_pin_is_remembered),
        cmocka_unit_test(the_last_refused_pins_are_remembered),
        cmocka_unit_test(who_shares_them_keeps_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
