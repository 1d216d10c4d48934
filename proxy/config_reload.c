#include "config_reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SETTLE_MS = 200, LOGGED_MISTAKES_MAX = 10, RETRY_MIN_MS = 1000 };

/* ---- the log ---- */

static void kept_log(const struct config_reload *reload, const char *what, const char *why)
{
    char message[FAULT_TEXT_BYTES * 2];
    struct log_line line;

    snprintf(message, sizeof message, "the configuration is not changed%s: %s", what, why);
    log_begin(&line, reload->log, LOG_ERROR, message);
    log_text(&line, "file", reload->plan->path);
    log_end(&line);
}

static void mistakes_log(const struct config_reload *reload, const struct mistakes *mistakes)
{
    char text[FAULT_TEXT_BYTES + 80];

    for (size_t i = 0; i < mistakes->kept && i < LOGGED_MISTAKES_MAX; i++) {
        const struct mistake *mistake = &mistakes->items[i];
        snprintf(text, sizeof text, "line %u, column %u: %s", mistake->place.line, mistake->place.column,
                 mistake->text);
        kept_log(reload, "", mistake->place.line ? text : mistake->text);
    }
    if (mistakes->count > LOGGED_MISTAKES_MAX) {
        snprintf(text, sizeof text, "%zu more mistakes", mistakes->count - LOGGED_MISTAKES_MAX);
        kept_log(reload, "", text);
    }
}

static void fault_log(const struct config_reload *reload, const struct fault *fault)
{
    struct fault words = *fault;

    log_translate(reload->log, SIDE_DOWNSTREAM, words.text, sizeof words.text);
    kept_log(reload, fault->is_final ? "" : ", and husk tries again", words.text);
}

static void on_process_differs(void *owner, const struct setting *setting)
{
    const struct config_reload *reload = owner;
    struct log_line line;

    log_begin(&line, reload->log, LOG_WARN, "this setting changes when husk starts again");
    log_text(&line, "setting", setting->path);
    log_end(&line);
}

/* ---- failures ---- */

static void on_mistakes(struct config_reload *reload, const struct mistakes *mistakes)
{
    reload->state = CONFIG_RELOAD_IDLE;
    reload->failed++;
    mistakes_log(reload, mistakes);
}

static void retry_schedule(struct config_reload *reload)
{
    uint64_t max_ms = reload->started->process.reload_retry_max_ms;

    if (reload->retry_ms > max_ms)
        reload->retry_ms = max_ms;
    ev_timer_stop(reload->loop, &reload->retry);
    if (reload->fault.is_final) /* until the file changes, or somebody asks */
        return;
    ev_timer_set(&reload->retry, (double)reload->retry_ms / 1000, 0);
    ev_timer_start(reload->loop, &reload->retry);
    reload->retry_ms *= 2;
}

/* Logs and counts a failure once, however often the retries fail in the same way. */
static void on_fault(struct config_reload *reload, const struct fault *fault)
{
    bool is_known = reload->state == CONFIG_RELOAD_RETRYING && strcmp(reload->fault.text, fault->text) == 0;

    reload->state = fault->is_final ? CONFIG_RELOAD_IDLE : CONFIG_RELOAD_RETRYING;
    reload->fault = *fault;
    retry_schedule(reload);
    if (is_known)
        return;
    reload->failed++;
    fault_log(reload, fault);
}

/* ---- the file ---- */

static void plan_use(struct config_reload *reload, struct plan *plan)
{
    struct fault fault;

    if (!plan_follow(plan, reload->routes, &reload->counts, &fault)) {
        on_fault(reload, &fault);
        return;
    }
    plan_compare_process(reload->started, plan, on_process_differs, reload);
    plan_release(reload->plan);
    reload->plan = plan_share(plan);
    reload->state = CONFIG_RELOAD_SPREADING;
    worker_group_fence(reload->routes->process.workers, &reload->spread);
}

/* No content of a file is at fault where the mistake has no place: the file cannot be read, and that can
 * pass. */
static bool is_unread(const struct mistakes *mistakes)
{
    return mistakes->kept && !mistakes->items[0].place.line;
}

static void file_read(struct config_reload *reload)
{
    struct mistakes mistakes;
    struct fault fault;

    ev_timer_stop(reload->loop, &reload->retry);
    mistakes_init(&mistakes, reload->plan->path);
    if (reload->watch.loop)
        file_watch_note(&reload->watch);
    struct plan *plan = plan_from_file(reload->plan->path, reload->started->process.workers, &mistakes);
    if (plan) {
        plan_use(reload, plan);
    } else if (is_unread(&mistakes)) {
        fault_set(&fault, "%s", mistakes.items[0].text);
        on_fault(reload, &fault);
    } else {
        on_mistakes(reload, &mistakes);
    }
    plan_release(plan);
    mistakes_deinit(&mistakes);
}

/* The file is new, or somebody asks for it: the pauses begin with the shortest again, and a failure is told
 * again. */
void config_reload_now(struct config_reload *reload)
{
    switch (reload->state) {
    case CONFIG_RELOAD_CLOSED:
    case CONFIG_RELOAD_STOPPED:
        break;
    case CONFIG_RELOAD_SPREADING:
        reload->is_due = true;
        break;
    case CONFIG_RELOAD_IDLE:
    case CONFIG_RELOAD_RETRYING:
        reload->is_due = reload->is_held;
        if (reload->is_held)
            break;
        reload->state = CONFIG_RELOAD_IDLE;
        reload->retry_ms = RETRY_MIN_MS;
        file_read(reload);
        break;
    }
}

void config_reload_hold(struct config_reload *reload)
{
    reload->is_held = true;
}

void config_reload_resume(struct config_reload *reload)
{
    reload->is_held = false;
    if (reload->is_due)
        config_reload_now(reload);
}

bool config_reload_is_pending(const struct config_reload *reload)
{
    return reload->state == CONFIG_RELOAD_RETRYING;
}

bool config_reload_is_spreading(const struct config_reload *reload)
{
    return reload->state == CONFIG_RELOAD_SPREADING;
}

static void on_file_changed(void *owner)
{
    config_reload_now(owner);
}

/* A file that has changed may be half written: the watch tells when it stands still. */
static void on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct config_reload *reload = timer->data;

    (void)loop, (void)events;
    if (reload->is_held)
        reload->is_due = true;
    else if (reload->watch.loop && file_watch_has_changed(&reload->watch))
        retry_schedule(reload);
    else
        file_read(reload);
}

/* The workers have the change. */
static void on_spread(void *owner)
{
    struct config_reload *reload = owner;
    struct log_line line;

    reload->succeeded++;
    log_begin(&line, reload->log, LOG_INFO, "configuration reloaded");
    log_number(&line, "added", (int64_t)reload->counts.added);
    log_number(&line, "changed", (int64_t)reload->counts.changed);
    log_number(&line, "removed", (int64_t)reload->counts.removed);
    log_end(&line);
    if (reload->state != CONFIG_RELOAD_SPREADING)
        return;
    reload->state = CONFIG_RELOAD_IDLE;
    if (reload->is_due)
        config_reload_now(reload);
}

/* ---- life ---- */

void config_reload_open(struct config_reload *reload, struct plan *plan, struct routes *routes,
                        struct log *log)
{
    const struct file_watch_options watch = {
        .path = plan->path,
        .interval_ms = plan->process.reload_interval_ms,
        .settle_ms = SETTLE_MS,
        .settle_timeout_ms = plan->process.reload_settle_timeout_ms,
        .on_changed = on_file_changed,
        .owner = reload,
    };

    *reload = (struct config_reload) { .routes = routes,
                                       .loop = routes->process.loop,
                                       .log = log,
                                       .plan = plan_share(plan),
                                       .started = plan_share(plan),
                                       .state = CONFIG_RELOAD_IDLE };
    ev_timer_init(&reload->retry, on_retry, 0, 0);
    reload->retry.data = reload;
    receipt_open(&reload->spread, reload->loop, on_spread, reload);
    if (watch.interval_ms)
        file_watch_open(&reload->watch, reload->loop, &watch);
}

void config_reload_stop(struct config_reload *reload)
{
    if (reload->state == CONFIG_RELOAD_CLOSED)
        return;
    reload->state = CONFIG_RELOAD_STOPPED;
    ev_timer_stop(reload->loop, &reload->retry);
    file_watch_close(&reload->watch);
}

void config_reload_close(struct config_reload *reload)
{
    if (reload->state == CONFIG_RELOAD_CLOSED)
        return;
    config_reload_stop(reload);
    receipt_close(&reload->spread);
    plan_release(reload->plan);
    plan_release(reload->started);
    *reload = (struct config_reload) { 0 };
}
