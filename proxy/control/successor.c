#include "control/successor.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HOW_BYTES = 80 };

const char successor_channel[] = "/channel";

static const char ready = 'R', released = 'G';

/* ---- watching it ---- */

static void channel_close(struct successor *successor)
{
    ev_io_stop(successor->options.loop, &successor->watcher);
    ev_timer_stop(successor->options.loop, &successor->deadline);
    close(successor->channel);
}

/* The successor has written its byte and has ended: on_child follows. The kernel closes the channel before it
 * reports the end. */
static bool has_hung_up(const struct successor *successor)
{
    char byte;

    return recv(successor->channel, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* A successor that closes the channel without writing a byte is not a husk that knows how to take over. */
static void on_channel(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct successor *successor = watcher->data;
    char byte = 0;
    ssize_t got = read(successor->channel, &byte, 1);

    (void)events;
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    ev_io_stop(loop, watcher);
    if (got != 1 || byte != ready) {
        kill(successor->pid, SIGKILL);
        return;
    }
    if (has_hung_up(successor))
        return;
    ev_timer_stop(loop, &successor->deadline);
    successor->state = SUCCESSOR_READY;
    successor->options.on_ready(successor->options.owner);
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct successor *successor = timer->data;

    (void)events;
    ev_io_stop(loop, &successor->watcher); /* a word that comes now is too late */
    successor->is_late = true;
    kill(successor->pid, SIGKILL);
}

static void end_describe(const struct successor *successor, char how[HOW_BYTES])
{
    int status = successor->child.rstatus;

    if (successor->is_late)
        snprintf(how, HOW_BYTES, "has not started within --hot-restart-timeout");
    else if (WIFSIGNALED(status))
        snprintf(how, HOW_BYTES, "was ended by signal %d", WTERMSIG(status));
    else
        snprintf(how, HOW_BYTES, "has ended with status %d", WEXITSTATUS(status));
}

static void on_child(struct ev_loop *loop, ev_child *child, int events)
{
    struct successor *successor = child->data;
    char how[HOW_BYTES];

    (void)events;
    ev_child_stop(loop, child);
    end_describe(successor, how);
    if (successor->state != SUCCESSOR_RELEASED)
        channel_close(successor);
    successor->state = SUCCESSOR_NONE;
    successor->options.on_ended(successor->options.owner, child->rstatus, how);
}

/* ---- start and end ---- */

static void watch(struct successor *successor)
{
    struct ev_loop *loop = successor->options.loop;

    ev_io_init(&successor->watcher, on_channel, successor->channel, EV_READ);
    ev_timer_init(&successor->deadline, on_deadline, (double)successor->options.timeout_ms / 1000, 0);
    ev_child_init(&successor->child, on_child, successor->pid, 0);
    successor->watcher.data = successor->deadline.data = successor->child.data = successor;
    ev_now_update(loop);
    ev_io_start(loop, &successor->watcher);
    ev_timer_start(loop, &successor->deadline);
    ev_child_start(loop, &successor->child);
}

bool successor_start(struct successor *successor, const struct successor_options *options,
                     struct spawn_sockets *sockets, struct fault *fault)
{
    int pair[2];
    pid_t pid = -1;

    assert(successor->state == SUCCESSOR_NONE);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        fault_set(fault, "cannot make a socket: %s", strerror(errno));
        return false;
    }
    if (spawn_sockets_add(sockets, pair[1], successor_channel))
        pid = spawn_self(sockets, fault);
    else
        fault_set(fault, "out of memory");
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return false;
    }
    *successor = (struct successor) {
        .options = *options, .state = SUCCESSOR_STARTING, .pid = pid, .channel = pair[0]
    };
    watch(successor);
    return true;
}

void successor_release(struct successor *successor)
{
    assert(successor->state == SUCCESSOR_READY);
    successor->state = SUCCESSOR_RELEASED;
    (void)!send(successor->channel, &released, 1, MSG_NOSIGNAL); /* a successor that has ended: on_child */
    channel_close(successor);
}

void successor_cancel(struct successor *successor)
{
    if (successor->state != SUCCESSOR_STARTING)
        return;
    kill(successor->pid, SIGKILL);
    ev_child_stop(successor->options.loop, &successor->child); /* libev reaps the child all the same */
    channel_close(successor);
    successor->state = SUCCESSOR_NONE;
}

/* ---- in the successor ---- */

void successor_wait(int channel)
{
    char byte;

    if (send(channel, &ready, 1, MSG_NOSIGNAL) == 1) {
        while (read(channel, &byte, 1) < 0 && errno == EINTR)
            continue;
    }
    close(channel);
}
