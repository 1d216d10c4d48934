/* SIGUSR2: another process of the same program takes the place of this one, and no connection is refused.
 *
 * The new process gets all listening sockets, and loads everything that the arguments and files say now. When
 * the new process accepts connections, it is ready: this process stops accepting, and drains. At each moment
 * at least one of the two processes accepts. If the new process ends before it is ready, this process
 * continues as before. Owns the watcher of SIGUSR2 and the new process until it is ready, on the loop of the
 * control thread. */
#ifndef HUSK_HOT_RESTART_H
#define HUSK_HOT_RESTART_H

#include "base/log.h"
#include "control/successor.h"

#include <ev.h>
#include <stdbool.h>

struct hot_restart_options {
    struct ev_loop *loop; /* borrowed, as is the next one */
    struct log *log;
    uint64_t timeout_ms; /* until the new process is ready */
    /* Whether this process is going to end. */
    bool (*is_ending)(void *owner);
    /* A number that changes with each reload. */
    uint64_t (*count_reloads)(void *owner);
    /* A new process starts: adds the listening sockets of the process. False: out of memory. */
    bool (*collect)(void *owner, struct spawn_sockets *sockets);
    /* The process `pid` accepts connections: stop accepting. */
    void (*hand_over)(void *owner, long pid);
    /* Whether nothing is accepted any more. */
    bool (*has_handed_over)(void *owner);
    /* There is no new process, and this one goes on. */
    void (*on_failed)(void *owner);
    void *owner;
};

struct hot_restart {
    struct hot_restart_options options;
    ev_signal signal;
    struct successor successor;
    uint64_t reloads;              /* when the new process was started */
    ev_timer handover;             /* runs until nothing is accepted any more, or until the deadline */
    uint64_t handover_deadline_ms; /* clock_monotonic_ms */
};

/* The watcher lives as long as the loop: another SIGUSR2 must not end the process. */
void hot_restart_open(struct hot_restart *restart, const struct hot_restart_options *options);
/* Whether a new process is there that is not released yet. */
bool hot_restart_is_under_way(const struct hot_restart *restart);
/* Ends a new process that starts. Safe on all zeros. */
void hot_restart_cancel(struct hot_restart *restart);
/* A new process that is ready does not wait any longer. Call it before the workers stop. Safe on all zeros.
 */
void hot_restart_close(struct hot_restart *restart);

#endif
