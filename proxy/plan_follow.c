#include "plan_follow.h"

#include <stdlib.h>
#include <string.h>

/* How the running routes follow one route of the plan. */
enum follow_step {
    FOLLOW_NOTHING,
    FOLLOW_ADD,
    FOLLOW_CHANGE,
    FOLLOW_REPLACE, /* with another protocol: a new route, and the running one ends */
};

struct follow {
    struct options *after;       /* of the plan */
    struct route *running;       /* NULL: there is none of this name */
    struct route *added;         /* FOLLOW_ADD and FOLLOW_REPLACE: prepared */
    struct route_change *change; /* FOLLOW_CHANGE: prepared */
    enum follow_step step;
};

struct follows {
    struct routes *routes;
    struct follow *items; /* one for each route of the plan */
    size_t count;
};

/* ---- what differs ---- */

static enum follow_step step_of(const struct follow *follow)
{
    if (!follow->running)
        return FOLLOW_ADD;
    if (plan_routes_equal(follow->running->options, follow->after) &&
        !listening_has_lost_file(&follow->running->group.listening))
        return FOLLOW_NOTHING;
    return follow->running->options->route.protocol == follow->after->route.protocol ? FOLLOW_CHANGE
                                                                                     : FOLLOW_REPLACE;
}

static bool follows_find(struct follows *follows, struct plan *plan, struct routes *routes)
{
    *follows = (struct follows) { .routes = routes, .items = calloc(plan->count, sizeof *follows->items) };
    if (!follows->items)
        return false;
    for (size_t i = 0; i < plan->count; i++) {
        struct follow *follow = &follows->items[follows->count++];
        follow->after = &plan->routes[i].options;
        follow->running = routes_find(routes, follow->after->route.name);
        follow->step = step_of(follow);
    }
    return true;
}

/* Routes of one plan do not listen at the same address. So who listens at an address of `follow` now is its
 * own route, or is about to end there. */
static void take_over(const struct follows *follows, const struct follow *follow,
                      struct listening_address *to)
{
    struct route *route;

    to->is_taken_over = false;
    to->from = NULL;
    TAILQ_FOREACH (route, &follows->routes->list, sibling) {
        if (!route_may_listen(route, &to->address))
            continue;
        to->is_taken_over = true;
        if (route->state == ROUTE_RUNNING && (route != follow->running || follow->step == FOLLOW_REPLACE))
            to->from = listening_find_alone(&route->group.listening, &to->address);
    }
}

/* ---- what can fail ---- */

static bool follow_prepare(struct follows *follows, struct follow *follow, struct fault *fault)
{
    struct listening_options *listen = &follow->after->listen;

    if (follow->step == FOLLOW_NOTHING)
        return true;
    for (unsigned i = 0; i < listen->count; i++)
        take_over(follows, follow, &listen->addresses[i]);
    if (follow->step == FOLLOW_CHANGE)
        return (follow->change = route_change_new(follow->running, follow->after, fault));
    follow->added = routes_prepare(follows->routes, follow->after, fault);
    return follow->added && route_open(follow->added, fault);
}

/* What `follow` is to listen on; NULL: nothing changes. */
static struct listening_change *binding_of(const struct follow *follow)
{
    if (follow->change)
        return route_change_binding(follow->change);
    return follow->added ? follow->added->group.binding : NULL;
}

static bool binding_advance(struct listening_change *binding,
                            bool (*step)(struct listening_change *binding, struct fault *fault),
                            struct fault *fault)
{
    if (!binding || step(binding, fault))
        return true;
    fault_wrap(fault, "--listen");
    return false;
}

static bool follow_set_rights(struct follows *follows, struct follow *follow, struct fault *fault)
{
    (void)follows;
    return binding_advance(binding_of(follow), listening_change_set_rights, fault);
}

static bool follow_listen(struct follows *follows, struct follow *follow, struct fault *fault)
{
    (void)follows;
    return binding_advance(binding_of(follow), listening_change_listen, fault);
}

static void follows_cancel(struct follows *follows)
{
    for (size_t i = follows->count; i--;) {
        struct follow *follow = &follows->items[i];
        route_change_cancel(follow->change);
        if (follow->added)
            routes_drop(follows->routes, follow->added);
    }
}

static bool follows_try(struct follows *follows,
                        bool (*step)(struct follows *follows, struct follow *follow, struct fault *fault),
                        struct fault *fault)
{
    for (size_t i = 0; i < follows->count; i++) {
        if (step(follows, &follows->items[i], fault))
            continue;
        fault_wrap(fault, "route %s", follows->items[i].after->route.name);
        return false;
    }
    return true;
}

/* ---- what cannot fail ---- */

static bool addresses_are_equal(const struct listening_options *a, const struct listening_options *b)
{
    bool are_equal = a->count == b->count;

    for (unsigned i = 0; are_equal && i < a->count; i++)
        are_equal = socket_address_equal(&a->addresses[i].address, &b->addresses[i].address);
    return are_equal;
}

static void follow_begin(struct follow *follow)
{
    (void)plan_share(plan_of(follow->after));
    if (follow->change) {
        bool has_moved = !addresses_are_equal(&follow->running->options->listen, &follow->after->listen);
        route_change_begin(follow->change);
        if (has_moved)
            route_log_addresses(follow->running);
    } else {
        route_start(follow->added);
        route_log_addresses(follow->added);
    }
    if (follow->step == FOLLOW_REPLACE)
        route_retire(follow->running);
}

static bool is_in_plan(const struct plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (strcmp(plan->routes[i].options.route.name, name) == 0)
            return true;
    }
    return false;
}

/* Ends the routes that the plan does not have. Returns their number. */
static size_t others_retire(struct routes *routes, const struct plan *plan)
{
    struct route *route;
    size_t retired = 0;

    TAILQ_FOREACH (route, &routes->list, sibling) {
        if (route->state != ROUTE_RUNNING || is_in_plan(plan, route->options->route.name))
            continue;
        route_retire(route);
        retired++;
    }
    return retired;
}

static void follows_begin(struct follows *follows, const struct plan *plan, struct plan_follow_counts *counts)
{
    *counts = (struct plan_follow_counts) { 0 };
    for (size_t i = 0; i < follows->count; i++) {
        struct follow *follow = &follows->items[i];
        if (follow->step == FOLLOW_NOTHING)
            continue;
        follow_begin(follow);
        counts->added += follow->step == FOLLOW_ADD;
        counts->changed += follow->step != FOLLOW_ADD;
    }
    counts->removed = others_retire(follows->routes, plan);
    routes_answer_heartbeats(follows->routes);
}

bool plan_follow(struct plan *plan, struct routes *routes, struct plan_follow_counts *counts,
                 struct fault *fault)
{
    struct follows follows;

    if (!follows_find(&follows, plan, routes)) {
        fault_set(fault, "out of memory");
        return false;
    }
    bool is_ready = follows_try(&follows, follow_prepare, fault) &&
                    follows_try(&follows, follow_set_rights, fault) &&
                    follows_try(&follows, follow_listen, fault);
    if (is_ready)
        follows_begin(&follows, plan, counts);
    else
        follows_cancel(&follows);
    free(follows.items);
    return is_ready;
}
