/* A dialled connection for tools: plain, used by one thread that waits, and never waits without bound.
 *
 * Owns its descriptor. Knows bytes only. Every fault names the peer. */
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
    uint64_t timeout_ms; /* for the whole of one open, write or read */
};

/* Dials `to`, trying each address of a name in turn. */
MUST_CHECK bool plain_connection_open(struct plain_connection *connection, const char *to,
                                      uint64_t timeout_ms, struct fault *fault);
void plain_connection_close(struct plain_connection *connection);

/* Writes all of it. */
MUST_CHECK bool plain_connection_write(struct plain_connection *connection, const char *bytes, size_t length,
                                       struct fault *fault);
/* Ends our direction: the peer sees the end after the last byte. */
MUST_CHECK bool plain_connection_end(struct plain_connection *connection, struct fault *fault);

/* Waits for bytes, which *got counts; 0: the peer has ended. */
MUST_CHECK bool plain_connection_read(struct plain_connection *connection, char *bytes, size_t size,
                                      size_t *got, struct fault *fault);

/* Waits until there is something to read (bytes, an end, an error: true) or until `due_us` of the monotonic
 * clock (false). A time that has passed just asks. */
bool plain_connection_is_readable(const struct plain_connection *connection, uint64_t due_us);

#endif
