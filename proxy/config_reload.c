#include "config_reload.h"

#include "options_listen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SETTLE_MS = 200, LOGGED_MISTAKES_MAX = 10 };

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

/* A route whose protocol cannot change keeps its addresses. */
static bool keeps_addresses(const struct follows *follows, const struct route *route)
{
    for (size_t i = 0; i < follows->count; i++) {
        if (follows->items[i].running == route && follows->items[i].step == FOLLOW_IMPOSSIBLE)
            return true;
    }
    return false;
}

/* Routes of one plan do not listen at the same address. So whoever listens there now is about to end. */
static void take_over(const struct config_reload *reload, const struct follows *follows,
                      struct listening_address *to)
{
    const struct route *route;

    to->is_taken_over = false;
    TAILQ_FOREACH (route, &reload->routes->list, sibling) {
        if (!keeps_addresses(follows, route) && route_may_listen(route, &to->address))
            to->is_taken_over = true;
    }
}

static void all_take_over(const struct config_reload *reload, const struct follows *follows)
{
    for (size_t i = 0; i < follows->count; i++) {
        struct listening_options *listen = &follows->items[i].after->listen;
        for (unsigned k = 0; k < listen->count; k++)
            take_over(reload, follows, &listen->addresses[k]);
    }
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
    for (unsigned i = 0; i < follow->before->listen.count; i++)
        follow->before->listen.addresses[i].is_taken_over = true;
    if (route_change(follow->running, follow->before, &fault))
        return;
    plan_release(plan);
    log_say_of(reload->log, LOG_ERROR, follow->after->route.name,
               "this route goes on with the settings of the new file, because its earlier settings cannot be "
               "used: %s",
               fault.text);
}

/* All or none. */
static bool follows_do(struct config_reload *reload, struct follows *follows, struct fault *fault)
{
    all_take_over(reload, follows);
    for (size_t i = 0; i < follows->count; i++) {
        struct follow *follow = &follows->items[i];
        if (!is_step(follow) || follow_do(reload, follow, fault))
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

static bool addresses_are_equal(const struct listening_options *a, const struct listening_options *b)
{
    bool are_equal = a->count == b->count;

    for (unsigned i = 0; are_equal && i < a->count; i++)
        are_equal = socket_address_equal(&a->addresses[i].address, &b->addresses[i].address);
    return are_equal;
}

static void plan_use(struct config_reload *reload, struct plan *plan, const struct follows *follows)
{
    struct log_line line;
    size_t added = 0, changed = 0;

    for (size_t i = 0; i < follows->count; i++) {
        const struct follow *follow = &follows->items[i];
        added += follow->is_done && follow->step == FOLLOW_ADD;
        changed += follow->is_done && follow->step == FOLLOW_CHANGE;
        if (follow->is_done && follow->step == FOLLOW_CHANGE &&
            !addresses_are_equal(&follow->before->listen, &follow->after->listen))
            route_log_addresses(follow->running);
        if (follow->step == FOLLOW_IMPOSSIBLE)
            protocol_log(reload, follow->after->route.name);
    }
    plan_compare_process(reload->started, plan, on_process_differs, reload);
    plan_release(reload->plan);
    reload->plan = plan_share(plan);
    size_t removed = others_retire(reload, plan);
    reload->succeeded++;
    log_begin(&line, reload->log, LOG_INFO, "configuration reloaded");
    log_number(&line, "added", (int64_t)added);
    log_number(&line, "changed", (int64_t)changed);
    log_number(&line, "removed", (int64_t)removed);
    log_end(&line);
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
    routes_answer_heartbeats(reload->routes);
    free(follows.items);
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
    if (watch.interval_ms)
        file_watch_open(&reload->watch, reload->loop, &watch);
}

void config_reload_close(struct config_reload *reload)
{
    if (!reload->loop)
        return;
    file_watch_close(&reload->watch);
    plan_release(reload->plan);
    plan_release(reload->started);
    *reload = (struct config_reload) { 0 };
}
