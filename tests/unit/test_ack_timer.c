/* proxy/delivery/ack_timer.c: when an ack is late, while bytes move and while they do not. */
#include "delivery/ack_timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { TIMEOUT_MS = 1000, FILED_MS = 5000, END = 4000 };

static const struct ledger_entry oldest = { .filed_us = FILED_MS * 1000, .end = END };

static struct ack_timer timer_new(void)
{
    struct ack_timer timer;

    ack_timer_init(&timer, TIMEOUT_MS);
    return timer;
}

/* Looks at the bytes when the timer asks for it, until the ack is late; returns the time. `taken_at`: what
 * the peer has taken of the stream at a time. */
static uint64_t late_at(struct ack_timer *timer, uint64_t (*taken_at)(uint64_t now_ms))
{
    for (unsigned looks = 0; looks < 100; looks++) {
        uint64_t now_ms = ack_timer_deadline(timer, &oldest);
        if (ack_timer_is_late(timer, &oldest, taken_at(now_ms), now_ms))
            return now_ms;
        assert_true(ack_timer_deadline(timer, &oldest) > now_ms);
    }
    return 0;
}

static uint64_t all_of_it(uint64_t now_ms)
{
    (void)now_ms;
    return END;
}

static uint64_t a_part_of_it(uint64_t now_ms)
{
    (void)now_ms;
    return END / 2;
}

/* A byte per ms. */
static uint64_t slowly(uint64_t now_ms)
{
    return now_ms - FILED_MS;
}

/* The message is there; others behind it go on. */
static uint64_t later_messages(uint64_t now_ms)
{
    return END + now_ms;
}

static void without_a_message_there_is_no_deadline(void **state)
{
    const struct ack_timer timer = timer_new();

    (void)state;
    assert_int_equal(ack_timer_deadline(&timer, NULL), 0);
}

static void an_ack_is_late_after_the_timeout(void **state)
{
    struct ack_timer timer = timer_new();

    (void)state;
    assert_int_equal(late_at(&timer, all_of_it), FILED_MS + TIMEOUT_MS);
}

static void a_peer_that_takes_no_more_bytes_is_late_too(void **state)
{
    struct ack_timer timer = timer_new();

    (void)state;
    assert_int_equal(late_at(&timer, a_part_of_it), FILED_MS + TIMEOUT_MS);
}

static void the_time_begins_when_the_last_byte_is_there(void **state)
{
    struct ack_timer timer = timer_new();

    (void)state;
    assert_in_range(late_at(&timer, slowly), FILED_MS + END + TIMEOUT_MS,
                    FILED_MS + END + (TIMEOUT_MS * 3 / 2));
}

static void bytes_of_later_messages_do_not_count(void **state)
{
    struct ack_timer timer = timer_new();

    (void)state;
    assert_int_equal(late_at(&timer, later_messages), FILED_MS + TIMEOUT_MS);
}

static void the_time_begins_anew_with_the_ack_of_the_message_before(void **state)
{
    struct ack_timer timer = timer_new();

    (void)state;
    assert_false(ack_timer_is_late(&timer, &oldest, END, FILED_MS + 600));
    ack_timer_restart(&timer, FILED_MS + 900);
    assert_int_equal(late_at(&timer, all_of_it), FILED_MS + 900 + TIMEOUT_MS);
}

static void after_a_late_look_half_of_the_timeout_is_left(void **state)
{
    struct ack_timer timer = timer_new();
    uint64_t look_ms = FILED_MS + (2 * TIMEOUT_MS); /* the process was stopped for so long */

    (void)state;
    assert_false(ack_timer_is_late(&timer, &oldest, END / 2, look_ms));
    assert_int_equal(ack_timer_deadline(&timer, &oldest), look_ms + TIMEOUT_MS / 2);
    assert_int_equal(late_at(&timer, a_part_of_it), look_ms + TIMEOUT_MS / 2);
}

static void a_look_between_the_two_does_not_end_the_time(void **state)
{
    struct ack_timer timer = timer_new();

    (void)state;
    assert_false(ack_timer_is_late(&timer, &oldest, END, FILED_MS + 600));
    assert_false(
        ack_timer_is_late(&timer, &oldest, END, FILED_MS + 1000)); /* too early after the first check */
}

static void another_timeout_holds_for_a_message_that_waits(void **state)
{
    struct ack_timer timer = timer_new();

    (void)state;
    ack_timer_set_timeout(&timer, TIMEOUT_MS / 10);
    assert_in_range(late_at(&timer, all_of_it), FILED_MS + TIMEOUT_MS / 10, FILED_MS + TIMEOUT_MS / 5);

    timer = timer_new();
    ack_timer_set_minimum(&timer, 2 * TIMEOUT_MS);
    ack_timer_set_timeout(&timer, TIMEOUT_MS / 10);
    assert_in_range(late_at(&timer, all_of_it), FILED_MS + 2 * TIMEOUT_MS, FILED_MS + 4 * TIMEOUT_MS);
    ack_timer_set_timeout(&timer, 3 * TIMEOUT_MS);
    assert_int_equal(timer.timeout_ms, 3 * TIMEOUT_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_message_there_is_no_deadline),
        cmocka_unit_test(an_ack_is_late_after_the_timeout),
        cmocka_unit_test(a_peer_that_takes_no_more_bytes_is_late_too),
        cmocka_unit_test(the_time_begins_when_the_last_byte_is_there),
        cmocka_unit_test(bytes_of_later_messages_do_not_count),
        cmocka_unit_test(the_time_begins_anew_with_the_ack_of_the_message_before),
        cmocka_unit_test(after_a_late_look_half_of_the_timeout_is_left),
        cmocka_unit_test(a_look_between_the_two_does_not_end_the_time),
        cmocka_unit_test(another_timeout_holds_for_a_message_that_waits),
    };

    return cmocka_run_group_tests_name("ack_timer", tests, NULL, NULL);
}
