#include "worker/listening.h"

#include <fcntl.h>
#include <stdlib.h>

/* TCP sockets share the port. A Unix socket has one name, so its descriptor is duplicated. */
static int another_fd(const struct listening *listening, unsigned at, struct fault *fault)
{
    const struct socket_address *address = &listening->sockets[at].address;

    if (address->storage.ss_family != AF_UNIX)
        return socket_listen(address, SOCKET_JOINED, NULL, fault);
    int fd = fcntl(listening->fds[0].items[at], F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        fault_set(fault, "cannot share the listening socket: out of descriptors");
    return fd;
}

static bool socket_open(struct listening *listening, const struct listening_address *to, struct fault *fault)
{
    unsigned at = listening->count;
    bool is_shared = listening->workers > 1 && to->address.storage.ss_family != AF_UNIX;
    int fd = socket_listen(&to->address, is_shared ? SOCKET_SHARED : SOCKET_EXCLUSIVE, &to->access, fault);

    if (fd < 0)
        return false;
    listening->fds[0].items[listening->fds[0].count++] = fd;
    listening->sockets[at].address =
        socket_local_address(fd); /* the others join the port chosen for port 0 */
    listening->sockets[at].file = socket_file_of(&to->address);
    listening->count++;
    for (unsigned worker = 1; worker < listening->workers; worker++) {
        fd = another_fd(listening, at, fault);
        if (fd < 0)
            return false;
        struct listener_fds *fds = &listening->fds[worker];
        fds->items[fds->count++] = fd;
    }
    return true;
}

bool listening_open(struct listening *listening, const struct listening_options *options, unsigned workers,
                    struct fault *fault)
{
    *listening = (struct listening) { .fds = calloc(workers, sizeof *listening->fds), .workers = workers };
    if (!listening->fds) {
        fault_set(fault, "out of memory");
        return false;
    }
    while (listening->count < options->count) {
        if (!socket_open(listening, &options->addresses[listening->count], fault))
            return false;
    }
    return true;
}

struct listener_fds listening_take(struct listening *listening, unsigned worker)
{
    struct listener_fds taken = listening->fds[worker];

    listening->fds[worker].count = 0;
    return taken;
}

void listening_close(struct listening *listening)
{
    for (unsigned worker = 0; listening->fds && worker < listening->workers; worker++)
        listener_fds_close(&listening->fds[worker]);
    for (unsigned i = 0; i < listening->count; i++)
        socket_file_remove(&listening->sockets[i].file, &listening->sockets[i].address);
    free(listening->fds);
    *listening = (struct listening) { 0 };
}
