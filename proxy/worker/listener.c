#include "worker/listener.h"

#include "base/clock.h"
#include "wire/socket.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPTS_PER_WAKE = 16, QUEUE_MAX = 4096 /* as net.core.somaxconn */, PAUSE_LOG_BURST = 2 };

static const double pause_seconds_min = 0.01;
static const double pause_seconds_max = 1.0;
static const double retry_seconds = 1.0;

static int reserve_open(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int accept_one(int fd, struct socket_address *peer)
{
    peer->length = sizeof peer->storage;
    return accept4(fd, (struct sockaddr *)&peer->storage, &peer->length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void pause_log(struct listener *listener, enum log_level level, const char *what, int error)
{
    struct log_line line;
    char message[96];
    uint32_t suppressed;

    if (!log_limiter_admit(&listener->limiter, clock_monotonic_ms(), PAUSE_LOG_BURST, &suppressed))
        return;
    snprintf(message, sizeof message, "%s: %s", what, strerror(error));
    log_begin(&line, listener->log, level, message);
    log_suppressed(&line, suppressed);
    log_end(&line);
}

static void listener_watch(struct listener *listener)
{
    bool is_paused = listener->throttled || ev_is_active(&listener->pause);

    for (unsigned i = 0; i < listener->socket_count; i++) {
        struct listener_socket *socket = &listener->sockets[i];
        if (is_paused || socket->mode == LISTENER_REFUSING)
            ev_io_stop(listener->loop, &socket->watcher);
        else
            ev_io_start(listener->loop, &socket->watcher);
    }
}

/* Out of descriptors: resets the next connection of the socket `listen_fd`, so that its peer tries again
 * later, and pauses accepting. Each further pause is twice as long as the last one. */
static void listener_pause(struct listener *listener, int listen_fd, int error)
{
    struct socket_address peer;

    if (listener->reserve >= 0) {
        close(listener->reserve);
        int fd = accept_one(listen_fd, &peer);
        if (fd >= 0)
            socket_close_by_reset(fd);
        listener->reserve = reserve_open();
    }
    metrics_add(&listener->metrics->accept_errors, 1);
    pause_log(listener, LOG_WARN, "accepting paused", error);
    listener->pause_seconds = listener->pause_seconds == 0 ? pause_seconds_min : listener->pause_seconds * 2;
    if (listener->pause_seconds > pause_seconds_max)
        listener->pause_seconds = pause_seconds_max;
    ev_timer_set(&listener->pause, listener->pause_seconds, 0);
    ev_timer_start(listener->loop, &listener->pause);
    listener_watch(listener);
}

static void retry_start(struct listener *listener)
{
    ev_timer_stop(listener->loop, &listener->retry);
    ev_timer_set(&listener->retry, retry_seconds, 0);
    ev_timer_start(listener->loop, &listener->retry);
}

static bool is_to_refuse(const struct listener *listener, const struct listener_socket *socket)
{
    return listener->wanted == LISTENER_REFUSING && !socket->is_of_manager;
}

static void listener_resume(struct listener *listener)
{
    int failure = 0;

    for (unsigned i = 0; i < listener->socket_count; i++) {
        struct listener_socket *socket = &listener->sockets[i];
        if (socket->mode == LISTENER_LISTENING || is_to_refuse(listener, socket))
            continue;
        if (socket_listen_resume(socket->fd))
            socket->mode = LISTENER_LISTENING;
        else
            failure = errno;
    }
    if (failure) {
        pause_log(listener, LOG_ERROR, "cannot listen again yet", failure);
        retry_start(listener);
    }
    listener_watch(listener);
}

/* Another process that shares the socket has stopped it, for example the husk that this process replaces.
 * Makes the socket listen again after a while, and does not watch it until then: a stopped Unix socket stays
 * readable, so its watcher would fire without end. */
static void socket_repair(struct listener *listener, struct listener_socket *socket)
{
    socket->mode = LISTENER_REFUSING;
    listener_watch(listener);
    retry_start(listener);
}

static void on_acceptable(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct listener *listener = watcher->data;
    int listen_fd = ((struct listener_socket *)watcher)->fd;
    struct socket_address peer;

    (void)loop, (void)events;
    for (int i = 0; i < ACCEPTS_PER_WAKE && !listener->throttled; i++) {
        int fd = accept_one(listen_fd, &peer);
        if (fd < 0) {
            if (errno == EINVAL)
                socket_repair(listener, (struct listener_socket *)watcher);
            else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                listener_pause(listener, listen_fd, errno);
            /* EAGAIN, or a connection that ended in the kernel's queue. */
            return;
        }
        listener->pause_seconds = 0;
        listener->on_accepted(listener->owner, fd, &peer);
    }
}

static void on_pause_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct listener *listener = timer->data;

    (void)loop, (void)events;
    if (listener->reserve < 0)
        listener->reserve = reserve_open();
    listener_watch(listener);
}

static void on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct listener *listener = timer->data;

    (void)loop, (void)events;
    listener_resume(listener);
}

void listener_fds_close(struct listener_fds *fds)
{
    while (fds->count)
        close(fds->items[--fds->count].number);
}

/* The same socket goes on in another route or in another process after `fd` is closed, so the kernel would
 * leave `fd` in the epoll set of the loop. libev would then remove whatever has this number by then, and
 * recreates its set when this fails. A set of its own ends with `fd`. Returns -1 without a descriptor. */
static int set_open(int fd)
{
    struct epoll_event event = { .events = EPOLLIN };
    int set = epoll_create1(EPOLL_CLOEXEC);
    if (set >= 0 && epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) != 0) {
        close(set);
        return -1;
    }
    return set;
}

static void socket_watch(struct listener *listener, struct listener_socket *socket)
{
    ev_io_init(&socket->watcher, on_acceptable, socket->set >= 0 ? socket->set : socket->fd, EV_READ);
    socket->watcher.data = listener;
}

static void socket_close(struct listener *listener, struct listener_socket *socket)
{
    ev_io_stop(listener->loop, &socket->watcher);
    if (socket->set >= 0)
        close(socket->set);
    close(socket->fd);
}

bool listener_make_space(struct listener *listener)
{
    unsigned room = listener->socket_room ? 2 * listener->socket_room : 1;

    if (!listener->is_open || listener->socket_count == LISTENER_FDS_MAX)
        return false;
    if (listener->socket_count < listener->socket_room)
        return true;
    struct listener_socket *sockets = calloc(room, sizeof *sockets);
    if (!sockets)
        return false;
    for (unsigned i = 0; i < listener->socket_count; i++) {
        ev_io_stop(listener->loop, &listener->sockets[i].watcher);
        sockets[i] = listener->sockets[i];
        socket_watch(listener, &sockets[i]);
    }
    free(listener->sockets);
    listener->sockets = sockets;
    listener->socket_room = room;
    listener_watch(listener);
    return true;
}

void listener_add(struct listener *listener, const struct listener_fd *fd)
{
    assert(listener->socket_count < listener->socket_room);
    struct listener_socket *socket = &listener->sockets[listener->socket_count++];

    *socket = (struct listener_socket) { .fd = fd->number,
                                         .is_of_manager = fd->is_of_manager,
                                         .set = set_open(fd->number),
                                         .mode = LISTENER_REFUSING };
    socket_watch(listener, socket);
    if (is_to_refuse(listener, socket))
        socket_listen_pause(socket->fd);
    listener_resume(listener); /* the process that has handed the socket over may have paused it */
}

void listener_open(struct listener *listener, const struct listener_options *options)
{
    *listener = (struct listener) {
        .loop = options->loop,
        .is_open = true,
        .reserve = reserve_open(),
        .metrics = options->metrics,
        .log = options->log,
        .on_accepted = options->on_accepted,
        .owner = options->owner,
    };
    ev_timer_init(&listener->pause, on_pause_over, 0, 0);
    ev_timer_init(&listener->retry, on_retry, 0, 0);
    listener->pause.data = listener->retry.data = listener;
    for (unsigned i = 0; i < options->fd_count; i++) {
        if (listener_make_space(listener)) {
            listener_add(listener, &options->fds[i]);
            continue;
        }
        close(options->fds[i].number);
        pause_log(listener, LOG_ERROR, "cannot listen", ENOMEM);
    }
}

/* Accepts the connections in the kernel's queue: the end of the socket would reset them. */
static void queue_take(struct listener *listener, int fd)
{
    struct socket_address peer;

    for (int i = 0; i < QUEUE_MAX && !listener->throttled; i++) {
        int accepted = accept_one(fd, &peer);
        if (accepted < 0)
            return;
        listener->on_accepted(listener->owner, accepted, &peer);
    }
}

/* A service manager may keep a socket that husk has made. If such a socket went on listening, nobody would
 * accept its connections. A socket that is alone at its address is not stopped: a duplicate of it may be in
 * use. */
static void socket_end(const struct listener_socket *socket)
{
    if (!socket->is_of_manager && socket_shares_port(socket->fd))
        socket_listen_pause(socket->fd);
}

/* The last socket takes the place of the removed one. */
void listener_remove(struct listener *listener, int fd)
{
    unsigned at = 0;

    while (at < listener->socket_count && listener->sockets[at].fd != fd)
        at++;
    assert(at < listener->socket_count);
    struct listener_socket *removed = &listener->sockets[at],
                           *last = &listener->sockets[--listener->socket_count];
    queue_take(listener, fd);
    socket_end(removed);
    socket_close(listener, removed);
    if (last != removed) {
        ev_io_stop(listener->loop, &last->watcher);
        *removed = *last;
        socket_watch(listener, removed);
    }
    listener_watch(listener);
}

void listener_close(struct listener *listener)
{
    ev_timer_stop(listener->loop, &listener->pause);
    ev_timer_stop(listener->loop, &listener->retry);
    for (unsigned i = 0; i < listener->socket_count; i++)
        socket_close(listener, &listener->sockets[i]);
    if (listener->reserve >= 0)
        close(listener->reserve);
    free(listener->sockets);
    listener->sockets = NULL;
    listener->socket_count = listener->socket_room = 0;
    listener->is_open = false;
    listener->reserve = -1;
}

void listener_finish(struct listener *listener)
{
    for (unsigned i = 0; i < listener->socket_count; i++) {
        queue_take(listener, listener->sockets[i].fd);
        socket_end(&listener->sockets[i]);
    }
    listener_close(listener);
}

void listener_hand_over(struct listener *listener)
{
    for (unsigned i = 0; i < listener->socket_count; i++)
        queue_take(listener, listener->sockets[i].fd);
    listener_close(listener);
}

void listener_tune(struct listener *listener, unsigned dead_peer_ms)
{
    for (unsigned i = 0; i < listener->socket_count; i++)
        socket_tune(listener->sockets[i].fd, dead_peer_ms);
}

bool listener_is_open(const struct listener *listener)
{
    return listener->is_open;
}

void listener_admit(struct listener *listener, enum listener_admission admission)
{
    bool throttle = admission == LISTENER_THROTTLE;

    if (throttle == listener->throttled)
        return;
    listener->throttled = throttle;
    if (throttle)
        metrics_add(&listener->metrics->accept_limited, 1);
    listener_watch(listener);
}

void listener_set_mode(struct listener *listener, enum listener_mode mode)
{
    listener->wanted = mode;
    for (unsigned i = 0; i < listener->socket_count; i++) {
        if (is_to_refuse(listener, &listener->sockets[i]))
            listener->sockets[i].mode = LISTENER_REFUSING;
    }
    listener_resume(listener);
    for (unsigned i = 0; i < listener->socket_count; i++) {
        if (is_to_refuse(listener, &listener->sockets[i]))
            socket_listen_pause(listener->sockets[i].fd);
    }
}
