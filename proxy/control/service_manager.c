#include "control/service_manager.h"

#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum { SEND_SECONDS = 1, LOST_LOG_BURST = 1, MESSAGE_BYTES = 640 };

/* ---- variables ---- */

/* False: `text` is no decimal number, or does not fit. */
static bool number_parse(const char *text, uint64_t *number)
{
    char *end;

    if (!text || text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return !*end && !errno;
}

uint64_t service_manager_watchdog_ms(const char *usec, const char *pid, long process)
{
    uint64_t interval_us, of;

    if (!number_parse(usec, &interval_us))
        return 0;
    if (pid && (!number_parse(pid, &of) || of != (uint64_t)process))
        return 0;
    return interval_us / 1000;
}

/* NOTIFY_SOCKET is a path, or the abstract name @NAME. */
static bool address_of(struct socket_address *to, const char *text, struct fault *fault)
{
    char name[ADDRESS_TEXT_BYTES];
    struct address address;

    if (text[0] != '/' && text[0] != '@') {
        fault_set(fault, "\"%.80s\" is no path and no @NAME", text);
        return false;
    }
    snprintf(name, sizeof name, "unix:%s", text);
    return address_parse(&address, name, fault) && address_to_socket(&address, to);
}

static int socket_open(void)
{
    const struct timeval limit = { .tv_sec = SEND_SECONDS };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    return fd;
}

void service_manager_open(struct service_manager *manager, struct log *log)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct fault fault;

    *manager = (struct service_manager) { .log = log };
    if (!name || !*name)
        return;
    if (!address_of(&manager->address, name, &fault)) {
        log_say(log, LOG_WARN, "NOTIFY_SOCKET: %s; the service manager is not told what husk does",
                fault.text);
        return;
    }
    manager->fd = socket_open();
    manager->is_open = manager->fd >= 0;
    if (!manager->is_open)
        log_say(log, LOG_WARN, "the service manager is not told what husk does: %s", strerror(errno));
    else
        manager->watchdog_ms =
            service_manager_watchdog_ms(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"), getpid());
}

void service_manager_close(struct service_manager *manager)
{
    if (manager->is_open)
        close(manager->fd);
    manager->is_open = false;
    manager->watchdog_ms = 0;
}

/* ---- messages ---- */

static void lost_log(struct service_manager *manager, int error)
{
    struct log_line line;
    uint32_t suppressed;

    if (!log_limiter_admit(&manager->limiter, clock_monotonic_ms(), LOST_LOG_BURST, &suppressed))
        return;
    log_begin(&line, manager->log, LOG_WARN, "the service manager takes no message");
    log_text(&line, "detail", strerror(error));
    log_suppressed(&line, suppressed);
    log_end(&line);
}

/* `count` descriptors go with the message. */
static void message_send_fds(struct service_manager *manager, char *text, const int *fds, unsigned count)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(SERVICE_MANAGER_FDS_MAX * sizeof(int))];
    } control = { 0 };
    struct iovec bytes = { text, strlen(text) };
    struct msghdr message = { .msg_name = &manager->address.storage,
                              .msg_namelen = manager->address.length,
                              .msg_iov = &bytes,
                              .msg_iovlen = 1 };

    if (count) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(rights), fds, count * sizeof(int));
    }
    if (manager->is_open && sendmsg(manager->fd, &message, MSG_NOSIGNAL) < 0)
        lost_log(manager, errno);
}

static void message_send(struct service_manager *manager, const char *format, ...) PRINTF_LIKE(2, 3);

static void message_send(struct service_manager *manager, const char *format, ...)
{
    char text[MESSAGE_BYTES];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    message_send_fds(manager, text, NULL, 0);
}

void service_manager_ready(struct service_manager *manager)
{
    message_send(manager, "READY=1");
}

void service_manager_reloading(struct service_manager *manager)
{
    message_send(manager, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_monotonic_us());
}

void service_manager_stopping(struct service_manager *manager)
{
    message_send(manager, "STOPPING=1");
}

void service_manager_alive(struct service_manager *manager)
{
    message_send(manager, "WATCHDOG=1");
}

void service_manager_hand_over(struct service_manager *manager, long pid)
{
    message_send(manager, "MAINPID=%ld", pid);
    service_manager_close(manager);
}

void service_manager_store(struct service_manager *manager, const char *name, const int *fds, unsigned count)
{
    char text[MESSAGE_BYTES];

    /* FDPOLL: a socket that does not listen for a moment (--when-unhealthy refuse) is kept. */
    snprintf(text, sizeof text, "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
    message_send_fds(manager, text, fds, count);
}

void service_manager_discard(struct service_manager *manager, const char *name)
{
    message_send(manager, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

/* A status is one line: the lines of `text` with "; " between them. */
static void status_join(char status[SERVICE_MANAGER_STATUS_BYTES], const char *text)
{
    size_t used = 0;

    for (; *text && used + 2 < SERVICE_MANAGER_STATUS_BYTES; text++) {
        if (*text != '\n') {
            status[used++] = *text;
        } else if (text[1]) {
            status[used++] = ';';
            status[used++] = ' ';
        }
    }
    status[used] = '\0';
}

void service_manager_status(struct service_manager *manager, const char *text)
{
    char status[SERVICE_MANAGER_STATUS_BYTES];

    if (!manager->is_open)
        return;
    status_join(status, text);
    if (strcmp(status, manager->status) == 0)
        return;
    memcpy(manager->status, status, sizeof status);
    message_send(manager, "STATUS=%s", status);
}
