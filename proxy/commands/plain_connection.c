#include "commands/plain_connection.h"

#include "base/clock.h"
#include "wire/socket.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum readiness { READABLE = POLLIN, WRITABLE = POLLOUT };

static bool readiness_await(int fd, enum readiness readiness, uint64_t due_us)
{
    struct pollfd wanted = { .fd = fd, .events = (short)readiness };

    for (;;) {
        uint64_t now_us = clock_monotonic_us();
        uint64_t left_us = due_us > now_us ? due_us - now_us : 0;
        struct timespec left = { .tv_sec = (time_t)(left_us / 1000000),
                                 .tv_nsec = (long)(left_us % 1000000) * 1000 };
        int count = ppoll(&wanted, 1, &left, NULL);
        if (count >= 0 || errno != EINTR)
            return count != 0; /* the next call on the socket reports an error */
    }
}

static uint64_t deadline_us(const struct plain_connection *connection)
{
    return clock_monotonic_us() + connection->timeout_ms * 1000;
}

static void error_describe(const struct plain_connection *connection, int error, struct fault *fault)
{
    if (error == EPIPE || error == ECONNRESET)
        fault_set(fault, "%s reset the connection", connection->peer);
    else
        fault_set(fault, "%s: %s", connection->peer, strerror(error));
}

static bool address_dial(struct plain_connection *connection, const struct socket_address *address,
                         uint64_t due_us, struct fault *fault)
{
    enum end_reason reason;

    connection->fd = socket_connect(address, 0, &reason);
    if (connection->fd < 0) {
        fault_set(fault, "%s: %s", connection->peer, end_reason_phrase(reason));
        return false;
    }
    reason = readiness_await(connection->fd, WRITABLE, due_us) ? socket_connect_outcome(connection->fd)
                                                               : END_CONNECT_TIMEOUT;
    if (reason == END_NONE)
        return true;
    fault_set(fault, "%s: %s", connection->peer, end_reason_phrase(reason));
    plain_connection_close(connection);
    return false;
}

static bool name_dial(struct plain_connection *connection, const struct address *name, uint64_t due_us,
                      struct fault *fault)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV };
    struct addrinfo *found = NULL;
    char port[8];
    bool dialled = false;

    snprintf(port, sizeof port, "%u", name->port);
    int outcome = getaddrinfo(name->host, port, &hints, &found);
    if (outcome != 0) {
        fault_set(fault, "%s: %s", connection->peer, gai_strerror(outcome));
        return false;
    }
    for (struct addrinfo *at = found; at && !dialled; at = at->ai_next) {
        struct socket_address address = { .length = at->ai_addrlen };
        memcpy(&address.storage, at->ai_addr, at->ai_addrlen);
        dialled = address_dial(connection, &address, due_us, fault);
    }
    freeaddrinfo(found);
    return dialled;
}

bool plain_connection_open(struct plain_connection *connection, const char *to, uint64_t timeout_ms,
                           struct fault *fault)
{
    struct address name;
    struct socket_address address;

    *connection = (struct plain_connection) { .fd = -1, .peer = to, .timeout_ms = timeout_ms };
    if (!address_parse_dialled(&name, to, fault))
        return false;
    if (address_to_socket(&name, &address))
        return address_dial(connection, &address, deadline_us(connection), fault);
    return name_dial(connection, &name, deadline_us(connection), fault);
}

void plain_connection_close(struct plain_connection *connection)
{
    if (connection->fd >= 0)
        close(connection->fd);
    connection->fd = -1;
}

bool plain_connection_write(struct plain_connection *connection, const char *bytes, size_t length,
                            struct fault *fault)
{
    uint64_t due_us = deadline_us(connection);

    while (length > 0) {
        ssize_t sent = send(connection->fd, bytes, length, MSG_NOSIGNAL);
        if (sent >= 0) {
            bytes += sent;
            length -= (size_t)sent;
        } else if (errno != EAGAIN && errno != EINTR) {
            error_describe(connection, errno, fault);
            return false;
        } else if (!readiness_await(connection->fd, WRITABLE, due_us)) {
            fault_set(fault, "%s does not read: a message could not be written in time", connection->peer);
            return false;
        }
    }
    return true;
}

bool plain_connection_end(struct plain_connection *connection, struct fault *fault)
{
    if (shutdown(connection->fd, SHUT_WR) == 0)
        return true;
    /* ENOTCONN: the peer has reset the connection. */
    error_describe(connection, errno == ENOTCONN ? ECONNRESET : errno, fault);
    return false;
}

bool plain_connection_read(struct plain_connection *connection, char *bytes, size_t size, size_t *got,
                           struct fault *fault)
{
    uint64_t due_us = deadline_us(connection);

    for (;;) {
        ssize_t received = recv(connection->fd, bytes, size, 0);
        if (received >= 0) {
            *got = (size_t)received;
            return true;
        }
        if (errno != EAGAIN && errno != EINTR) {
            error_describe(connection, errno, fault);
            return false;
        }
        if (!readiness_await(connection->fd, READABLE, due_us)) {
            fault_set(fault, "%s did not answer in time", connection->peer);
            return false;
        }
    }
}

bool plain_connection_await_readable(const struct plain_connection *connection, uint64_t due_us)
{
    return readiness_await(connection->fd, READABLE, due_us);
}
