#include "worker/listening.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* TCP sockets share the port. A Unix socket has one name, so its descriptor is duplicated. */
static int another_fd(const struct listening_socket *socket, struct fault *fault)
{
    if (socket->address.storage.ss_family != AF_UNIX)
        return socket_listen(&socket->address, SOCKET_JOINED, NULL, fault);
    int fd = fcntl(socket->fds[0].number, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        fault_set(fault, "cannot share the listening socket: out of descriptors");
    return fd;
}

/* Removes the file, and closes the descriptors that no worker has taken. */
static void socket_close(struct listening_socket *socket, unsigned workers)
{
    for (unsigned worker = 0; socket->fds && worker < workers; worker++) {
        const struct listening_fd *fd = &socket->fds[worker];
        if (fd->number >= 0 && !fd->is_taken)
            close(fd->number);
    }
    socket_file_remove(&socket->file, &socket->address);
    free(socket->fds);
    *socket = (struct listening_socket) { 0 };
}

static bool fds_open(struct listening_socket *socket, unsigned workers, struct fault *fault)
{
    const struct listening_address *to = &socket->asked;
    const char *path = socket_address_path(&to->address);
    enum socket_sharing sharing = to->is_taken_over ? SOCKET_JOINED : SOCKET_SHARED;

    if (path && to->is_taken_over)
        unlink(path); /* the socket that listens there loses its name, and ends later */
    for (unsigned worker = 0; worker < workers; worker++)
        socket->fds[worker].number = -1;
    int fd = socket_listen(&to->address, path ? SOCKET_EXCLUSIVE : sharing, &to->access, fault);
    if (fd < 0)
        return false;
    socket->fds[0].number = fd;
    socket->address = socket_local_address(fd); /* the others join the port chosen for port 0 */
    socket->file = socket_file_of(&to->address);
    for (unsigned worker = 1; worker < workers; worker++) {
        socket->fds[worker].number = another_fd(socket, fault);
        if (socket->fds[worker].number < 0)
            return false;
    }
    return true;
}

/* A failure leaves nothing behind. */
static bool socket_open(struct listening_socket *socket, const struct listening_address *to, unsigned workers,
                        struct fault *fault)
{
    *socket = (struct listening_socket) { .asked = *to, .fds = calloc(workers, sizeof *socket->fds) };
    if (!socket->fds) {
        fault_set(fault, "out of memory");
        return false;
    }
    if (fds_open(socket, workers, fault))
        return true;
    socket_close(socket, workers);
    return false;
}

bool listening_open(struct listening *listening, const struct listening_options *options, unsigned workers,
                    struct fault *fault)
{
    *listening = (struct listening) { .workers = workers };
    while (listening->count < options->count) {
        unsigned at = listening->count;
        if (!socket_open(&listening->sockets[at], &options->addresses[at], workers, fault))
            return false;
        listening->count++;
    }
    return true;
}

struct listener_fds listening_take(struct listening *listening, unsigned worker)
{
    struct listener_fds taken = { .count = 0 };

    for (unsigned i = 0; i < listening->count; i++) {
        struct listening_fd *fd = &listening->sockets[i].fds[worker];
        if (fd->is_taken)
            continue;
        fd->is_taken = true;
        taken.items[taken.count++] = fd->number;
    }
    return taken;
}

void listening_close(struct listening *listening)
{
    for (unsigned i = 0; i < listening->count; i++)
        socket_close(&listening->sockets[i], listening->workers);
    *listening = (struct listening) { 0 };
}

/* ---- other addresses ---- */

/* What becomes of the sockets. */
struct replacement {
    struct listening next; /* a socket is all zeros where one of the old is kept */
    struct listening_socket *kept[LISTENER_SOCKETS_MAX]; /* by its index in `next`; NULL: a new one */
};

/* The socket with this address that is not kept already; NULL: there is none. */
static struct listening_socket *socket_find(struct listening *listening,
                                            const struct replacement *replacement,
                                            const struct listening_address *to)
{
    for (unsigned i = 0; i < listening->count; i++) {
        struct listening_socket *socket = &listening->sockets[i];
        bool is_kept = false;
        for (unsigned k = 0; k < replacement->next.count; k++)
            is_kept = is_kept || replacement->kept[k] == socket;
        if (!is_kept && socket_address_equal(&socket->asked.address, &to->address))
            return socket;
    }
    return NULL;
}

static bool access_change(struct listening_socket *socket, const struct socket_access *access,
                          struct fault *fault)
{
    if (!socket_address_path(&socket->address) ||
        (socket->asked.access.mode == access->mode && socket->asked.access.group == access->group))
        return true;
    if (!socket_file_set_access(&socket->address, access, fault))
        return false;
    socket->asked.access = *access;
    return true;
}

/* Opens what is new. */
static bool replacement_make(struct replacement *replacement, struct listening *listening,
                             const struct listening_options *options, struct fault *fault)
{
    *replacement = (struct replacement) { .next = { .workers = listening->workers } };
    for (unsigned at = 0; at < options->count; at++) {
        const struct listening_address *to = &options->addresses[at];
        struct listening_socket *kept = socket_find(listening, replacement, to);
        if (kept ? !access_change(kept, &to->access, fault)
                 : !socket_open(&replacement->next.sockets[at], to, listening->workers, fault)) {
            listening_close(&replacement->next);
            return false;
        }
        replacement->kept[at] = kept;
        replacement->next.count++;
    }
    return true;
}

/* Moves the descriptors of `socket` that workers have taken to `removed`. */
static void taken_remove(const struct listening_socket *socket, unsigned workers,
                         struct listener_fds *removed)
{
    for (unsigned worker = 0; socket->fds && worker < workers; worker++) {
        if (socket->fds[worker].is_taken)
            removed[worker].items[removed[worker].count++] = socket->fds[worker].number;
    }
}

bool listening_change(struct listening *listening, const struct listening_options *options,
                      struct listener_fds *removed, struct fault *fault)
{
    struct replacement replacement;

    if (!replacement_make(&replacement, listening, options, fault))
        return false;
    for (unsigned i = 0; i < replacement.next.count; i++) {
        if (!replacement.kept[i])
            continue;
        replacement.next.sockets[i] = *replacement.kept[i];
        *replacement.kept[i] = (struct listening_socket) { 0 };
    }
    for (unsigned worker = 0; worker < listening->workers; worker++)
        removed[worker].count = 0;
    for (unsigned i = 0; i < listening->count; i++)
        taken_remove(&listening->sockets[i], listening->workers, removed);
    listening_close(listening);
    *listening = replacement.next;
    return true;
}
