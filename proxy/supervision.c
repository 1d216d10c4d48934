#include "supervision.h"

enum { PULSES_PER_WATCHDOG = 3 };

/* ---- the workers ---- */

static void workers_ask(struct supervision *supervision)
{
    supervision->is_asked = true;
    worker_group_pulse(supervision->workers, &supervision->pulse);
}

static void reload_ask(struct supervision *supervision)
{
    supervision->reload = SUPERVISION_RELOAD_ASKED;
    workers_ask(supervision);
}

static void on_answered(void *owner)
{
    struct supervision *supervision = owner;

    supervision->is_asked = false;
    if (supervision->manager.watchdog_ms)
        service_manager_alive(&supervision->manager);
    if (supervision->reload < SUPERVISION_RELOAD_DUE)
        return;
    if (supervision->reload == SUPERVISION_RELOAD_DUE ||
        config_reload_is_spreading(supervision->config_reload)) {
        reload_ask(supervision);
        return;
    }
    supervision->reload = SUPERVISION_RELOAD_NONE;
    service_manager_ready(&supervision->manager);
}

/* A worker whose loop hangs gives no answer, and the service manager hears nothing. */
static void on_watchdog(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct supervision *supervision = timer->data;

    (void)loop, (void)events;
    if (!supervision->is_asked)
        workers_ask(supervision);
}

/* ---- life ---- */

void supervision_open(struct supervision *supervision, struct log *log)
{
    *supervision = (struct supervision) { 0 };
    service_manager_open(&supervision->manager, log);
}

void supervision_begin(struct supervision *supervision, struct ev_loop *loop, struct worker_group *workers,
                       const struct config_reload *config_reload)
{
    double seconds = (double)supervision->manager.watchdog_ms / 1000 / PULSES_PER_WATCHDOG;

    supervision->loop = loop;
    supervision->workers = workers;
    supervision->config_reload = config_reload;
    receipt_open(&supervision->pulse, loop, on_answered, supervision);
    ev_timer_init(&supervision->watchdog, on_watchdog, 0, seconds);
    supervision->watchdog.data = supervision;
    if (supervision->manager.watchdog_ms)
        ev_timer_start(loop, &supervision->watchdog);
    service_manager_ready(&supervision->manager);
}

void supervision_close(struct supervision *supervision)
{
    if (supervision->loop) {
        ev_timer_stop(supervision->loop, &supervision->watchdog);
        receipt_close(&supervision->pulse);
    }
    supervision->loop = NULL;
    service_manager_close(&supervision->manager);
}

/* ---- events of the process ---- */

void supervision_reload_begin(struct supervision *supervision)
{
    if (!supervision->loop)
        return;
    supervision->reload = SUPERVISION_RELOAD_BEGUN;
    service_manager_reloading(&supervision->manager);
}

void supervision_reload_told(struct supervision *supervision)
{
    if (supervision->reload == SUPERVISION_RELOAD_NONE)
        return;
    if (supervision->is_asked)
        supervision->reload = SUPERVISION_RELOAD_DUE;
    else
        reload_ask(supervision);
}

void supervision_drain(struct supervision *supervision)
{
    service_manager_stopping(&supervision->manager);
}
