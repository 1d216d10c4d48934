/* An upstream connection that is held for one message: the retry delay of the message passes while the
 * connection is open and quiet.
 *
 * If the connection ends before the delay is over, the address is at fault. If the connection ends at the
 * message afterwards, this counts against the message. Pure; times are on the reactor's clock. */
#ifndef HUSK_DELIVERY_RESERVATION_H
#define HUSK_DELIVERY_RESERVATION_H

#include "delivery/message.h"

struct upstream;

struct reservation {
    struct upstream *upstream; /* borrowed: the connection whose part this is */
    struct message *message;   /* borrowed; NULL: the connection is not reserved */
    uint64_t due_ms; /* when the delay is over. Stays set when the message is gone, until reservation_check
                        has said so; 0: no reservation */
    bool is_due;     /* the connection was open and quiet until due_ms */
};

/* Reserves the connection for a message that has no reservation. */
void reservation_make(struct reservation *reservation, struct message *message, uint64_t due_ms);
/* The message no longer needs its reservation. Does nothing if the message has none. */
void reservation_cancel(struct message *message);

/* The delay is over no later than `due_ms`. */
void reservation_hasten(struct reservation *reservation, uint64_t due_ms);

/* Call it when the connection was found to be open at `now_ms`. True when the message of the reservation is
 * gone: only the first call says so. */
bool reservation_check(struct reservation *reservation, uint64_t now_ms);
/* When reservation_check must be called; 0: never. */
uint64_t reservation_deadline(const struct reservation *reservation);

#endif
