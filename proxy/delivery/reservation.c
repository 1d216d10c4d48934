#include "delivery/reservation.h"

#include <assert.h>

void reservation_make(struct reservation *reservation, struct message *message, uint64_t due_ms)
{
    assert(!reservation->message && !message->reservation);
    reservation->message = message;
    reservation->due_ms = due_ms;
    reservation->is_due = false;
    message->reservation = reservation;
}

void reservation_cancel(struct message *message)
{
    if (!message->reservation)
        return;
    message->reservation->message = NULL;
    message->reservation->is_due = false;
    message->reservation = NULL;
}

void reservation_hasten(struct reservation *reservation, uint64_t due_ms)
{
    if (reservation->message && due_ms < reservation->due_ms)
        reservation->due_ms = due_ms;
}

bool reservation_check(struct reservation *reservation, uint64_t now_ms)
{
    bool is_gone = reservation->due_ms && !reservation->message;

    reservation->is_due = reservation->message && now_ms >= reservation->due_ms;
    if (is_gone)
        reservation->due_ms = 0;
    return is_gone;
}

uint64_t reservation_deadline(const struct reservation *reservation)
{
    return reservation->is_due ? 0 : reservation->due_ms;
}
