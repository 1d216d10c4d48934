/* One request to the admin endpoint of a husk that runs, by one thread, with a time limit.
 *
 * Speaks HTTP/1.1 with http-parser over one connection. Knows nothing of the pages. */
#ifndef HUSK_COMMANDS_ADMIN_CALL_H
#define HUSK_COMMANDS_ADMIN_CALL_H

#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ADMIN_ANSWER_BYTES = 16384 };

/* The settings that each command with such a request has: the husk, whose default is that of --admin, and the
 * time limit. `options` is the struct of the command: it has `const char *admin` and `uint64_t timeout_ms`.
 */
/* clang-format off */
#define ADMIN_CALL_ROWS(options)                                                                             \
    { "admin", SETTING_TEXT, offsetof(struct options, admin), .fallback = "127.0.0.1:9901",                  \
      .value_name = "ADDR", .help = "host:port or unix:PATH of the husk's --admin" },                        \
    { "timeout", SETTING_DURATION, offsetof(struct options, timeout_ms), .fallback = "2s", .min = 1,         \
      .max = 86400000, .value_name = "DURATION",                                                             \
      .help = "longest wait for the connection, and for the answer" }
/* clang-format on */

struct admin_answer {
    unsigned status; /* of HTTP */
    char body[ADMIN_ANSWER_BYTES + 1];
    size_t length; /* of the body, which is terminated and cut to size */
};

/* `address`: host:port or unix:PATH. `request`: method and path, such as "GET /ready". The connection, the
 * request and each part of the answer take `timeout_ms` at most. False and a fault that names the address:
 * there is no complete answer. */
MUST_CHECK bool admin_call(const char *address, const char *request, uint64_t timeout_ms,
                           struct admin_answer *answer, struct fault *fault);

#endif
