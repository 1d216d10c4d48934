/* proxy/delivery/reservation.c: a connection that is held for a message until its delay is over. */
#include "delivery/reservation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { DUE_MS = 1000 };

static void a_reservation_is_due_when_the_connection_is_open_at_that_time(void **state)
{
    struct reservation reservation = { 0 };
    struct message message = { 0 };

    (void)state;
    assert_int_equal(reservation_deadline(&reservation), 0);
    reservation_make(&reservation, &message, DUE_MS);
    assert_int_equal(reservation_deadline(&reservation), DUE_MS);
    assert_false(reservation_check(&reservation, DUE_MS - 1));
    assert_false(reservation.is_due);
    assert_false(reservation_check(&reservation, DUE_MS));
    assert_true(reservation.is_due);
    assert_int_equal(reservation_deadline(&reservation), 0);
}

static void a_message_that_goes_away_frees_the_connection(void **state)
{
    struct reservation reservation = { 0 };
    struct message message = { 0 };

    (void)state;
    reservation_cancel(&message); /* harmless */
    reservation_make(&reservation, &message, DUE_MS);
    reservation_cancel(&message);
    assert_null(message.reservation);
    assert_null(reservation.message);
    assert_true(reservation_check(&reservation, 1)); /* the connection notices it once */
    assert_false(reservation_check(&reservation, DUE_MS));
    assert_false(reservation.is_due);
    reservation_make(&reservation, &message, DUE_MS);
    assert_false(reservation_check(&reservation, 1));
}

static void a_reservation_can_be_hastened(void **state)
{
    struct reservation reservation = { 0 };
    struct message message = { 0 };

    (void)state;
    reservation_hasten(&reservation, 1);
    assert_int_equal(reservation_deadline(&reservation), 0); /* there is none */
    reservation_make(&reservation, &message, DUE_MS);
    reservation_hasten(&reservation, DUE_MS + 1);
    assert_int_equal(reservation_deadline(&reservation), DUE_MS);
    reservation_hasten(&reservation, DUE_MS / 2);
    assert_int_equal(reservation_deadline(&reservation), DUE_MS / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reservation_is_due_when_the_connection_is_open_at_that_time),
        cmocka_unit_test(a_message_that_goes_away_frees_the_connection),
        cmocka_unit_test(a_reservation_can_be_hastened),
    };

    return cmocka_run_group_tests_name("reservation", tests, NULL, NULL);
}
