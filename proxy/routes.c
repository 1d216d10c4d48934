#include "routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DESCRIPTION_BYTES = 2048, /* of one route */
    UNUSED_MS = 60 * 1000     /* of a stream of a Workload API, beyond the longest pause of a reload */
};

/* ---- begin and end of a route ---- */

/* Returns the number of connections and messages that the route leaves undelivered. */
static unsigned route_free(struct routes *routes, struct route *route)
{
    TAILQ_REMOVE(&routes->list, route, sibling);
    routes->reloads_succeeded += route->reload.succeeded;
    routes->reloads_failed += route->reload.failed;
    unsigned left_behind = route_close(route);
    free(route);
    return left_behind;
}

void routes_drop(struct routes *routes, struct route *route)
{
    (void)route_free(routes, route);
}

static void on_unused(void *owner, struct options *options)
{
    struct routes *routes = owner;

    if (routes->on_unused)
        routes->on_unused(routes->owner, options);
}

static void on_retired(void *owner, struct route *route)
{
    struct routes *routes = owner;
    struct options *options = route->options;
    uint64_t undelivered = route_group_given_up(&route->group);
    struct log_line line;

    undelivered += route_free(routes, route);
    routes->removed_undelivered += undelivered;
    log_begin(&line, routes->process.log, undelivered ? LOG_WARN : LOG_INFO, "route removed");
    log_text(&line, "route", options->route.name);
    if (undelivered)
        log_number(&line, "undelivered", (int64_t)undelivered);
    log_end(&line);
    on_unused(routes, options);
}

struct route *routes_prepare(struct routes *routes, struct options *options, struct fault *fault)
{
    struct route *route = calloc(1, sizeof *route);

    if (!route) {
        fault_set(fault, "out of memory");
        return NULL;
    }
    TAILQ_INSERT_TAIL(&routes->list, route, sibling);
    if (route_prepare(route, &routes->process, options, fault))
        return route;
    routes_drop(routes, route);
    return NULL;
}

bool routes_open(struct routes *routes, struct fault *fault)
{
    struct route *route;

    TAILQ_FOREACH (route, &routes->list, sibling) {
        if (route->state == ROUTE_PREPARED && !route_open(route, fault))
            return false;
    }
    return true;
}

void routes_start(struct routes *routes)
{
    struct route *route;

    TAILQ_FOREACH (route, &routes->list, sibling) {
        if (route->state == ROUTE_PREPARED)
            route_start(route);
    }
}

void routes_answer_heartbeats(struct routes *routes)
{
    struct route *route;

    TAILQ_FOREACH (route, &routes->list, sibling)
        route_answer_heartbeats(route);
}

void routes_log_addresses(const struct routes *routes)
{
    const struct route *route;

    TAILQ_FOREACH (route, &routes->list, sibling)
        route_log_addresses(route);
}

struct route *routes_find(struct routes *routes, const char *name)
{
    struct route *route;

    TAILQ_FOREACH (route, &routes->list, sibling) {
        if (route->state == ROUTE_RUNNING && strcmp(route->options->route.name, name) == 0)
            return route;
    }
    return NULL;
}

/* ---- Workload APIs ---- */

static bool is_needed(const void *owner, const char *socket)
{
    const struct routes *routes = owner;
    const struct route *route;

    TAILQ_FOREACH (route, &routes->list, sibling) {
        if (reload_needs_workload_api(&route->reload, socket))
            return true;
    }
    return false;
}

/* A new answer is a change of the files. */
static void on_answer(void *owner)
{
    struct routes *routes = owner;
    struct route *route;

    reloads_begin(&routes->reloads);
    TAILQ_FOREACH (route, &routes->list, sibling) {
        if (reload_needs_workload_api(&route->reload, NULL))
            route_reload(route);
    }
}

bool routes_want_credentials(struct routes *routes, const struct options *options, struct fault *fault)
{
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        const char *socket = options->credentials[side].svid.socket;
        if (!socket || workload_apis_find(&routes->reloads.workload_apis, socket))
            continue;
        fault_set(fault, "out of memory");
        return false;
    }
    return true;
}

void routes_init(struct routes *routes, const struct routes_options *options)
{
    *routes = (struct routes) {
        .process = { .options = options->process,
                     .loop = options->loop,
                     .workers = options->workers,
                     .reloads = &routes->reloads,
                     .inherited = options->inherited,
                     .log = options->log,
                     .on_retired = on_retired,
                     .on_unused = on_unused,
                     .owner = routes },
        .reloads = { .interval_ms = options->process->reload_interval_ms, .tokens = options->tokens },
        .on_unused = options->on_unused,
        .owner = options->owner,
    };
    TAILQ_INIT(&routes->list);
    const struct workload_apis_options workload_apis = {
        .loop = options->loop,
        .log = options->log,
        .limits = options->process->workload_api,
        .unused_ms = options->process->reload_retry_max_ms + UNUSED_MS,
        .on_answer = on_answer,
        .owner = routes,
    };
    workload_apis_init(&routes->reloads.workload_apis, &workload_apis);
}

unsigned routes_close(struct routes *routes)
{
    unsigned left_behind = 0;
    struct route *next;

    for (struct route *route = TAILQ_FIRST(&routes->list); route; route = next) {
        struct options *options = route->options;
        next = TAILQ_NEXT(route, sibling);
        left_behind += route_free(routes, route);
        on_unused(routes, options);
    }
    workload_apis_close(&routes->reloads.workload_apis);
    return left_behind;
}

/* ---- events of the process ---- */

void routes_reload(struct routes *routes)
{
    struct route *route;

    TAILQ_FOREACH (route, &routes->list, sibling)
        route_reload(route);
}

void routes_drain(struct routes *routes)
{
    struct route *route;

    TAILQ_FOREACH (route, &routes->list, sibling)
        route_drain(route);
}

void routes_hand_over(struct routes *routes)
{
    struct route *route;

    TAILQ_FOREACH (route, &routes->list, sibling)
        route_hand_over(route);
}

void routes_refuse_again(struct routes *routes)
{
    struct route *route;

    TAILQ_FOREACH (route, &routes->list, sibling)
        readiness_refuse_again(&route->readiness);
}

bool routes_have_retired(const struct routes *routes)
{
    const struct route *route;

    TAILQ_FOREACH (route, &routes->list, sibling) {
        if (!route_group_has_retired(&route->group))
            return false;
    }
    return true;
}

void routes_give_up_files(struct routes *routes)
{
    struct route *route;

    TAILQ_FOREACH (route, &routes->list, sibling)
        listening_give_up_files(&route->group.listening);
}

void routes_watch(struct routes *routes)
{
    struct route *route;

    TAILQ_FOREACH (route, &routes->list, sibling)
        route_watch(route);
    workload_apis_prune(&routes->reloads.workload_apis, is_needed, routes);
}

/* ---- answers ---- */

static bool are_several(const struct routes *routes)
{
    const struct route *first = TAILQ_FIRST(&routes->list);

    return first && TAILQ_NEXT(first, sibling);
}

/* Appends `lines`, each with the name of the route before it. */
static void lines_append(char *text, size_t size, const char *name, char *lines)
{
    char *line;

    while ((line = strsep(&lines, "\n"))) {
        size_t used = strlen(text);
        if (*line)
            snprintf(text + used, size - used, "%s: %s\n", name, line);
    }
}

bool routes_describe(const struct routes *routes, char *text, size_t size)
{
    const struct route *route;
    bool is_ready = true;

    workload_apis_describe(&routes->reloads.workload_apis, text, size);
    TAILQ_FOREACH (route, &routes->list, sibling) {
        char lines[DESCRIPTION_BYTES];
        if (route->state != ROUTE_RUNNING)
            continue;
        is_ready = route_describe(route, lines, sizeof lines) && is_ready;
        if (are_several(routes))
            lines_append(text, size, route->options->route.name, lines);
        else
            snprintf(text + strlen(text), size - strlen(text), "%s", lines);
    }
    return is_ready;
}

/* A route can be back under its name while the route before it retires: a scrape has one of them. */
static bool has_successor(const struct route *route)
{
    const struct route *later = route;

    while ((later = TAILQ_NEXT(later, sibling))) {
        if (strcmp(later->options->route.name, route->options->route.name) == 0)
            return true;
    }
    return false;
}

void routes_snapshot(struct routes *routes, struct metrics_snapshot *snapshot)
{
    const struct metrics_route **next = &snapshot->routes;
    struct route *route;

    snapshot->reloads_succeeded = routes->reloads_succeeded;
    snapshot->reloads_failed = routes->reloads_failed;
    snapshot->removed_undelivered = routes->removed_undelivered;
    snapshot->workload_apis = workload_apis_metrics(&routes->reloads.workload_apis);
    TAILQ_FOREACH (route, &routes->list, sibling) {
        snapshot->reloads_succeeded += route->reload.succeeded;
        snapshot->reloads_failed += route->reload.failed;
        snapshot->reload_pending = snapshot->reload_pending || route->reload.state == RELOAD_RETRYING;
        if (has_successor(route))
            continue;
        struct metrics_route *metrics = route_metrics(route);
        *next = metrics;
        next = &metrics->next;
    }
}

uint64_t routes_connections(const struct routes *routes)
{
    const struct route *route;
    uint64_t sum = 0;

    TAILQ_FOREACH (route, &routes->list, sibling)
        sum += route_group_connections(&route->group);
    return sum;
}

struct drain_activity routes_activity(const struct routes *routes)
{
    struct drain_activity all = { 0 };
    const struct route *route;

    TAILQ_FOREACH (route, &routes->list, sibling) {
        const struct drain_activity activity = route_activity(route);
        all.count += activity.count;
        all.has_unsettled = all.has_unsettled || activity.has_unsettled;
    }
    return all;
}
