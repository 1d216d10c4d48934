#include "wire/inherited.h"

#include "wire/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST_FD = 3 /* SD_LISTEN_FDS_START */, FDS_MAX = 65536 };

static const char own_file[] = "+", of_manager[] = "=";

/* ---- variables ---- */

static bool number_parse(const char *text, unsigned long max, unsigned long *number)
{
    char *end;

    if (!text || text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *number = strtoul(text, &end, 10);
    return !*end && !errno && *number <= max;
}

bool inherited_count(const struct inherited_variables *variables, long pid, unsigned *count,
                     struct fault *fault)
{
    unsigned long of, fds;

    *count = 0;
    if (!variables->pid || !variables->fds)
        return true;
    if (!number_parse(variables->pid, (unsigned long)INT32_MAX, &of)) {
        fault_set(fault, "LISTEN_PID: \"%.40s\" is no process", variables->pid);
        return false;
    }
    if (of != (unsigned long)pid)
        return true;
    if (!number_parse(variables->fds, FDS_MAX, &fds)) {
        fault_set(fault, "LISTEN_FDS: \"%.40s\" is not from 0 to %d", variables->fds, FDS_MAX);
        return false;
    }
    *count = (unsigned)fds;
    return true;
}

/* ---- sockets ---- */

static bool is_connected(int fd)
{
    struct socket_address peer = { .length = sizeof peer.storage };

    return getpeername(fd, (struct sockaddr *)&peer.storage, &peer.length) == 0;
}

static const char *unfit_reason(int fd, const struct socket_address *address)
{
    int type = 0;
    socklen_t length = sizeof type;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0)
        return errno == EBADF ? "the descriptor is not open" : "it is no socket";
    if (type != SOCK_STREAM)
        return "it is no stream socket";
    if (address->storage.ss_family != AF_INET && address->storage.ss_family != AF_INET6 &&
        address->storage.ss_family != AF_UNIX)
        return "its address family is not IPv4, IPv6 or Unix";
    return is_connected(fd) ? "it is a connection, and no listening socket" : NULL;
}

static void socket_find(struct inherited_socket *socket, int fd, const char *name)
{
    *socket = (struct inherited_socket) { .fd = fd, .name = name, .address = socket_local_address(fd) };
    socket->unfit = unfit_reason(fd, &socket->address);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        socket->fd = -1;
    if (!socket->unfit)
        (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

bool inherited_open(struct inherited *inherited, struct fault *fault)
{
    const struct inherited_variables variables = { getenv("LISTEN_PID"), getenv("LISTEN_FDS"),
                                                   getenv("LISTEN_FDNAMES") };
    unsigned count;

    *inherited = (struct inherited) { 0 };
    if (!inherited_count(&variables, getpid(), &count, fault))
        return false;
    if (!count)
        return true;
    inherited->items = calloc(count, sizeof *inherited->items);
    inherited->names = strdup(variables.names ? variables.names : "");
    if (!inherited->items || !inherited->names) {
        inherited_close(inherited);
        fault_set(fault, "out of memory");
        return false;
    }
    char *names = inherited->names;
    for (; inherited->count < count; inherited->count++) {
        const char *name = strsep(&names, ":");
        socket_find(&inherited->items[inherited->count], FIRST_FD + (int)inherited->count,
                    name && *name ? name : "unknown");
    }
    return true;
}

void inherited_close(struct inherited *inherited)
{
    for (unsigned i = 0; i < inherited->count; i++) {
        if (inherited->items[i].fd >= 0)
            close(inherited->items[i].fd);
    }
    free(inherited->items);
    free(inherited->names);
    *inherited = (struct inherited) { 0 };
}

/* ---- names ---- */

struct inherited_origin inherited_origin_of(const struct inherited_socket *socket)
{
    char mark = socket->name[0];

    return (struct inherited_origin) { .is_from_husk = mark != *of_manager && strchr(socket->name, '/'),
                                       .is_own_file = mark == *own_file };
}

const char *inherited_plain_name(const struct inherited_socket *socket)
{
    char mark = socket->name[0];

    return socket->name + (mark == *own_file || mark == *of_manager);
}

void inherited_name(char name[INHERITED_NAME_BYTES], const char *route, const struct socket_address *asked,
                    const struct inherited_origin *origin)
{
    char text[ADDRESS_TEXT_BYTES];
    const char *mark = origin->is_own_file ? own_file : origin->is_from_husk ? "" : of_manager;

    socket_address_format(asked, text, sizeof text);
    snprintf(name, INHERITED_NAME_BYTES, "%s%s/%s", mark, route, text);
    for (char *colon = strchr(name, ':'); colon; colon = strchr(colon, ':'))
        *colon = ',';
}

/* ---- taking ---- */

static int socket_take(struct inherited_socket *socket)
{
    int fd = socket->fd;

    socket->fd = -1;
    return fd;
}

static bool is_free(const struct inherited_socket *socket)
{
    return socket->fd >= 0 && !socket->unfit;
}

/* By text: the length of the address of a Unix socket depends on who has bound the socket. */
static bool is_at(const struct inherited_socket *socket, const struct socket_address *address)
{
    char bound[ADDRESS_TEXT_BYTES], wanted[ADDRESS_TEXT_BYTES];

    socket_address_format(&socket->address, bound, sizeof bound);
    socket_address_format(address, wanted, sizeof wanted);
    return strcmp(bound, wanted) == 0;
}

/* A service manager that starts husk has just bound the socket: husk may have no view of the file, for
 * example in a container. A socket that comes from a husk may be old. */
static bool is_lost(const struct inherited_socket *socket, const struct socket_address *asked)
{
    return strchr(socket->name, '/') && socket_file_is_missing(asked);
}

int inherited_take(struct inherited *inherited, const char *route, const struct socket_address *asked,
                   struct inherited_origin *origin)
{
    const struct inherited_origin plain = { .is_from_husk = true };
    char name[INHERITED_NAME_BYTES];

    inherited_name(name, route, asked, &plain);
    for (unsigned i = 0; i < inherited->count; i++) {
        struct inherited_socket *socket = &inherited->items[i];
        if (!is_free(socket) || (!is_at(socket, asked) && strcmp(inherited_plain_name(socket), name) != 0))
            continue;
        int fd = socket_take(socket);
        *origin = inherited_origin_of(socket);
        if (!is_lost(socket, asked))
            return fd;
        close(fd);
    }
    return -1;
}

int inherited_take_next(struct inherited *inherited, const struct socket_address *bound)
{
    for (unsigned i = 0; i < inherited->count; i++) {
        if (is_free(&inherited->items[i]) && is_at(&inherited->items[i], bound))
            return socket_take(&inherited->items[i]);
    }
    return -1;
}

int inherited_take_named(struct inherited *inherited, const char *name)
{
    for (unsigned i = 0; i < inherited->count; i++) {
        struct inherited_socket *socket = &inherited->items[i];
        if (socket->fd < 0 || strcmp(socket->name, name) != 0)
            continue;
        socket->unfit = NULL;
        return socket_take(socket);
    }
    return -1;
}
