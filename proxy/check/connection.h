/* A connection of the check, with a deadline for each wait. Only for a process that does nothing else. */
#ifndef HUSK_CHECK_CONNECTION_H
#define HUSK_CHECK_CONNECTION_H

#include "base/end_reason.h"
#include "wire/address.h"

#include <stdbool.h>
#include <stdint.h>

/* Waits until the descriptor is ready for `events` of poll(2). `deadline_ms`: on the monotonic clock
 * (base/clock.h). False: it is not, and the deadline is over. */
bool connection_await(int fd, short events, uint64_t deadline_ms);

/* Connects. *fd is the descriptor, which the caller closes, or -1. END_NONE, or why there is no connection.
 */
enum end_reason connection_open(const struct socket_address *address, uint64_t deadline_ms, int *fd);

#endif
