#include "hot_restart.h"

#include "base/clock.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum {
    HANDOVER_TICK_MS = 2,
    HANDOVER_MAX_MS = 5000 /* docs/supervision.md */
};

static void pid_log(struct hot_restart *restart, const char *message)
{
    struct log_line line;

    log_begin(&line, restart->options.log, LOG_INFO, message);
    log_number(&line, "pid", restart->successor.pid);
    log_end(&line);
}

static void fail(struct hot_restart *restart, const char *why)
{
    char text[FAULT_TEXT_BYTES];

    snprintf(text, sizeof text, "%s", why);
    log_translate(restart->options.log, SIDE_DOWNSTREAM, text, sizeof text);
    log_say(restart->options.log, LOG_ERROR, "hot restart failed, and this process goes on: %s", text);
    restart->options.on_failed(restart->options.owner);
}

/* ---- the new process ---- */

static void release(struct hot_restart *restart)
{
    ev_timer_stop(restart->options.loop, &restart->handover);
    successor_release(&restart->successor);
    if (restart->options.count_reloads(restart->options.owner) != restart->reloads)
        kill(restart->successor.pid, SIGHUP); /* it may have read files as they were before */
    pid_log(restart, "hot restart: the new process has taken over");
}

/* Does not wait for a worker that hangs: the new process must go on with its other tasks. If both processes
 * accept for a moment, no connection is lost. */
static void on_handover(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct hot_restart *restart = timer->data;
    bool is_complete = restart->options.has_handed_over(restart->options.owner);

    (void)loop, (void)events;
    if (!is_complete && clock_monotonic_ms() < restart->handover_deadline_ms)
        return;
    if (!is_complete)
        log_say(restart->options.log, LOG_WARN,
                "hot restart: a worker of this process hangs, and the new process does not wait for it");
    release(restart);
}

static void on_ready(void *owner)
{
    struct hot_restart *restart = owner;

    restart->options.hand_over(restart->options.owner, restart->successor.pid);
    restart->handover_deadline_ms = clock_monotonic_ms() + HANDOVER_MAX_MS;
    ev_timer_start(restart->options.loop, &restart->handover);
}

/* One that has taken over and ends in order was stopped, or was replaced by another one. */
static void on_ended(void *owner, int status, const char *how)
{
    struct hot_restart *restart = owner;
    char why[FAULT_TEXT_BYTES];

    ev_timer_stop(restart->options.loop, &restart->handover);
    if (restart->options.is_ending(restart->options.owner)) {
        if (status != 0)
            log_say(restart->options.log, LOG_WARN, "the process that has taken over %s", how);
        return;
    }
    snprintf(why, sizeof why, "the new process %s", how);
    fail(restart, why);
}

static void start(struct hot_restart *restart)
{
    const struct successor_options options = {
        .loop = restart->options.loop,
        .timeout_ms = restart->options.timeout_ms,
        .on_ready = on_ready,
        .on_ended = on_ended,
        .owner = restart,
    };
    struct spawn_sockets sockets = { NULL };
    struct fault fault;

    fault_set(&fault, "out of memory");
    restart->reloads = restart->options.count_reloads(restart->options.owner);
    if (restart->options.collect(restart->options.owner, &sockets) &&
        successor_start(&restart->successor, &options, &sockets, &fault))
        pid_log(restart, "hot restart: a new process starts");
    else
        fail(restart, fault.text);
    spawn_sockets_free(&sockets);
}

/* ---- the signal ---- */

/* Why SIGUSR2 is ignored; NULL: it is not. The end of process 1 ends all processes of its container. */
static const char *obstacle(const struct hot_restart *restart)
{
    if (restart->options.is_ending(restart->options.owner))
        return "this process is stopping";
    if (hot_restart_is_under_way(restart))
        return "a new process is starting already";
    return getpid() == 1 ? "this is process 1, whose end would end the new process, too" : NULL;
}

static void on_signal(struct ev_loop *loop, ev_signal *watcher, int events)
{
    struct hot_restart *restart = watcher->data;
    const char *why = obstacle(restart);

    (void)loop, (void)events;
    if (why)
        log_say(restart->options.log, LOG_WARN, "SIGUSR2 is ignored: %s", why);
    else
        start(restart);
}

/* ---- life ---- */

void hot_restart_open(struct hot_restart *restart, const struct hot_restart_options *options)
{
    *restart = (struct hot_restart) { .options = *options };
    ev_signal_init(&restart->signal, on_signal, SIGUSR2);
    ev_timer_init(&restart->handover, on_handover, 0, HANDOVER_TICK_MS / 1000.0);
    restart->signal.data = restart->handover.data = restart;
    ev_signal_start(options->loop, &restart->signal);
}

bool hot_restart_is_under_way(const struct hot_restart *restart)
{
    return restart->successor.state == SUCCESSOR_STARTING || restart->successor.state == SUCCESSOR_READY;
}

void hot_restart_cancel(struct hot_restart *restart)
{
    successor_cancel(&restart->successor);
}

void hot_restart_close(struct hot_restart *restart)
{
    if (restart->successor.state == SUCCESSOR_READY)
        release(restart);
}
