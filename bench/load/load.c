#include "load/load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    SECOND_NS = 1000000000,
    BACKLOG = 4096,
};

void load_fail(const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "%s: ", program_invocation_short_name);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

uint64_t load_number(const char *text, uint64_t min)
{
    char *end;
    uint64_t number = strtoull(text, &end, 10);

    if (end == text || *end || number < min)
        load_fail("%s: a number of at least %" PRIu64 " is needed", text, min);
    return number;
}

void *load_allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (!memory)
        load_fail("out of memory");
    return memory;
}

uint64_t load_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

void load_sleep_until(uint64_t at_ns)
{
    struct timespec at = { (time_t)(at_ns / SECOND_NS), (long)(at_ns % SECOND_NS) };

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

void load_wait_for_start(uint64_t messages)
{
    printf("ready %" PRIu64 "\n", messages);
    fflush(stdout);
    if (getchar() == EOF)
        exit(0);
}

void load_hold(void)
{
    fflush(stdout);
    while (getchar() != EOF)
        ;
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in) { .sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static int open_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        load_fail("socket: %s", strerror(errno));
    return fd;
}

int load_listen(uint16_t port)
{
    struct sockaddr_in address = loopback(port);
    int fd = open_socket();

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int) { 1 }, sizeof(int));
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, BACKLOG))
        load_fail("127.0.0.1:%u: %s", port, strerror(errno));
    load_set_nonblocking(fd);
    return fd;
}

int load_connect(uint16_t port)
{
    struct sockaddr_in address = loopback(port);
    const struct timeval timeout = { .tv_sec = LOAD_TIMEOUT_SECONDS };
    int fd = open_socket();

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int) { 1 }, sizeof(int));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    if (connect(fd, (struct sockaddr *)&address, sizeof address))
        load_fail("127.0.0.1:%u: %s", port, strerror(errno));
    return fd;
}

void load_set_nonblocking(int fd)
{
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
        load_fail("fcntl: %s", strerror(errno));
}

void load_wait_for(int fd, short events)
{
    struct pollfd wanted = { .fd = fd, .events = events };

    if (poll(&wanted, 1, LOAD_TIMEOUT_SECONDS * 1000) == 0)
        load_fail("a proxy has %s nothing for %d s", events == POLLIN ? "sent" : "read",
                  LOAD_TIMEOUT_SECONDS);
}

void load_write_all(int fd, const void *bytes, size_t length)
{
    for (size_t at = 0; at < length;) {
        ssize_t written = send(fd, (const uint8_t *)bytes + at, length - at, MSG_NOSIGNAL);
        if (written >= 0)
            at += (size_t)written;
        else if (errno == EAGAIN)
            load_wait_for(fd, POLLOUT);
        else if (errno != EINTR)
            load_fail("write: %s", strerror(errno));
    }
}
