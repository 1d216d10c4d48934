#include "wire/socket.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 4096, KEEPALIVE_PROBES = 5, ALL_ACCESS = 0777 };

static void option_set(int fd, int level, int name, int value)
{
    /* Best effort: a socket without the option, such as a Unix socket, still works. */
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

/* Many hosts default to BBR, which paces with a timer: on loopback it has no benefit and costs much processor
 * time (docs/performance.md). Every kernel has Reno and lets every process use it. Best effort, like
 * option_set: Unix and UDP sockets have no congestion control. */
static void congestion_control_choose(int fd, const struct socket_address *address)
{
    static const char name[] = "reno";

    if (socket_address_is_local(address))
        (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, sizeof name - 1);
}

static int socket_new(const struct socket_address *address, int type)
{
    int fd = socket(address->storage.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return fd;
    option_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0); /* [::] accepts IPv4 too, whatever the system default */
    congestion_control_choose(fd, address);
    return fd;
}

void socket_file_reclaim(const struct socket_address *address)
{
    const char *path = socket_address_path(address);
    struct stat facts;

    if (!path || lstat(path, &facts) != 0 || !S_ISSOCK(facts.st_mode))
        return;
    int probe = socket_new(address, SOCK_STREAM);
    if (probe < 0)
        return;
    if (connect(probe, (const struct sockaddr *)&address->storage, address->length) != 0 &&
        errno == ECONNREFUSED)
        unlink(path);
    close(probe);
}

/* With SO_REUSEPORT the kernel lets two programs share a port: try without it first. */
static bool port_is_free(const struct socket_address *address)
{
    int probe = socket_new(address, SOCK_STREAM);

    if (probe < 0)
        return false;
    option_set(probe, SOL_SOCKET, SO_REUSEADDR, 1);
    bool is_free = bind(probe, (const struct sockaddr *)&address->storage, address->length) == 0;
    int error = errno;
    close(probe);
    errno = error;
    return is_free;
}

/* Nobody can connect before the socket listens. At that time the file has its mode and group. */
static bool bind_with_access(int fd, const struct socket_address *address, const struct socket_access *access)
{
    const char *path = socket_address_path(address);

    if (!path || !access)
        return bind(fd, (const struct sockaddr *)&address->storage, address->length) == 0;
    mode_t before = umask(ALL_ACCESS & ~access->mode);
    int failure = bind(fd, (const struct sockaddr *)&address->storage, address->length) == 0 ? 0 : errno;
    umask(before);
    if (!failure && access->group != SOCKET_GROUP_KEPT && lchown(path, (uid_t)-1, access->group) != 0) {
        failure = errno;
        unlink(path);
    }
    errno = failure;
    return !failure;
}

/* Why listening failed with `error`; names the mistake of the user where possible. */
static const char *listen_failure(const struct socket_address *address, const struct socket_access *access,
                                  int error)
{
    const char *path = socket_address_path(address);
    struct stat facts;

    if (path && error == EADDRINUSE && lstat(path, &facts) == 0 && !S_ISSOCK(facts.st_mode))
        return "a file that is no socket has this name";
    if (path && error == ENOENT)
        return "the directory does not exist";
    if (path && error == EPERM && access && access->group != SOCKET_GROUP_KEPT)
        return "this user may not give files to that group";
    if (!path && error == EACCES && socket_address_port(address))
        return "Permission denied: a port below 1024 needs root or the capability CAP_NET_BIND_SERVICE";
    if (!path && error == EADDRNOTAVAIL)
        return "no interface of this machine has this address";
    return strerror(error);
}

static void listen_fault(struct fault *fault, const struct socket_address *address, const char *failure)
{
    char text[ADDRESS_TEXT_BYTES];

    socket_address_format(address, text, sizeof text);
    fault_set(fault, "cannot listen on %s: %s", text, failure);
}

int socket_bind_stream(const struct socket_address *address, enum socket_sharing sharing,
                       const struct socket_access *access, struct fault *fault)
{
    int fd = -1, error;

    socket_file_reclaim(address);
    if (sharing == SOCKET_SHARED && !port_is_free(address))
        goto fail;
    fd = socket_new(address, SOCK_STREAM);
    if (fd < 0)
        goto fail;
    option_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (sharing != SOCKET_EXCLUSIVE)
        option_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (bind_with_access(fd, address, access))
        return fd;
fail:
    error = errno;
    listen_fault(fault, address, listen_failure(address, access, error));
    if (fd >= 0)
        close(fd);
    errno = error;
    return -1;
}

bool socket_listen_begin(int fd, const struct socket_address *address, struct fault *fault)
{
    if (listen(fd, LISTEN_BACKLOG) == 0)
        return true;
    int error = errno;
    listen_fault(fault, address, strerror(error));
    errno = error;
    return false;
}

int socket_listen(const struct socket_address *address, enum socket_sharing sharing,
                  const struct socket_access *access, struct fault *fault)
{
    int fd = socket_bind_stream(address, sharing, access, fault);

    if (fd < 0 || socket_listen_begin(fd, address, fault))
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

bool socket_shares_port(int fd)
{
    int shares = 0;
    socklen_t length = sizeof shares;

    return getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &shares, &length) == 0 && shares;
}

void socket_listen_pause(int fd)
{
    (void)shutdown(fd, SHUT_RD); /* on Linux, a listening socket becomes a bound one */
}

bool socket_listen_resume(int fd)
{
    return listen(fd, LISTEN_BACKLOG) == 0;
}

int socket_bind_datagram(const struct socket_address *address, struct fault *fault)
{
    char text[ADDRESS_TEXT_BYTES];
    int fd = socket_new(address, SOCK_DGRAM);

    if (fd >= 0 && bind(fd, (const struct sockaddr *)&address->storage, address->length) == 0) {
        if (address->storage.ss_family == AF_INET6)
            option_set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
        else
            option_set(fd, IPPROTO_IP, IP_PKTINFO, 1);
        return fd;
    }
    socket_address_format(address, text, sizeof text);
    fault_set(fault, "cannot bind UDP %s: %s", text, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

struct socket_file socket_file_of(const struct socket_address *address)
{
    const char *path = socket_address_path(address);
    struct stat facts;

    if (!path || lstat(path, &facts) != 0)
        return (struct socket_file) { 0 };
    return (struct socket_file) { facts.st_dev, facts.st_ino, facts.st_mtim };
}

bool socket_file_is_missing(const struct socket_address *address)
{
    const char *path = socket_address_path(address);
    struct stat facts;

    return path && lstat(path, &facts) != 0 && errno == ENOENT;
}

bool socket_file_access(const struct socket_address *address, struct socket_access *access)
{
    const char *path = socket_address_path(address);
    struct stat facts;

    if (!path || lstat(path, &facts) != 0 || !S_ISSOCK(facts.st_mode))
        return false;
    *access = (struct socket_access) { .mode = facts.st_mode & ALL_ACCESS, .group = facts.st_gid };
    return true;
}

bool socket_file_set_access(const struct socket_address *address, const struct socket_access *access,
                            struct fault *fault)
{
    const char *path = socket_address_path(address);

    if ((access->group == SOCKET_GROUP_KEPT || lchown(path, (uid_t)-1, access->group) == 0) &&
        chmod(path, access->mode) == 0)
        return true;
    fault_set(fault, "cannot change the rights of unix:%s: %s", path, strerror(errno));
    return false;
}

bool socket_file_is_in_place(const struct socket_file *file, const struct socket_address *address)
{
    struct socket_file now = socket_file_of(address);

    return now.inode == file->inode && now.device == file->device && now.made.tv_sec == file->made.tv_sec &&
           now.made.tv_nsec == file->made.tv_nsec;
}

void socket_file_remove(const struct socket_file *file, const struct socket_address *address)
{
    if (file->inode && socket_file_is_in_place(file, address))
        unlink(socket_address_path(address));
}

struct socket_address socket_local_address(int fd)
{
    struct socket_address address = { .length = sizeof address.storage };

    if (getsockname(fd, (struct sockaddr *)&address.storage, &address.length) != 0)
        address.length = 0;
    return address;
}

struct socket_address socket_peer_address(int fd)
{
    struct socket_address address = { .length = sizeof address.storage };

    if (getpeername(fd, (struct sockaddr *)&address.storage, &address.length) != 0)
        address = (struct socket_address) { 0 };
    return address;
}

static enum end_reason reason_of_connect_errno(int error)
{
    switch (error) {
    case ECONNREFUSED:
    case ENOENT: /* a Unix socket file that does not exist yet */
        return END_CONNECT_REFUSED;
    case ETIMEDOUT:
        return END_CONNECT_TIMEOUT;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
        return socket_reason_of_errno(error);
    default:
        return END_CONNECT_FAILED;
    }
}

int socket_connect(const struct socket_address *address, unsigned dead_peer_ms, enum end_reason *reason)
{
    int fd = socket_new(address, SOCK_STREAM);

    if (fd >= 0) {
        socket_tune(fd, dead_peer_ms);
        if (connect(fd, (const struct sockaddr *)&address->storage, address->length) == 0 ||
            errno == EINPROGRESS)
            return fd;
    }
    *reason = reason_of_connect_errno(errno);
    if (fd >= 0)
        close(fd);
    return -1;
}

enum end_reason socket_connect_outcome(int fd)
{
    int error = 0;
    socklen_t length = sizeof error;

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
        error = errno;
    return error ? reason_of_connect_errno(error) : END_NONE;
}

void socket_tune(int fd, unsigned dead_peer_ms)
{
    option_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    option_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (!dead_peer_ms)
        return;
    int idle_seconds = (int)(dead_peer_ms / 1000 / 2);
    int interval_seconds = idle_seconds / KEEPALIVE_PROBES;
    option_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_seconds > 0 ? idle_seconds : 1);
    option_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval_seconds > 0 ? interval_seconds : 1);
    option_set(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
}

enum end_reason socket_check(int fd, unsigned dead_peer_ms)
{
    struct pollfd state = { .fd = fd };
    struct tcp_info facts;
    socklen_t length = sizeof facts;

    if (poll(&state, 1, 0) == 1 && (state.revents & POLLERR))
        return END_RESET;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &facts, &length) != 0 || !dead_peer_ms)
        return END_NONE;
    bool is_repeating = facts.tcpi_retransmits || facts.tcpi_probes > 1;
    bool is_silent = facts.tcpi_last_ack_recv >= dead_peer_ms && facts.tcpi_last_data_recv >= dead_peer_ms;
    return is_repeating && is_silent ? END_DEAD_PEER : END_NONE;
}

size_t socket_unread(int fd)
{
    int unread = 0;

    return ioctl(fd, SIOCINQ, &unread) == 0 && unread > 0 ? (size_t)unread : 0;
}

size_t socket_unsent(int fd)
{
    int unsent = 0;

    return ioctl(fd, SIOCOUTQ, &unsent) == 0 && unsent > 0 ? (size_t)unsent : 0;
}

enum end_reason socket_reason_of_errno(int error)
{
    switch (error) {
    case ECONNRESET:
    case EPIPE:
        return END_RESET;
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return END_DEAD_PEER;
    case EMFILE:
    case ENFILE:
        return END_NO_DESCRIPTOR;
    case ENOMEM:
    case ENOBUFS:
        return END_NO_MEMORY;
    default:
        return END_IO_ERROR;
    }
}

enum socket_peek socket_peek(int fd)
{
    char byte;
    ssize_t got = recv(fd, &byte, 1, MSG_PEEK);

    if (got > 0)
        return SOCKET_HAS_DATA;
    return got < 0 && (errno == EAGAIN || errno == EINTR) ? SOCKET_SILENT : SOCKET_ENDED;
}

void socket_close_by_reset(int fd)
{
    struct linger now = { .l_onoff = 1, .l_linger = 0 };

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}
