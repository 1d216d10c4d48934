#include "check/connection.h"

#include "base/clock.h"
#include "wire/socket.h"

#include <poll.h>
#include <unistd.h>

bool connection_await(int fd, short events, uint64_t deadline_ms)
{
    struct pollfd wanted = { .fd = fd, .events = events };
    uint64_t now_ms = clock_monotonic_ms();

    return now_ms < deadline_ms && poll(&wanted, 1, (int)(deadline_ms - now_ms)) == 1;
}

enum end_reason connection_open(const struct socket_address *address, uint64_t deadline_ms, int *fd)
{
    enum end_reason reason;

    *fd = socket_connect(address, 0, &reason);
    if (*fd < 0)
        return reason;
    reason = connection_await(*fd, POLLOUT, deadline_ms) ? socket_connect_outcome(*fd) : END_CONNECT_TIMEOUT;
    if (reason != END_NONE) {
        close(*fd);
        *fd = -1;
    }
    return reason;
}
