#include "route.h"

#include "base/clock.h"
#include "options_listen.h"

#include <assert.h>
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
        .is_insecure = credentials_verify_nothing(route->reload.credentials[SIDE_UPSTREAM]),
        .is_withdrawn = reload_is_withdrawn(&route->reload),
        .wall_seconds = clock_wall_seconds(),
        .min_certificate_life = route->options->min_certificate_life,
    };

    for (enum side side = 0; side < SIDE_COUNT; side++) {
        facts.validity[side] = validity_on(route, side);
        facts.revocation[side] = credentials_revocation(route->reload.credentials[side]);
    }
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
        .is_insecure = credentials_verify_nothing(route->reload.credentials[SIDE_UPSTREAM]),
        .heartbeats_answered = route->heartbeat.heartbeat.answered,
        .heartbeats_limited = route->heartbeat.heartbeat.limited,
    };
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        const struct validity validity = validity_on(route, side);
        metrics->intermediate_not_after[side] = validity.intermediates;
        metrics->ca_not_after[side] = validity.first_ca;
        metrics->certificates[side] =
            credentials_certificates(route->reload.credentials[side], &metrics->certificate_count[side]);
        metrics->crls[side] = revocation_updates(
            credentials_revocation(route->reload.credentials[side]).lists, &metrics->crl_count[side]);
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

    route_group_replace_endpoints(&route->group, list);
}

static void on_credentials(void *owner)
{
    struct route *route = owner;

    route_group_replace_credentials(&route->group, route->reload.credentials);
    discovery_refresh(route->discovery);
}

static void on_verdict(void *owner, enum readiness_verdict verdict)
{
    static void (*const acts[])(struct route_group *group) = {
        [READINESS_ADMIT] = route_group_admit,
        [READINESS_REFUSE] = route_group_refuse,
        [READINESS_SHED] = route_group_shed,
    };
    struct route *route = owner;

    acts[verdict](&route->group);
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
        .reloads = route->process->reloads,
        .route = options->route.name,
        .credentials = options->credentials,
        .keys = options->keys.side,
        .settle_timeout_ms = process->reload_settle_timeout_ms,
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
        .route = name_of(route),
        .inherited = process->inherited,
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

/* A discovery of the upstream in `options` that has not begun; NULL after a failure. */
static struct discovery *discovery_new(struct route *route, const struct options *options,
                                       struct fault *fault)
{
    struct discovery *discovery = calloc(1, sizeof *discovery);
    const struct discovery_setup setup = {
        .route = options->route.name,
        .options = &options->discovery,
        .log = route->process->log,
        .on_endpoints = on_endpoints,
        .owner = route,
    };

    if (!discovery) {
        fault_set(fault, "out of memory");
        return NULL;
    }
    if (discovery_open(discovery, route->process->loop, &setup, fault))
        return discovery;
    discovery_free(discovery);
    return NULL;
}

static struct heartbeat_options heartbeat_options_of(struct route *route)
{
    return (struct heartbeat_options) {
        .route = name_of(route),
        .per_second = route->options->heartbeats_per_second,
        .per_second_and_source = route->options->heartbeats_per_source,
        .log = route->process->log,
        .on_asked = on_heartbeat_asked,
        .owner = route,
    };
}

void route_answer_heartbeats(struct route *route)
{
    const struct heartbeat_options options = heartbeat_options_of(route);

    if (route->state == ROUTE_RUNNING)
        route_heartbeat_answer(&route->heartbeat, route->process->loop, &options, &route->group.listening);
}

static void readiness_start(struct route *route)
{
    const struct readiness_options options = {
        .route = name_of(route),
        .discovery = route->discovery,
        .log = route->process->log,
        .refuses_unhealthy = route->options->refuses_unhealthy && route_group_can_refuse(&route->group),
        .shed_after_ms = route->process->options->drain_quiet_ms,
        .on_verdict = on_verdict,
        .owner = route,
    };

    readiness_set_options(&route->readiness, &options);
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

bool route_listen(struct route *route, struct fault *fault)
{
    if (route_group_listen(&route->group, fault))
        return true;
    fault_wrap(fault, "--listen");
    return false;
}

bool route_open(struct route *route, struct fault *fault)
{
    return (route->discovery = discovery_new(route, route->options, fault)) &&
           route_group_open(&route->group, &route->options->route, route->reload.credentials, fault);
}

void route_start(struct route *route)
{
    discovery_begin(route->discovery, NULL);
    route_group_begin(&route->group);
    if (route->discovery->list)
        route_group_replace_endpoints(&route->group, route->discovery->list);
    readiness_start(route);
    route_certificates_begin(&route->certificates);
    reload_watch(&route->reload, route->process->loop);
    route->state = ROUTE_RUNNING;
}

/* ---- other options ---- */

/* In the list of its route from its begin on, until no worker reads the options before. */
struct route_change {
    LIST_ENTRY(route_change) sibling;
    struct route *route;            /* borrowed */
    struct options *before, *after; /* borrowed */
    /* Until the change begins; owned. */
    struct reload reload;
    struct discovery *discovery;
    struct endpoint_list *unknown; /* without an address: the workers forget those of the upstream before */
    struct route_group_change *of_workers;
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

static bool change_open(struct route_change *change, struct fault *fault)
{
    struct route *route = change->route;

    if (!credentials_open(route, change->after, &change->reload, fault) ||
        !(change->discovery = discovery_new(route, change->after, fault)))
        return false;
    if (!(change->unknown = endpoint_list_new(NULL, 0))) {
        fault_set(fault, "out of memory");
        return false;
    }
    change->of_workers = route_group_change_new(&route->group, &change->after->listen, fault);
    if (!change->of_workers)
        fault_wrap(fault, "--listen");
    return change->of_workers;
}

struct route_change *route_change_new(struct route *route, struct options *options, struct fault *fault)
{
    struct route_change *change = calloc(1, sizeof *change);

    assert(route->state == ROUTE_RUNNING && options->route.protocol == route->options->route.protocol);
    if (!change) {
        fault_set(fault, "out of memory");
        return NULL;
    }
    *change = (struct route_change) { .route = route, .before = route->options, .after = options };
    if (change_open(change, fault))
        return change;
    route_change_cancel(change);
    return NULL;
}

struct listening_change *route_change_binding(const struct route_change *change)
{
    return route_group_change_binding(change->of_workers);
}

void route_change_cancel(struct route_change *change)
{
    if (!change)
        return;
    reload_close(&change->reload);
    discovery_free(change->discovery);
    endpoint_list_release(change->unknown);
    route_group_change_cancel(change->of_workers);
    free(change);
}

/* The shared keys are in use before a worker looks for them. */
void route_change_begin(struct route_change *change)
{
    struct route *route = change->route;

    LIST_INSERT_HEAD(&route->changes, change, sibling);
    route->options = change->after;
    reload_adopt(&route->reload, &change->reload);
    discovery_begin(change->discovery, route->discovery);
    discovery_free(route->discovery);
    route->discovery = change->discovery;
    struct worker_route_change to = { .options = route->options->route,
                                      .endpoints =
                                          route->discovery->list ? route->discovery->list : change->unknown };
    for (enum side side = 0; side < SIDE_COUNT; side++)
        to.credentials[side] = route->reload.credentials[side];
    readiness_start(route); /* may admit connections, before the workers get new addresses */
    route_group_change_begin(change->of_workers, &to, on_changed, change);
    readiness_start(route); /* connections at the new addresses can perhaps be refused */
    endpoint_list_release(change->unknown);
    const struct heartbeat_options heartbeat = heartbeat_options_of(route);
    route_heartbeat_change(&route->heartbeat, &heartbeat, &route->group.listening);
}

bool route_may_listen(const struct route *route, const struct socket_address *address)
{
    const struct route_change *change;

    LIST_FOREACH (change, &route->changes, sibling) {
        if (options_listen_has(&change->before->listen, address))
            return true;
    }
    return options_listen_has(&route->options->listen, address);
}

void route_log_addresses(const struct route *route)
{
    listening_log(&route->group.listening, route->process->log, name_of(route));
    if (route->options->refuses_unhealthy)
        listening_log_fixed(&route->group.listening, route->process->log, name_of(route));
}

/* ---- events of the process ---- */

void route_reload(struct route *route)
{
    reload_now(&route->reload);
}

void route_drain(struct route *route)
{
    route->is_draining = true;
    readiness_drain(&route->readiness,
                    route_group_can_refuse(&route->group) ? READINESS_DRAINING : READINESS_DRAINING_FIXED);
    reload_stop(&route->reload);
    route_group_drain(&route->group);
}

void route_watch(struct route *route)
{
    const struct dialer_outcome dial = last_dial(route);
    bool is_judged_again = route_certificates_watch(&route->certificates, &route->reload);

    if (route->state != ROUTE_RUNNING)
        return;
    if (is_judged_again)
        route_group_replace_credentials(&route->group, route->reload.credentials);
    readiness_check(&route->readiness, &dial, clock_monotonic_ms());
    if (route->heartbeat.fails)
        route_answer_heartbeats(route);
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
    if (!route_group_has_retired(&route->group))
        return;
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
    route_heartbeat_close(&route->heartbeat);
    route_group_retire(&route->group);
    route->retirement = (struct drain) { .options = { .timeout_ms = process->drain_timeout_ms,
                                                      .quiet_ms = process->drain_quiet_ms } };
    drain_begin(&route->retirement, &activity, clock_monotonic_ms());
    ev_timer_init(&route->tick, on_tick, TICK_MS / 1000.0, TICK_MS / 1000.0);
    route->tick.data = route;
    ev_timer_start(route->process->loop, &route->tick);
}

void route_hand_over(struct route *route)
{
    if (route->state != ROUTE_RUNNING)
        return;
    route_heartbeat_close(&route->heartbeat);
    route_group_hand_over(&route->group);
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
    route_heartbeat_close(&route->heartbeat);
    discovery_free(route->discovery);
    route->discovery = NULL;
    route_certificates_deinit(&route->certificates);
    reload_close(&route->reload);
    route->state = ROUTE_NEW;
    return left_behind;
}
