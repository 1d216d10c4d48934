/* A dialled plain connection for the tools, used by one thread. Its calls block, but never without a time
 * limit.
 *
 * Owns its descriptor. Knows only bytes. Every fault names the peer. */
#ifndef HUSK_COMMANDS_PLAIN_CONNECTION_H
#define HUSK_COMMANDS_PLAIN_CONNECTION_H

#include "base/fault.h"
#include "wire/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct plain_connection {
    int fd;
    const char *peer;    /* as the user wrote it; borrowed */
    uint64_t timeout_ms; /* for each open, write or read as a whole */
};

/* Dials `to`; tries the addresses of a name one after the other. */
MUST_CHECK bool plain_connection_open(struct plain_connection *connection, const char *to,
                                      uint64_t timeout_ms, struct fault *fault);
void plain_connection_close(struct plain_connection *connection);

/* Writes all bytes. */
MUST_CHECK bool plain_connection_write(struct plain_connection *connection, const char *bytes, size_t length,
                                       struct fault *fault);
/* Ends our direction: the peer reads the end after the last byte. */
MUST_CHECK bool plain_connection_end(struct plain_connection *connection, struct fault *fault);

/* Waits for bytes and stores their number in *got; 0: the peer has ended its direction. */
MUST_CHECK bool plain_connection_read(struct plain_connection *connection, char *bytes, size_t size,
                                      size_t *got, struct fault *fault);

/* Waits until something can be read (bytes, an end, an error: true) or until `due_us` of the monotonic clock
 * (false). A time in the past only checks. */
bool plain_connection_await_readable(const struct plain_connection *connection, uint64_t due_us);

#endif
