#include "routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DESCRIPTION_BYTES = 2048 }; /* of one route */

/* ---- begin and end of a route ---- */

/* Frees the route. */
static void route_drop(struct routes *routes, struct route *route)
{
    TAILQ_REMOVE(&routes->list, route, sibling);
    routes->reloads_succeeded += route->reload.succeeded;
    routes->reloads_failed += route->reload.failed;
    routes->left_behind += route_close(route);
    free(route);
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
    unsigned before = routes->left_behind;
    struct log_line line;

    route_drop(routes, route);
    unsigned left_behind = routes->left_behind - before;
    log_begin(&line, routes->process.log, left_behind ? LOG_WARN : LOG_INFO, "route removed");
    log_text(&line, "route", options->route.name);
    if (left_behind)
        log_number(&line, "undelivered", left_behind);
    log_end(&line);
    on_unused(routes, options);
}

/* The new route, in the list; NULL after a failure. */
static struct route *route_new(struct routes *routes, struct options *options, struct fault *fault)
{
    struct route *route = calloc(1, sizeof *route);

    if (!route) {
        fault_set(fault, "out of memory");
        return NULL;
    }
    TAILQ_INSERT_TAIL(&routes->list, route, sibling);
    if (route_prepare(route, &routes->process, options, fault))
        return route;
    route_drop(routes, route);
    return NULL;
}

bool routes_prepare(struct routes *routes, struct options *options, struct fault *fault)
{
    return route_new(routes, options, fault);
}

bool routes_start(struct routes *routes, struct fault *fault)
{
    struct route *route;

    TAILQ_FOREACH (route, &routes->list, sibling) {
        if (!route_start(route, fault))
            return false;
    }
    return true;
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

bool routes_add(struct routes *routes, struct options *options, struct fault *fault)
{
    struct route *route = route_new(routes, options, fault);

    if (!route)
        return false;
    if (!route_start(route, fault)) {
        route_drop(routes, route);
        return false;
    }
    route_log_addresses(route);
    return true;
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

void routes_init(struct routes *routes, const struct routes_options *options)
{
    *routes = (struct routes) {
        .process = { .options = options->process,
                     .loop = options->loop,
                     .workers = options->workers,
                     .log = options->log,
                     .on_retired = on_retired,
                     .on_unused = on_unused,
                     .owner = routes },
        .on_unused = options->on_unused,
        .owner = options->owner,
    };
    TAILQ_INIT(&routes->list);
}

unsigned routes_close(struct routes *routes)
{
    struct route *next;

    for (struct route *route = TAILQ_FIRST(&routes->list); route; route = next) {
        struct options *options = route->options;
        next = TAILQ_NEXT(route, sibling);
        route_drop(routes, route);
        on_unused(routes, options);
    }
    return routes->left_behind;
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

void routes_watch(struct routes *routes)
{
    struct route *route;

    TAILQ_FOREACH (route, &routes->list, sibling)
        route_watch(route);
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
