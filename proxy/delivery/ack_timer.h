/* When the ack of the oldest message on an upstream connection is late.
 *
 * An aggregator processes a connection in order. The time for a message begins when the ack of the message
 * before it has come and the peer has the last byte of the message; it stops while bytes of the message move.
 * The bytes are checked twice per timeout. Two checks are at least half of the timeout apart, also if a
 * check is late. The first check only records the bytes, so a message whose last byte arrives shortly before
 * that check has half of the timeout. Pure; all times are on the reactor's clock. */
#ifndef HUSK_DELIVERY_ACK_TIMER_H
#define HUSK_DELIVERY_ACK_TIMER_H

#include "forward/ledger.h"

struct ack_timer {
    uint64_t timeout_ms;  /* --ack-timeout, or the minimum if that is longer */
    uint64_t minimum_ms;  /* see ack_timer_set_minimum */
    uint64_t since_ms;    /* when the oldest message became the oldest, or its bytes were last seen to move */
    uint64_t check_ms;    /* when the bytes were last checked; 0: not yet */
    uint64_t taken_bytes; /* offset in the stream that the peer had taken at check_ms */
};

void ack_timer_init(struct ack_timer *timer, uint64_t timeout_ms);

/* The timeout is at least `minimum_ms`, now and after ack_timer_set_timeout. */
void ack_timer_set_minimum(struct ack_timer *timer, uint64_t minimum_ms);
/* The timeout is another one from now on, also for a message that waits already. */
void ack_timer_set_timeout(struct ack_timer *timer, uint64_t timeout_ms);

/* The ack of the oldest message has come: the next one is the oldest. */
void ack_timer_restart(struct ack_timer *timer, uint64_t now_ms);

/* When ack_timer_is_late must be called. `oldest` is the oldest message that expects an ack; NULL: there is
 * none, and the deadline is 0. */
uint64_t ack_timer_deadline(const struct ack_timer *timer, const struct ledger_entry *oldest);

/* Checks the bytes: the peer has taken the connection's stream up to the offset `taken_bytes`. True when
 * the ack of `oldest` is late. */
bool ack_timer_is_late(struct ack_timer *timer, const struct ledger_entry *oldest, uint64_t taken_bytes,
                       uint64_t now_ms);

#endif
