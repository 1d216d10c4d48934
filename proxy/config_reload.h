/* Reads the configuration file again, on SIGHUP and when the file has changed, and changes the routes to what
 * the file says: routes begin, end, or change in place. A route with the same settings is not touched.
 *
 * A file with a mistake changes nothing, nor does a file whose routes cannot begin or change. Settings of the
 * process are read when husk starts; the log names the settings that differ. Routes begin and end at once. A
 * route may take over an address of another route, or several routes exchange addresses: both listen for a
 * moment. */
#ifndef HUSK_CONFIG_RELOAD_H
#define HUSK_CONFIG_RELOAD_H

#include "base/fault.h"
#include "control/file_watch.h"
#include "plan.h"
#include "routes.h"

#include <ev.h>

struct config_reload {
    struct routes *routes;      /* borrowed */
    struct ev_loop *loop;       /* borrowed; NULL: not open */
    struct log *log;            /* borrowed */
    struct plan *plan;          /* shared: the newest that is in use */
    struct plan *started;       /* shared: the process runs with its settings of the process */
    struct file_watch watch;    /* open unless --reload-interval is off */
    uint64_t succeeded, failed; /* how often the file was read again */
};

/* `plan` comes from a file, and the routes run from it. The struct must not move in memory afterwards. */
void config_reload_open(struct config_reload *reload, struct plan *plan, struct routes *routes,
                        struct log *log);
/* Reads the file now. Harmless if it is not open. */
void config_reload_now(struct config_reload *reload);
/* Safe on all zeros. */
void config_reload_close(struct config_reload *reload);

#endif
