#include "config_reload.h"

#include "options_listen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SETTLE_MS = 200, WAIT_MS = 50, WAITS_MAX = 200, LOGGED_MISTAKES_MAX = 10 };

/* ---- the log ---- */

static void kept_log(const struct config_reload *reload, const char *why)
{
    char message[FAULT_TEXT_BYTES + 80];
    struct log_line line;

    snprintf(message, sizeof message, "the configuration is not changed: %s", why);
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
        kept_log(reload, mistake->place.line ? text : mistake->text);
    }
    if (mistakes->count > LOGGED_MISTAKES_MAX) {
        snprintf(text, sizeof text, "%zu more mistakes", mistakes->count - LOGGED_MISTAKES_MAX);
        kept_log(reload, text);
    }
}

static void on_process_differs(void *owner, const struct setting *setting)
{
    const struct config_reload *reload = owner;
    struct log_line line;

    log_begin(&line, reload->log, LOG_WARN, "this setting changes when husk starts again");
    log_text(&line, "setting", setting->path);
    log_end(&line);
}

static void protocol_log(const struct config_reload *reload, const char *route)
{
    struct log_line line;

    log_begin(
        &line, reload->log, LOG_WARN,
        "the protocol of a route changes when husk starts again, or when the route gets another name; the "
        "route keeps all its settings");
    log_text(&line, "route", route);
    log_end(&line);
}

/* ---- what differs ---- */

/* How the running routes follow one route of the new plan. */
enum follow_step { FOLLOW_NOTHING, FOLLOW_ADD, FOLLOW_CHANGE, FOLLOW_IMPOSSIBLE };

struct follow {
    struct route *running;  /* NULL: there is none of this name */
    struct options *before; /* of `running`, until it was changed */
    struct options *after;  /* of the plan */
    enum follow_step step;
    bool is_done;
};

struct follows {
    struct follow *items;
    size_t count;
};

static bool is_in_plan(const struct plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (strcmp(plan->routes[i].options.route.name, name) == 0)
            return true;
    }
    return false;
}

static bool follows_find(struct follows *follows, const struct config_reload *reload, struct plan *plan)
{
    *follows = (struct follows) { .items = calloc(plan->count, sizeof *follows->items) };
    if (!follows->items)
        return false;
    for (size_t i = 0; i < plan->count; i++) {
        struct follow *follow = &follows->items[follows->count++];
        follow->after = &plan->routes[i].options;
        follow->running = routes_find(reload->routes, follow->after->route.name);
        follow->before = follow->running ? follow->running->options : NULL;
        if (!follow->running)
            follow->step = FOLLOW_ADD;
        else if (plan_routes_equal(follow->before, follow->after))
            follow->step = FOLLOW_NOTHING;
        else if (follow->before->route.protocol != follow->after->route.protocol)
            follow->step = FOLLOW_IMPOSSIBLE;
        else
            follow->step = FOLLOW_CHANGE;
    }
    return true;
}

/* Whether one route listens where another one does. */
static bool addresses_clash(const struct options *a, const struct options *b)
{
    for (unsigned i = 0; i < a->listen.count; i++) {
        for (unsigned k = 0; k < b->listen.count; k++) {
            if (options_listen_clash(&a->listen.addresses[i].address, &b->listen.addresses[k].address))
                return true;
        }
    }
    return false;
}

/* Whether another route may still listen at an address of `options`. */
static bool must_wait(const struct config_reload *reload, const struct options *options)
{
    const struct route *route;

    TAILQ_FOREACH (route, &reload->routes->list, sibling) {
        if (strcmp(route->options->route.name, options->route.name) != 0 &&
            addresses_clash(route->options, options))
            return true;
    }
    return false;
}

/* ---- following ---- */

static bool is_step(const struct follow *follow)
{
    return follow->step == FOLLOW_ADD || follow->step == FOLLOW_CHANGE;
}

static bool follow_do(struct config_reload *reload, struct follow *follow, struct fault *fault)
{
    struct plan *plan = plan_share(plan_of(follow->after));
    bool is_good = follow->step == FOLLOW_ADD ? routes_add(reload->routes, follow->after, fault)
                                              : route_change(follow->running, follow->after, fault);

    if (!is_good) {
        fault_wrap(fault, "route %s", follow->after->route.name);
        plan_release(plan);
    }
    follow->is_done = is_good;
    return is_good;
}

static void follow_undo(struct config_reload *reload, struct follow *follow)
{
    struct fault fault;

    if (follow->step == FOLLOW_ADD) {
        route_retire(routes_find(reload->routes, follow->after->route.name));
        return;
    }
    struct plan *plan = plan_share(plan_of(follow->before));
    if (route_change(follow->running, follow->before, &fault))
        return;
    plan_release(plan);
    kept_log(reload, fault.text);
}

/* All or none. Routes that must wait are left for later. */
static bool follows_do(struct config_reload *reload, struct follows *follows, struct fault *fault)
{
    for (size_t i = 0; i < follows->count; i++) {
        struct follow *follow = &follows->items[i];
        if (!is_step(follow) || must_wait(reload, follow->after) || follow_do(reload, follow, fault))
            continue;
        while (i--) {
            if (follows->items[i].is_done)
                follow_undo(reload, &follows->items[i]);
        }
        return false;
    }
    return true;
}

/* Ends the routes that the plan does not have. Returns their number. */
static size_t others_retire(struct config_reload *reload, const struct plan *plan)
{
    struct route *route;
    size_t retired = 0;

    TAILQ_FOREACH (route, &reload->routes->list, sibling) {
        if (route->state != ROUTE_RUNNING || is_in_plan(plan, route->options->route.name))
            continue;
        route_retire(route);
        retired++;
    }
    return retired;
}

static void wait_begin(struct config_reload *reload)
{
    reload->waits_left = WAITS_MAX;
    ev_timer_stop(reload->loop, &reload->wait);
    ev_timer_set(&reload->wait, WAIT_MS / 1000.0, WAIT_MS / 1000.0);
    ev_timer_start(reload->loop, &reload->wait);
}

static void plan_use(struct config_reload *reload, struct plan *plan, const struct follows *follows)
{
    struct log_line line;
    size_t added = 0, changed = 0, waiting = 0;

    for (size_t i = 0; i < follows->count; i++) {
        const struct follow *follow = &follows->items[i];
        added += follow->is_done && follow->step == FOLLOW_ADD;
        changed += follow->is_done && follow->step == FOLLOW_CHANGE;
        waiting += is_step(follow) && !follow->is_done;
        if (follow->step == FOLLOW_IMPOSSIBLE)
            protocol_log(reload, follow->after->route.name);
    }
    plan_compare_process(reload->started, plan, on_process_differs, reload);
    plan_release(reload->plan);
    reload->plan = plan_share(plan);
    size_t removed = others_retire(reload, plan);
    reload->succeeded++;
    log_begin(&line, reload->log, LOG_INFO, "configuration reloaded");
    log_number(&line, "added", added);
    log_number(&line, "changed", changed);
    log_number(&line, "removed", removed);
    if (waiting)
        log_number(&line, "waiting", waiting);
    log_end(&line);
    ev_timer_stop(reload->loop, &reload->wait);
    if (waiting)
        wait_begin(reload);
}

static void plan_follow(struct config_reload *reload, struct plan *plan)
{
    struct follows follows;
    struct fault fault;

    fault_set(&fault, "out of memory");
    if (follows_find(&follows, reload, plan) && follows_do(reload, &follows, &fault)) {
        plan_use(reload, plan, &follows);
    } else {
        reload->failed++;
        kept_log(reload, fault.text);
    }
    free(follows.items);
}

/* Lets the routes begin that waited for an address. */
static void on_wait(struct ev_loop *loop, ev_timer *wait, int events)
{
    struct config_reload *reload = wait->data;
    struct follows follows;
    struct fault fault;
    size_t waiting = 0;

    (void)events;
    reload->waits_left--;
    if (!follows_find(&follows, reload, reload->plan))
        return;
    for (size_t i = 0; i < follows.count; i++) {
        struct follow *follow = &follows.items[i];
        if (!is_step(follow) || follow_do(reload, follow, &fault))
            continue;
        waiting++;
        if (!reload->waits_left)
            log_say(reload->log, LOG_ERROR, "a route of the configuration cannot begin: %s", fault.text);
    }
    free(follows.items);
    if (!waiting || !reload->waits_left)
        ev_timer_stop(loop, wait);
}

/* ---- the file ---- */

void config_reload_now(struct config_reload *reload)
{
    struct mistakes mistakes;

    if (!reload->loop)
        return;
    mistakes_init(&mistakes, reload->plan->path);
    if (reload->watch.loop)
        file_watch_note(&reload->watch);
    struct plan *plan = plan_from_file(reload->plan->path, reload->started->process.workers, &mistakes);
    if (plan) {
        plan_follow(reload, plan);
    } else {
        reload->failed++;
        mistakes_log(reload, &mistakes);
    }
    plan_release(plan);
    mistakes_deinit(&mistakes);
}

static void on_file_changed(void *owner)
{
    config_reload_now(owner);
}

/* ---- life ---- */

void config_reload_open(struct config_reload *reload, struct plan *plan, struct routes *routes,
                        struct log *log)
{
    const struct file_watch_options watch = {
        .path = plan->path,
        .interval_ms = plan->process.reload_interval_ms,
        .settle_ms = SETTLE_MS,
        .on_changed = on_file_changed,
        .owner = reload,
    };

    *reload = (struct config_reload) { .routes = routes,
                                       .loop = routes->process.loop,
                                       .log = log,
                                       .plan = plan_share(plan),
                                       .started = plan_share(plan) };
    ev_timer_init(&reload->wait, on_wait, 0, 0);
    reload->wait.data = reload;
    if (watch.interval_ms)
        file_watch_open(&reload->watch, reload->loop, &watch);
}

void config_reload_close(struct config_reload *reload)
{
    if (!reload->loop)
        return;
    ev_timer_stop(reload->loop, &reload->wait);
    file_watch_close(&reload->watch);
    plan_release(reload->plan);
    plan_release(reload->started);
    *reload = (struct config_reload) { 0 };
}
