/* What husk tells the service manager: that it is ready, loads its files again, ends, and is alive.
 *
 * Alive means: the control thread and all workers run their loops. A reload is complete when all workers have
 * it. Owns the connection to the service manager, and a timer on the loop of the control thread. */
#ifndef HUSK_SUPERVISION_H
#define HUSK_SUPERVISION_H

#include "config_reload.h"
#include "control/service_manager.h"
#include "worker/receipt.h"
#include "worker/worker_group.h"

#include <ev.h>

enum supervision_reload {
    SUPERVISION_RELOAD_NONE,
    SUPERVISION_RELOAD_BEGUN, /* the workers have not got it yet */
    SUPERVISION_RELOAD_DUE,   /* the workers are asked about something earlier */
    SUPERVISION_RELOAD_ASKED, /* the answer of the workers is the end of the reload */
};

struct supervision {
    struct service_manager manager;
    struct ev_loop *loop; /* borrowed, as are the next two; NULL: not begun */
    struct worker_group *workers;
    const struct config_reload *config_reload;
    ev_timer watchdog;
    struct receipt pulse; /* of all workers */
    bool is_asked;        /* the workers have not answered yet */
    enum supervision_reload reload;
};

/* Finds the service manager. All zeros: there is none. */
void supervision_open(struct supervision *supervision, struct log *log);
/* All workers run, and husk accepts connections. The struct does not move in memory afterwards. */
void supervision_begin(struct supervision *supervision, struct ev_loop *loop, struct worker_group *workers,
                       const struct config_reload *config_reload);
/* Call it after the workers have stopped. Safe on all zeros. */
void supervision_close(struct supervision *supervision);

/* husk begins to load its files again. */
void supervision_reload_begin(struct supervision *supervision);
/* What the workers get from the reload was posted to them. Harmless without a reload. */
void supervision_reload_told(struct supervision *supervision);
/* husk begins to end. */
void supervision_drain(struct supervision *supervision);

#endif
