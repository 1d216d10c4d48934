#include "worker/listening.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FDS_PER_ADDRESS_MAX = LISTENER_FDS_MAX / LISTENER_SOCKETS_MAX };

/* ---- one socket ---- */

/* 0: there is no socket with this number. */
static ino_t inode_of(int number)
{
    struct stat facts;

    return fstat(number, &facts) == 0 && S_ISSOCK(facts.st_mode) ? facts.st_ino : 0;
}

bool listening_fd_is_open(const struct listening_fd *fd)
{
    return inode_of(fd->number) == fd->inode;
}

static bool is_unix(const struct listening_socket *socket)
{
    return socket->asked.address.storage.ss_family == AF_UNIX;
}

/* Whether no other socket can have its address. */
static bool is_alone(const struct listening_socket *socket)
{
    return is_unix(socket) || !socket_shares_port(socket->fds[0].number);
}

static int fd_duplicate(const struct listening_socket *socket, struct fault *fault)
{
    int fd = fcntl(socket->fds[0].number, F_DUPFD_CLOEXEC, 0);

    if (fd < 0)
        fault_set(fault, "cannot share the listening socket: out of descriptors");
    return fd;
}

/* Another socket shares the port of TCP. A Unix socket has one name, so its descriptor is duplicated; so is
 * an inherited socket, whose port others may not share. */
static int another_fd(const struct listening_socket *socket, struct fault *fault)
{
    return is_alone(socket) ? fd_duplicate(socket, fault)
                            : socket_bind_stream(&socket->address, SOCKET_JOINED, NULL, fault);
}

static int new_fd(const struct listening_address *to, struct fault *fault)
{
    enum socket_sharing sharing = to->is_taken_over ? SOCKET_JOINED : SOCKET_SHARED;

    if (to->address.storage.ss_family == AF_UNIX)
        sharing = SOCKET_EXCLUSIVE;
    return socket_bind_stream(&to->address, sharing, &to->access, fault);
}

static void file_remove(struct listening_socket *socket)
{
    if (!socket->is_given_up && !socket->is_others_file)
        socket_file_remove(&socket->file, &socket->address);
}

/* Removes the file, and closes the descriptors that no worker has taken. */
static void socket_close(struct listening_socket *socket)
{
    for (unsigned i = 0; i < socket->fd_count; i++) {
        if (!socket->fds[i].is_taken)
            close(socket->fds[i].number);
    }
    if (socket->asked.from)
        socket->asked.from->is_given_up = false;
    else
        file_remove(socket);
    free(socket->fds);
    *socket = (struct listening_socket) { 0 };
}

/* Takes `fd`. False: out of memory. */
static bool fd_add(struct listening_socket *socket, int fd, struct fault *fault)
{
    struct listening_fd *fds = realloc(socket->fds, (socket->fd_count + 1) * sizeof *fds);

    if (!fds) {
        close(fd);
        fault_set(fault, "out of memory");
        return false;
    }
    fds[socket->fd_count++] = (struct listening_fd) { .number = fd, .inode = inode_of(fd) };
    socket->fds = fds;
    return true;
}

/* -1: none is inherited. */
static int inherited_fd(struct listening_socket *socket, const struct listening *listening)
{
    struct inherited_origin origin;
    int fd = -1;

    if (listening->inherited)
        fd = inherited_take(listening->inherited, listening->route, &socket->asked.address, &origin);
    if (fd < 0)
        return -1;
    socket->origin = origin.is_from_husk ? LISTENING_FROM_HUSK : LISTENING_FROM_MANAGER;
    socket->is_others_file = !origin.is_own_file;
    socket->is_given_up = true; /* until the husk before does not listen any more */
    return fd;
}

/* The first socket: a duplicate of that of another route, inherited, or new. */
static bool first_fd_add(struct listening_socket *socket, const struct listening *listening,
                         struct fault *fault)
{
    const struct listening_address *to = &socket->asked;
    int fd = inherited_fd(socket, listening);

    if (to->from) {
        fd = fd_duplicate(to->from, fault);
        socket->origin = to->from->origin;
        socket->is_others_file = to->from->is_others_file;
    } else if (fd < 0) {
        fd = new_fd(to, fault);
    }
    return fd >= 0 && fd_add(socket, fd, fault);
}

static bool fds_open(struct listening_socket *socket, const struct listening *listening, struct fault *fault)
{
    const struct listening_address *to = &socket->asked;

    if (!first_fd_add(socket, listening, fault))
        return false;
    socket->address =
        socket_local_address(socket->fds[0].number); /* the others join the port chosen for port 0 */
    socket->file = socket_file_of(&to->address);
    if (to->from)
        to->from->is_given_up = true;
    while (listening->inherited && socket->origin != LISTENING_BOUND &&
           socket->fd_count < FDS_PER_ADDRESS_MAX) {
        int fd = inherited_take_next(listening->inherited, &socket->address);
        if (fd < 0)
            break;
        if (!fd_add(socket, fd, fault))
            return false;
    }
    while (socket->fd_count < listening->workers) {
        int fd = another_fd(socket, fault);
        if (fd < 0 || !fd_add(socket, fd, fault))
            return false;
    }
    return true;
}

/* A failure leaves nothing behind. */
static bool socket_open(struct listening_socket *socket, const struct listening_address *to,
                        const struct listening *listening, struct fault *fault)
{
    *socket = (struct listening_socket) { .asked = *to };
    if (fds_open(socket, listening, fault))
        return true;
    socket_close(socket);
    return false;
}

/* A duplicate listens already. So does an inherited socket, unless the husk before refuses connections: the
 * listener listens on it when this husk has taken over. */
static bool socket_listen_all(const struct listening_socket *socket, struct fault *fault)
{
    bool is_new = !socket->asked.from && socket->origin == LISTENING_BOUND;

    for (unsigned i = 0; is_new && i < socket->fd_count; i++) {
        if (!socket_listen_begin(socket->fds[i].number, &socket->address, fault))
            return false;
    }
    return true;
}

/* ---- all sockets ---- */

struct listener_fds listening_take(struct listening *listening, unsigned worker)
{
    struct listener_fds taken = { .count = 0 };

    for (unsigned i = 0; i < listening->count; i++) {
        struct listening_socket *socket = &listening->sockets[i];
        for (unsigned at = worker; at < socket->fd_count; at += listening->workers) {
            struct listening_fd *fd = &socket->fds[at];
            if (fd->is_taken)
                continue;
            fd->is_taken = true;
            taken.items[taken.count++] =
                (struct listener_fd) { .number = fd->number,
                                       .is_of_manager = socket->origin == LISTENING_FROM_MANAGER };
        }
    }
    return taken;
}

bool listening_can_pause(const struct listening *listening)
{
    bool can_any = false;

    for (unsigned i = 0; i < listening->count; i++) {
        const struct listening_socket *socket = &listening->sockets[i];
        if (socket->origin == LISTENING_FROM_MANAGER)
            continue;
        if (!socket_address_port(&socket->asked.address))
            return false;
        can_any = true;
    }
    return can_any;
}

void listening_log_fixed(const struct listening *listening, struct log *log, const char *route)
{
    char text[ADDRESS_TEXT_BYTES];
    struct log_line line;

    for (unsigned i = 0; i < listening->count; i++) {
        if (listening->sockets[i].origin != LISTENING_FROM_MANAGER)
            continue;
        socket_address_format(&listening->sockets[i].address, text, sizeof text);
        log_begin(&line, log, LOG_WARN,
                  "connections at this address are not refused while the upstream fails");
        log_text(&line, "route", route);
        log_text(&line, "address", text);
        log_text(&line, "detail", "the service manager keeps the socket, so husk does not stop it");
        log_end(&line);
    }
}

struct listening_socket *listening_find_alone(struct listening *listening,
                                              const struct socket_address *address)
{
    for (unsigned i = 0; i < listening->count; i++) {
        struct listening_socket *socket = &listening->sockets[i];
        if (listening_fd_is_open(&socket->fds[0]) && is_alone(socket) &&
            socket_address_equal(&socket->asked.address, address) &&
            socket_file_is_in_place(&socket->file, address))
            return socket;
    }
    return NULL;
}

bool listening_has_lost_file(const struct listening *listening)
{
    for (unsigned i = 0; i < listening->count; i++) {
        const struct listening_socket *socket = &listening->sockets[i];
        if (socket->file.inode && socket_file_is_missing(&socket->asked.address))
            return true;
    }
    return false;
}

void listening_remove_files(struct listening *listening)
{
    for (unsigned i = 0; i < listening->count; i++) {
        file_remove(&listening->sockets[i]);
        listening->sockets[i].file = (struct socket_file) { 0 };
    }
}

void listening_log(const struct listening *listening, struct log *log, const char *route)
{
    char text[ADDRESS_TEXT_BYTES];
    struct log_line line;

    for (unsigned i = 0; i < listening->count; i++) {
        socket_address_format(&listening->sockets[i].address, text, sizeof text);
        log_begin(&line, log, LOG_INFO, "listening");
        log_text(&line, "route", route);
        log_text(&line, "address", text);
        log_end(&line);
    }
}

void listening_give_up_files(struct listening *listening)
{
    for (unsigned i = 0; i < listening->count; i++)
        listening->sockets[i].is_given_up = true;
}

void listening_close(struct listening *listening)
{
    for (unsigned i = 0; i < listening->count; i++)
        socket_close(&listening->sockets[i]);
    free(listening->sockets);
    *listening = (struct listening) { 0 };
}

/* ---- other addresses ---- */

/* The rights that a file had before the change. */
struct listening_rights {
    struct socket_access before;
    bool are_new;
};

struct listening_change {
    struct listening *listening; /* borrowed */
    struct listening next;       /* a socket is all zeros but for `asked` where one of the old is kept */
    struct listening_socket *kept[LISTENER_SOCKETS_MAX]; /* by its index in `next`; NULL: a new one */
    struct listening_rights rights[LISTENER_SOCKETS_MAX];
};

/* The socket with this address that is not kept already; NULL: there is none. */
static struct listening_socket *socket_find(const struct listening_change *change,
                                            const struct socket_address *to)
{
    for (unsigned i = 0; i < change->listening->count; i++) {
        struct listening_socket *socket = &change->listening->sockets[i];
        bool is_kept = false;
        for (unsigned k = 0; k < change->next.count; k++)
            is_kept = is_kept || change->kept[k] == socket;
        if (!is_kept && socket_address_equal(&socket->asked.address, to) &&
            (!is_unix(socket) || socket_file_is_in_place(&socket->file, to)))
            return socket;
    }
    return NULL;
}

static bool address_add(struct listening_change *change, const struct listening_address *to,
                        struct fault *fault)
{
    struct listening_socket *kept = socket_find(change, &to->address),
                            *added = &change->next.sockets[change->next.count];

    if (kept)
        *added = (struct listening_socket) { .asked = *to };
    else if (!socket_open(added, to, change->listening, fault))
        return false;
    change->kept[change->next.count++] = kept;
    return true;
}

struct listening_change *listening_change_new(struct listening *listening,
                                              const struct listening_options *options, struct fault *fault)
{
    struct listening_change *change = calloc(1, sizeof *change);

    if (change)
        change->next.sockets = calloc(options->count, sizeof *change->next.sockets);
    if (!change || !change->next.sockets) {
        fault_set(fault, "out of memory");
        free(change);
        return NULL;
    }
    change->listening = listening;
    change->next.workers = listening->workers;
    change->next.inherited = listening->inherited;
    change->next.route = listening->route;
    for (unsigned i = 0; i < options->count; i++) {
        if (address_add(change, &options->addresses[i], fault))
            continue;
        listening_change_cancel(change);
        return NULL;
    }
    return change;
}

/* The socket before, whose file the socket at `at` gets; NULL: the file is new, or there is none. */
static const struct listening_socket *file_before(const struct listening_change *change, unsigned at)
{
    const struct listening_socket *before =
        change->kept[at] ? change->kept[at] : change->next.sockets[at].asked.from;

    return before && before->file.inode ? before : NULL;
}

/* The rights of a file that another husk has made. Without a setting for the group, the group stays. */
static bool inherited_access(const struct listening_socket *socket, struct socket_access *access)
{
    if (socket->origin != LISTENING_FROM_HUSK || !socket_file_access(&socket->asked.address, access))
        return false;
    if (socket->asked.access.group == SOCKET_GROUP_KEPT)
        access->group = SOCKET_GROUP_KEPT;
    return true;
}

static bool rights_set(struct listening_change *change, unsigned at, struct fault *fault)
{
    const struct listening_socket *before = file_before(change, at), *next = &change->next.sockets[at];
    const struct listening_address *asked = &next->asked;
    struct listening_rights *rights = &change->rights[at];
    struct socket_access access;

    if (rights->are_new)
        return true;
    if (before)
        access = before->asked.access;
    else if (!inherited_access(next, &access))
        return true;
    if (access.mode == asked->access.mode && access.group == asked->access.group)
        return true;
    *rights = (struct listening_rights) { .before = access, .are_new = true };
    return socket_file_set_access(&asked->address, &asked->access, fault);
}

bool listening_change_set_rights(struct listening_change *change, struct fault *fault)
{
    for (unsigned at = 0; at < change->next.count; at++) {
        if (!rights_set(change, at, fault))
            return false;
    }
    return true;
}

bool listening_change_listen(struct listening_change *change, struct fault *fault)
{
    if (!listening_change_set_rights(change, fault))
        return false;
    for (unsigned at = 0; at < change->next.count; at++) {
        if (!socket_listen_all(&change->next.sockets[at], fault))
            return false;
    }
    return true;
}

/* Moves the descriptors of `socket` that workers have taken to `removed`. */
static void taken_remove(const struct listening_socket *socket, unsigned workers,
                         struct listener_fds *removed)
{
    for (unsigned i = 0; i < socket->fd_count; i++) {
        struct listener_fds *of_worker = &removed[i % workers];
        if (socket->fds[i].is_taken && listening_fd_is_open(&socket->fds[i]))
            of_worker->items[of_worker->count++] = (struct listener_fd) { .number = socket->fds[i].number };
    }
}

void listening_change_commit(struct listening_change *change, struct listener_fds *removed)
{
    struct listening *listening = change->listening, *next = &change->next;

    for (unsigned i = 0; i < next->count; i++) {
        struct listening_address *asked = &next->sockets[i].asked;
        asked->from = NULL; /* the file is of the new socket from now on */
        if (!change->kept[i]) {
            next->sockets[i].is_given_up = false;
            continue;
        }
        const struct socket_access access = asked->access;
        next->sockets[i] = *change->kept[i];
        next->sockets[i].asked.access = access;
        *change->kept[i] = (struct listening_socket) { 0 };
    }
    for (unsigned worker = 0; removed && worker < listening->workers; worker++)
        removed[worker].count = 0;
    for (unsigned i = 0; removed && i < listening->count; i++)
        taken_remove(&listening->sockets[i], listening->workers, removed);
    listening_close(listening);
    *listening = *next;
    listening->inherited = NULL;
    listening->route = NULL;
    free(change);
}

void listening_change_cancel(struct listening_change *change)
{
    struct fault fault;

    for (unsigned at = 0; change && at < change->next.count; at++) {
        struct listening_socket *socket = &change->next.sockets[at];
        const struct listening_rights *rights = &change->rights[at];
        bool is_restored =
            !rights->are_new || socket_file_set_access(&socket->asked.address, &rights->before, &fault);
        (void)is_restored; /* best effort: this user had the right to set these rights before */
        if (!change->kept[at])
            socket_close(socket);
    }
    if (change)
        free(change->next.sockets);
    free(change);
}

bool listening_open(struct listening *listening, const struct listening_options *options, unsigned workers,
                    struct fault *fault)
{
    *listening = (struct listening) { .workers = workers };
    struct listening_change *change = listening_change_new(listening, options, fault);
    if (change && listening_change_listen(change, fault)) {
        listening_change_commit(change, NULL);
        return true;
    }
    listening_change_cancel(change);
    *listening = (struct listening) { 0 };
    return false;
}
