/* proxy/delivery/send_window.c: how many messages may be unsettled after connections have ended. */
#include "delivery/send_window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void check_size(const struct send_window *window, size_t size)
{
    assert_true(send_window_admits(window, size - 1));
    assert_false(send_window_admits(window, size));
}

static void an_open_window_is_no_limit(void **state)
{
    const struct send_window window = { 0 };

    (void)state;
    assert_true(send_window_admits(&window, SIZE_MAX));
}

static void a_window_is_half_of_what_got_through(void **state)
{
    struct send_window window = { 0 };

    (void)state;
    send_window_on_failed(&window, 1001);
    check_size(&window, 500);
    send_window_on_failed(&window, 100);
    check_size(&window, 50);
    send_window_on_failed(&window, 100000); /* a failure never widens it */
    check_size(&window, 50);
}

static void a_window_is_never_less_than_one_message(void **state)
{
    (void)state;
    for (size_t settled = 0; settled <= 3; settled++) {
        struct send_window window = { 0 };
        send_window_on_failed(&window, settled);
        check_size(&window, 1);
    }
}

static void a_connection_on_which_much_got_through_does_not_count(void **state)
{
    struct send_window window = { 0 };

    (void)state;
    send_window_on_failed(&window, (size_t)2 * SEND_WINDOW_OPEN);
    assert_true(send_window_admits(&window, SIZE_MAX));
}

static void a_window_grows_by_each_message_until_it_is_open(void **state)
{
    struct send_window window = { 0 };

    (void)state;
    send_window_on_failed(&window, 2);
    for (size_t size = 1; size < SEND_WINDOW_OPEN; size++) {
        check_size(&window, size);
        send_window_on_settled(&window);
    }
    assert_true(send_window_admits(&window, SIZE_MAX));
    send_window_on_settled(&window);
    assert_true(send_window_admits(&window, SIZE_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_open_window_is_no_limit),
        cmocka_unit_test(a_window_is_half_of_what_got_through),
        cmocka_unit_test(a_window_is_never_less_than_one_message),
        cmocka_unit_test(a_connection_on_which_much_got_through_does_not_count),
        cmocka_unit_test(a_window_grows_by_each_message_until_it_is_open),
    };

    return cmocka_run_group_tests_name("send_window", tests, NULL, NULL);
}
