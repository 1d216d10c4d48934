#include "check/admin_answer.h"

#include "base/clock.h"
#include "check/connection.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    TIMEOUT_MS = 2000,
    ANSWER_BYTES = 8192, /* husk_build_info is the first metric */
};

/* The admin port answers for localhost, whatever --admin-host says. */
static const char request[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
static const char sign[] = "\nhusk_build_info{";

/* Reads until the sign is found, the buffer is full, the peer ends, or the time is over. */
static bool sign_read(int fd, uint64_t deadline_ms)
{
    char answer[ANSWER_BYTES + 1];
    size_t length = 0;

    if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)sizeof request - 1)
        return false;
    while (length < ANSWER_BYTES && connection_await(fd, POLLIN, deadline_ms)) {
        ssize_t got = recv(fd, answer + length, ANSWER_BYTES - length, 0);
        if (got <= 0)
            return false;
        length += (size_t)got;
        if (memmem(answer, length, sign, sizeof sign - 1))
            return true;
    }
    return false;
}

void admin_answer_check(struct report *report, const struct listen_address *listen)
{
    uint64_t deadline_ms = clock_monotonic_ms() + TIMEOUT_MS;
    struct subject subject;
    int fd;

    if (connection_open(listen->address, deadline_ms, &fd) != END_NONE)
        return; /* listen_address_check_running has said so */
    listen_address_subject(&subject, report, listen);
    if (sign_read(fd, deadline_ms))
        report_add(report, FINDING_OK, &subject, "a husk answers there");
    else
        report_add(report, FINDING_PROBLEM, &subject,
                   "the program that listens there does not answer as the admin port of a husk");
    close(fd);
}
