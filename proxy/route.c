#include "route.h"

#include "base/clock.h"
#include "options_listen.h"

#include <stdlib.h>

enum { TICK_MS = 20 };

static const char *name_of(const struct route *route)
{
    return route->options->route.name;
}

/* ---- answers to questions of the parts ---- */

static struct dialer_outcome last_dial(const struct route *route)
{
    return readiness_recent_dial(route_group_last_dial(&route->group), clock_monotonic_ms());
}

static bool upstream_is_healthy(const struct route *route)
{
    const struct dialer_outcome dial = last_dial(route);

    return readiness_upstream_failure(route->discovery, &dial) == END_NONE;
}

static struct validity validity_on(const struct route *route, enum side side)
{
    const struct credentials *credentials = route->reload.credentials[side];

    return credentials ? credentials_validity(credentials) : (struct validity) { 0 };
}

bool route_describe(const struct route *route, char *text, size_t size)
{
    struct readiness_facts facts = {
        .discovery = route->discovery,
        .on_no_acks = route->options->route.on_no_acks,
        .dial = last_dial(route),
        .wall_seconds = clock_wall_seconds(),
    };

    for (enum side side = 0; side < SIDE_COUNT; side++)
        facts.validity[side] = validity_on(route, side);
    return readiness_describe(&facts, text, size);
}

struct metrics_route *route_metrics(struct route *route)
{
    struct metrics_route *metrics = &route->metrics;

    *metrics = (struct metrics_route) {
        .name = name_of(route),
        .workers = route->group.metrics,
        .worker_count = route_group_size(&route->group),
        .endpoints = route->discovery->stats_registry.first,
        .now_ms = clock_monotonic_ms(),
        .upstream_healthy = upstream_is_healthy(route),
        .heartbeats_answered = route->heartbeats_answered + route->heartbeat.answered,
        .heartbeats_limited = route->heartbeats_limited + route->heartbeat.limited,
    };
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        const struct validity validity = validity_on(route, side);
        metrics->certificate_not_after[side] = validity.leaf;
        metrics->intermediate_not_after[side] = validity.intermediates;
        metrics->ca_not_after[side] = validity.first_ca;
    }
    return metrics;
}

static bool on_heartbeat_asked(void *owner)
{
    const struct route *route = owner;

    return !route->is_draining && route->state == ROUTE_RUNNING && upstream_is_healthy(route);
}

struct drain_activity route_activity(const struct route *route)
{
    return (struct drain_activity) { .count = route_group_activity(&route->group),
                                     .has_unsettled = route_group_has_unsettled(&route->group) };
}

/* ---- events from one part to another ---- */

static void on_endpoints(void *owner, struct endpoint_list *list)
{
    struct route *route = owner;

    if (route->is_changing)
        return; /* route_change looks at the list */
    route->has_endpoints = true;
    route_group_replace_endpoints(&route->group, list);
}

static void on_credentials(void *owner)
{
    struct route *route = owner;

    route_group_replace_credentials(&route->group, route->reload.credentials);
    discovery_refresh(route->discovery);
}

static void on_refuse(void *owner)
{
    struct route *route = owner;

    route_group_refuse(&route->group);
}

static void on_admit(void *owner)
{
    struct route *route = owner;

    route_group_admit(&route->group);
}

static void on_ended(void *owner)
{
    struct route *route = owner;

    route->process->on_retired(route->process->owner, route);
}

/* ---- the parts ---- */

static bool credentials_open(struct route *route, struct options *options, struct reload *reload,
                             struct fault *fault)
{
    const struct process_options *process = route->process->options;
    const struct reload_options from = {
        .route = options->route.name,
        .credentials = options->credentials,
        .keys = options->keys.side,
        .interval_ms = process->reload_interval_ms,
        .retry_max_ms = process->reload_retry_max_ms,
        .on_loaded = on_credentials,
        .owner = route,
    };

    for (enum side side = 0; side < SIDE_COUNT; side++)
        options->route.key[side] = from.keys[side].setting ? &route->reload.keys[side] : NULL;
    return reload_open(reload, &from, route->process->log, fault);
}

static bool sockets_open(struct route *route, struct fault *fault)
{
    const struct route_process *process = route->process;
    const struct route_group_options options = {
        .workers = process->workers,
        .loop = process->loop,
        .worker_count = process->options->workers,
        .log = process->log,
        .on_ended = on_ended,
        .owner = route,
    };

    if (route_group_bind(&route->group, &options, &route->options->listen, fault))
        return true;
    fault_wrap(fault, "--listen");
    return false;
}

static void discovery_free(struct discovery *discovery)
{
    if (discovery)
        discovery_close(discovery);
    free(discovery);
}

/* A discovery of the upstream in `options`, with the stats of the discovery before it; NULL after a failure.
 */
static struct discovery *discovery_new(struct route *route, const struct options *options,
                                       struct fault *fault)
{
    struct discovery *before = route->discovery, *discovery = calloc(1, sizeof *discovery);
    const struct discovery_setup setup = {
        .route = options->route.name,
        .options = &options->discovery,
        .log = route->process->log,
        .stats_registry = before ? &before->stats_registry : NULL,
        .on_endpoints = on_endpoints,
        .owner = route,
    };

    if (!discovery) {
        fault_set(fault, "out of memory");
        return NULL;
    }
    if (discovery_open(discovery, route->process->loop, &setup, fault))
        return discovery;
    if (before)
        discovery_give_stats(discovery, before);
    discovery_free(discovery);
    return NULL;
}

/* Heartbeats come to the TCP ports of the listener. Where another program has the UDP port, husk runs without
 * them. */
void route_answer_heartbeats(struct route *route)
{
    const struct listening *listening = &route->group.listening;
    struct log *log = route->process->log;
    const struct heartbeat_options options = {
        .route = name_of(route),
        .per_second = route->options->heartbeats_per_second,
        .per_second_and_source = route->options->heartbeats_per_source,
        .log = log,
        .on_asked = on_heartbeat_asked,
        .owner = route,
    };
    struct fault fault;

    _Static_assert((int)HEARTBEAT_SOCKETS_MAX >= (int)LISTENER_SOCKETS_MAX, "a socket for each TCP port");
    if (route->state != ROUTE_RUNNING || route->heartbeat.loop || !options.per_second)
        return;
    heartbeat_open(&route->heartbeat, route->process->loop, &options);
    for (unsigned i = 0; i < listening->count; i++) {
        const struct socket_address *address = &listening->sockets[i].address;
        if (address->storage.ss_family == AF_UNIX)
            continue;
        if (!heartbeat_bind(&route->heartbeat, address, &fault))
            log_say_of(log, LOG_WARN, name_of(route), "UDP heartbeats are not answered: %s", fault.text);
    }
}

static void readiness_start(struct route *route)
{
    route->readiness.options = (struct readiness_options) {
        .route = name_of(route),
        .discovery = route->discovery,
        .log = route->process->log,
        .refuses_unhealthy = route->options->refuses_unhealthy,
        .on_refuse = on_refuse,
        .on_admit = on_admit,
        .owner = route,
    };
}

/* ---- begin ---- */

bool route_prepare(struct route *route, const struct route_process *process, struct options *options,
                   struct fault *fault)
{
    route->process = process;
    route->options = options;
    if (!credentials_open(route, options, &route->reload, fault) || !sockets_open(route, fault))
        return false;
    route->state = ROUTE_PREPARED;
    return true;
}

bool route_start(struct route *route, struct fault *fault)
{
    if (!(route->discovery = discovery_new(route, route->options, fault)) ||
        !route_group_open(&route->group, &route->options->route, route->reload.credentials, fault))
        return false;
    if (route->has_endpoints)
        route_group_replace_endpoints(&route->group, route->discovery->list);
    readiness_start(route);
    reload_watch(&route->reload, route->process->loop);
    route->state = ROUTE_RUNNING;
    return true;
}

/* ---- other options ---- */

/* Until no worker reads the options before. */
struct route_change {
    LIST_ENTRY(route_change) sibling;
    struct route *route;    /* borrowed */
    struct options *before; /* borrowed */
};

static void on_changed(void *owner)
{
    struct route_change *change = owner;
    const struct route_process *process = change->route->process;
    struct options *before = change->before;

    LIST_REMOVE(change, sibling);
    free(change);
    process->on_unused(process->owner, before);
}

/* What a change needs before anything changes. Owned. */
struct preparation {
    struct reload reload;
    struct discovery *discovery;
    struct route_change *change;
    struct route_group_change *of_workers;
};

static void preparation_free(struct route *route, struct preparation *preparation)
{
    reload_close(&preparation->reload);
    if (preparation->discovery)
        discovery_give_stats(preparation->discovery, route->discovery);
    discovery_free(preparation->discovery);
    route_group_change_free(preparation->of_workers);
    free(preparation->change);
}

/* The listening addresses come last: they change at once. */
static bool prepare(struct route *route, struct options *options, struct preparation *preparation,
                    struct fault *fault)
{
    struct route_change *change = calloc(1, sizeof *change);

    *preparation = (struct preparation) {
        .change = change,
        .of_workers = route_group_change_new(&route->group, on_changed, change),
    };
    if (!change || !preparation->of_workers) {
        fault_set(fault, "out of memory");
        return false;
    }
    *change = (struct route_change) { .route = route, .before = route->options };
    route->is_changing = true;
    bool done = credentials_open(route, options, &preparation->reload, fault) &&
                (preparation->discovery = discovery_new(route, options, fault));
    route->is_changing = false;
    if (!done || route_group_listen(&route->group, &options->listen, fault))
        return done;
    fault_wrap(fault, "--listen");
    return false;
}

static void heartbeat_end(struct route *route)
{
    route->heartbeats_answered += route->heartbeat.answered;
    route->heartbeats_limited += route->heartbeat.limited;
    heartbeat_close(&route->heartbeat);
}

/* The shared keys are in use before a worker looks for them. */
static void change_begin(struct route *route, struct options *options, struct preparation *preparation)
{
    LIST_INSERT_HEAD(&route->changes, preparation->change, sibling);
    route->options = options;
    reload_adopt(&route->reload, &preparation->reload);
    route_group_change_begin(preparation->of_workers, &options->route);
    route_group_set_credentials(&route->group, route->reload.credentials);
    discovery_free(route->discovery);
    route->discovery = preparation->discovery;
    if (route->discovery->list)
        route_group_replace_endpoints(&route->group, route->discovery->list);
    readiness_start(route);
    heartbeat_end(route);
}

bool route_change(struct route *route, struct options *options, struct fault *fault)
{
    struct preparation preparation;

    if (route->state != ROUTE_RUNNING || route->is_draining) {
        fault_set(fault, "the route is ending");
        return false;
    }
    if (options->route.protocol != route->options->route.protocol) {
        fault_set(fault, "--protocol: cannot change while the route runs");
        return false;
    }
    if (!prepare(route, options, &preparation, fault)) {
        preparation_free(route, &preparation);
        return false;
    }
    change_begin(route, options, &preparation);
    return true;
}

static bool listens_at(const struct options *options, const struct socket_address *address)
{
    for (unsigned i = 0; i < options->listen.count; i++) {
        if (options_listen_clash(&options->listen.addresses[i].address, address))
            return true;
    }
    return false;
}

bool route_may_listen(const struct route *route, const struct socket_address *address)
{
    const struct route_change *change;

    LIST_FOREACH (change, &route->changes, sibling) {
        if (listens_at(change->before, address))
            return true;
    }
    return listens_at(route->options, address);
}

/* ---- for the log ---- */

void route_log_addresses(const struct route *route)
{
    const struct listening *listening = &route->group.listening;
    char text[ADDRESS_TEXT_BYTES];
    struct log_line line;

    for (unsigned i = 0; i < listening->count; i++) {
        socket_address_format(&listening->sockets[i].address, text, sizeof text);
        log_begin(&line, route->process->log, LOG_INFO, "listening");
        log_text(&line, "route", name_of(route));
        log_text(&line, "address", text);
        log_end(&line);
    }
}

/* ---- events of the process ---- */

void route_reload(struct route *route)
{
    reload_now(&route->reload);
}

void route_drain(struct route *route)
{
    route->is_draining = true;
    reload_stop(&route->reload);
    route_group_drain(&route->group);
}

void route_watch(struct route *route)
{
    const struct dialer_outcome dial = last_dial(route);

    if (route->state == ROUTE_RUNNING)
        readiness_check(&route->readiness, &dial);
}

/* ---- end ---- */

/* Without a connection and without an unsettled message there is nothing to wait for. */
static void on_tick(struct ev_loop *loop, ev_timer *tick, int events)
{
    struct route *route = tick->data;
    const struct drain_activity activity = route_activity(route);
    uint64_t now_ms = clock_monotonic_ms();

    (void)events;
    drain_note(&route->retirement, &activity, now_ms);
    bool is_empty = !activity.has_unsettled && !route_group_connections(&route->group);
    if (!is_empty && !drain_is_over(&route->retirement, now_ms))
        return;
    ev_timer_stop(loop, tick);
    route->state = ROUTE_ENDING;
    route_group_end(&route->group);
}

void route_retire(struct route *route)
{
    const struct process_options *process = route->process->options;
    const struct drain_activity activity = route_activity(route);

    if (route->state != ROUTE_RUNNING)
        return;
    route->state = ROUTE_RETIRING;
    reload_stop(&route->reload);
    heartbeat_end(route);
    route_group_retire(&route->group);
    route->retirement = (struct drain) { .options = { .timeout_ms = process->drain_timeout_ms,
                                                      .quiet_ms = process->drain_quiet_ms } };
    drain_begin(&route->retirement, &activity, clock_monotonic_ms());
    ev_timer_init(&route->tick, on_tick, TICK_MS / 1000.0, TICK_MS / 1000.0);
    route->tick.data = route;
    ev_timer_start(route->process->loop, &route->tick);
}

unsigned route_close(struct route *route)
{
    unsigned left_behind = route_group_close(&route->group);
    struct route_change *next;

    for (struct route_change *change = LIST_FIRST(&route->changes); change; change = next) {
        next = LIST_NEXT(change, sibling);
        on_changed(change);
    }
    if (route->state == ROUTE_RETIRING)
        ev_timer_stop(route->process->loop, &route->tick);
    heartbeat_close(&route->heartbeat);
    discovery_free(route->discovery);
    route->discovery = NULL;
    reload_close(&route->reload);
    route->state = ROUTE_NEW;
    return left_behind;
}
