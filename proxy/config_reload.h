/* Reads the configuration file again, on SIGHUP and when the file has changed, and makes the routes what the
 * file says (plan_follow).
 *
 *   CLOSED ──open──▶ IDLE ──────routes changed──────▶ SPREADING ──the workers have the change──▶ IDLE
 *                    │  ▲                                 ▲
 *          passing cause└──the file has changed──┐        │
 *                    └──────▶ RETRYING ──────────┴────────┘
 *
 * A file with a mistake, or a file whose routes cannot begin or change, changes nothing. The cause of the
 * second case can pass, such as a certificate that is not there yet, or a port in use: husk tries again until
 * the file can be used or changes. While a new process starts, the file is not read: both processes
 * would bind the new addresses. Settings of the process are read when husk starts; the log names the
 * settings that differ. */
#ifndef HUSK_CONFIG_RELOAD_H
#define HUSK_CONFIG_RELOAD_H

#include "base/fault.h"
#include "control/file_watch.h"
#include "plan_follow.h"
#include "worker/receipt.h"

#include <ev.h>

enum config_reload_state {
    CONFIG_RELOAD_CLOSED, /* all zeros */
    CONFIG_RELOAD_IDLE,
    CONFIG_RELOAD_RETRYING,
    CONFIG_RELOAD_SPREADING,
    CONFIG_RELOAD_STOPPED,
};

struct config_reload {
    struct routes *routes; /* borrowed */
    struct ev_loop *loop;  /* borrowed */
    struct log *log;       /* borrowed */
    struct plan *plan;     /* shared: the newest that is in use */
    struct plan *started;  /* shared: the process runs with its settings of the process */
    enum config_reload_state state;
    bool is_held;                     /* the file is not read */
    bool is_due;                      /* SPREADING, or held: read the file again afterwards */
    struct file_watch watch;          /* open unless --reload-interval is off */
    struct receipt spread;            /* of the workers */
    struct plan_follow_counts counts; /* SPREADING: what the change is */
    ev_timer retry;
    uint64_t retry_ms;          /* the next pause between two attempts */
    struct fault fault;         /* RETRYING: of the last attempt, as it was logged */
    uint64_t succeeded, failed; /* how often the file was read again; a retry that fails in the same way is
                                   not counted */
};

/* `plan` comes from a file, and the routes run from it. The struct must not move in memory afterwards. */
void config_reload_open(struct config_reload *reload, struct plan *plan, struct routes *routes,
                        struct log *log);
/* Reads the file now, or when the workers have taken the change before. Harmless if it is not open. */
void config_reload_now(struct config_reload *reload);
/* Whether husk tries again to use the file. */
bool config_reload_is_pending(const struct config_reload *reload);
/* Whether the workers have not made the last change yet. */
bool config_reload_is_spreading(const struct config_reload *reload);
/* The file is not read before config_reload_resume. Both are harmless if it is not open. */
void config_reload_hold(struct config_reload *reload);
void config_reload_resume(struct config_reload *reload);
/* From now on nothing is read. */
void config_reload_stop(struct config_reload *reload);
/* Call it after the workers have stopped. Safe on all zeros. */
void config_reload_close(struct config_reload *reload);

#endif
