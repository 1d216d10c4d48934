/* Proves that the program at the other end of a connection has read everything that husk sent.
 *
 * Silence proves nothing: a program that is stopped or hangs is silent too, and its system takes the bytes.
 * But if husk ends its direction in order, a program that reads finds the end after the last byte, and
 * closes. Its system then sends FIN if the program has read all bytes, and RST if bytes are unread (Linux,
 * tcp_close; RFC 1122, 4.2.2.13). Pure, except for the leg. */
#ifndef HUSK_DELIVERY_READ_PROOF_H
#define HUSK_DELIVERY_READ_PROOF_H

#include "wire/leg.h"

#include <stdint.h>

enum read_proof_result {
    READ_PROOF_OPEN,    /* the peer has not closed yet */
    READ_PROOF_GIVEN,   /* the peer has read all bytes, and has closed in order */
    READ_PROOF_MISSING, /* the connection was reset, or has failed */
};

/* Ends our direction. Call it when the peer's system has all bytes. */
void read_proof_begin(struct leg *leg);

/* Call it after each event of the leg, when leg_read has read all available bytes. The caller decides how
 * long to wait. */
enum read_proof_result read_proof_check(struct leg *leg);

#endif
