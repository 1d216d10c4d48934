#include "daemon.h"

#include "admin/admin.h"
#include "base/clock.h"
#include "base/process.h"
#include "commands/commands.h"
#include "control/discovery.h"
#include "control/drain.h"
#include "control/heartbeat.h"
#include "control/readiness.h"
#include "control/reload.h"
#include "options.h"
#include "wire/tls_channel.h"
#include "worker/route_group.h"

#include <unistd.h>

enum { WATCH_SECONDS = 1 };

struct daemon {
    const char *version; /* borrowed */
    struct process_options process;
    struct options options;
    struct log log;
    struct ev_loop *loop;
    struct worker_group workers;
    struct route_group group;
    struct reload reload;
    struct discovery discovery;
    struct readiness readiness;
    struct heartbeat heartbeat;
    struct drain drain;
    struct admin *admin; /* NULL: off */
    struct process_memory memory;
    ev_timer watch;
};

/* ---- answers to questions of the parts ---- */

static struct dialer_outcome last_dial(const struct daemon *daemon)
{
    return readiness_recent_dial(route_group_last_dial(&daemon->group), clock_monotonic_ms());
}

static bool upstream_is_healthy(const struct daemon *daemon)
{
    const struct dialer_outcome dial = last_dial(daemon);

    return readiness_upstream_failure(&daemon->discovery, &dial) == END_NONE;
}

static struct validity validity_on(const struct daemon *daemon, enum side side)
{
    const struct credentials *credentials = daemon->reload.credentials[side];

    return credentials ? credentials_validity(credentials) : (struct validity) { 0 };
}

static bool on_ready_asked(void *owner, char *text, size_t size)
{
    const struct daemon *daemon = owner;
    struct readiness_facts facts = {
        .discovery = &daemon->discovery,
        .on_no_acks = daemon->options.route.on_no_acks,
        .dial = last_dial(daemon),
        .is_draining = daemon->drain.is_draining,
        .wall_seconds = clock_wall_seconds(),
    };

    for (enum side side = 0; side < SIDE_COUNT; side++)
        facts.validity[side] = validity_on(daemon, side);
    return readiness_describe(&facts, text, size);
}

static void on_snapshot_asked(void *owner, struct metrics_snapshot *snapshot)
{
    const struct daemon *daemon = owner;

    *snapshot = (struct metrics_snapshot) {
        .route = daemon->options.route.name,
        .workers = daemon->group.metrics,
        .worker_count = route_group_size(&daemon->group),
        .endpoints = daemon->discovery.stats_registry.first,
        .now_ms = clock_monotonic_ms(),
        .version = daemon->version,
        .tls_library = tls_channel_library(),
        .reloads_succeeded = daemon->reload.succeeded,
        .reloads_failed = daemon->reload.failed,
        .reload_pending = daemon->reload.state == RELOAD_RETRYING,
        .draining = daemon->drain.is_draining,
        .upstream_healthy = upstream_is_healthy(daemon),
        .heartbeats_answered = daemon->heartbeat.answered,
        .heartbeats_limited = daemon->heartbeat.limited,
    };
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        struct validity validity = validity_on(daemon, side);
        snapshot->certificate_not_after[side] = validity.leaf;
        snapshot->intermediate_not_after[side] = validity.intermediates;
        snapshot->ca_not_after[side] = validity.first_ca;
    }
}

static bool on_heartbeat_asked(void *owner)
{
    const struct daemon *daemon = owner;

    return !daemon->drain.is_draining && upstream_is_healthy(daemon);
}

static void on_activity_asked(void *owner, struct drain_activity *activity)
{
    const struct daemon *daemon = owner;

    activity->count = route_group_activity(&daemon->group);
    activity->has_unsettled = route_group_has_unsettled(&daemon->group);
}

/* ---- events from one part to another ---- */

static void on_endpoints(void *owner, struct endpoint_list *list)
{
    struct daemon *daemon = owner;

    route_group_replace_endpoints(&daemon->group, list);
}

static void on_credentials(void *owner)
{
    struct daemon *daemon = owner;

    route_group_replace_credentials(&daemon->group, daemon->reload.credentials);
    discovery_refresh(&daemon->discovery);
}

static void on_refuse(void *owner)
{
    struct daemon *daemon = owner;

    route_group_refuse(&daemon->group);
}

static void on_admit(void *owner)
{
    struct daemon *daemon = owner;

    route_group_admit(&daemon->group);
}

static void on_drain(void *owner)
{
    struct daemon *daemon = owner;

    reload_stop(&daemon->reload);
    route_group_drain(&daemon->group);
    log_say(&daemon->log, LOG_INFO, "draining");
}

static void on_watch(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct daemon *daemon = timer->data;
    const struct dialer_outcome dial = last_dial(daemon);

    (void)loop, (void)events;
    process_trim_memory(&daemon->memory, route_group_connections(&daemon->group));
    readiness_check(&daemon->readiness, &dial);
}

/* ---- the parts ---- */

static bool credentials_open(struct daemon *daemon, struct fault *fault)
{
    const struct reload_options options = {
        .credentials = daemon->options.credentials,
        .keys = daemon->options.keys.side,
        .interval_ms = daemon->process.reload_interval_ms,
        .retry_max_ms = daemon->process.reload_retry_max_ms,
        .on_loaded = on_credentials,
        .owner = daemon,
    };

    for (enum side side = 0; side < SIDE_COUNT; side++)
        daemon->options.route.key[side] = options.keys[side].setting ? &daemon->reload.keys[side] : NULL;
    return reload_open(&daemon->reload, &options, &daemon->log, fault);
}

static bool workers_bind(struct daemon *daemon, struct fault *fault)
{
    const struct route_group_options options = {
        .workers = &daemon->workers,
        .loop = daemon->loop,
        .worker_count = daemon->process.workers,
        .log = &daemon->log,
    };

    if (route_group_bind(&daemon->group, &options, &daemon->options.listen, fault))
        return true;
    fault_wrap(fault, "--listen");
    return false;
}

static bool admin_start(struct daemon *daemon, struct fault *fault)
{
    const struct admin_source source = {
        .owner = daemon,
        .ready = on_ready_asked,
        .snapshot = on_snapshot_asked,
    };

    if (!daemon->process.has_admin)
        return true;
    daemon->admin = admin_open(daemon->loop, &daemon->process.admin, &source, &daemon->log, fault);
    if (!daemon->admin)
        fault_wrap(fault, "--admin");
    return daemon->admin != NULL;
}

static bool discovery_start(struct daemon *daemon, struct fault *fault)
{
    const struct discovery_setup setup = {
        .options = &daemon->options.discovery,
        .log = &daemon->log,
        .on_endpoints = on_endpoints,
        .owner = daemon,
    };

    return discovery_open(&daemon->discovery, daemon->loop, &setup, fault);
}

/* Heartbeats come to the TCP ports of the listener. Where another program has the UDP port, husk runs without
 * them. */
static void heartbeat_start(struct daemon *daemon)
{
    const struct listening *listening = &daemon->group.listening;
    const struct heartbeat_options options = {
        .per_second = daemon->options.heartbeats_per_second,
        .per_second_and_source = daemon->options.heartbeats_per_source,
        .log = &daemon->log,
        .on_asked = on_heartbeat_asked,
        .owner = daemon,
    };
    struct fault fault;

    _Static_assert((int)HEARTBEAT_SOCKETS_MAX >= (int)LISTENER_SOCKETS_MAX, "a socket for each TCP port");
    if (!options.per_second)
        return;
    bool is_open = heartbeat_open(&daemon->heartbeat, daemon->loop, &options, &fault);
    for (unsigned i = 0; i < listening->count; i++) {
        const struct socket_address *address = &listening->sockets[i].address;
        if (address->storage.ss_family == AF_UNIX)
            continue;
        if (!is_open || !heartbeat_bind(&daemon->heartbeat, address, &fault))
            log_say(&daemon->log, LOG_WARN, "UDP heartbeats are not answered: %s", fault.text);
    }
}

static void watchers_start(struct daemon *daemon)
{
    const struct drain_options drain = {
        .timeout_ms = daemon->process.drain_timeout_ms,
        .quiet_ms = daemon->process.drain_quiet_ms,
        .measure = on_activity_asked,
        .on_begin = on_drain,
        .owner = daemon,
    };

    daemon->readiness.options = (struct readiness_options) {
        .discovery = &daemon->discovery,
        .log = &daemon->log,
        .refuses_unhealthy = daemon->options.refuses_unhealthy,
        .on_refuse = on_refuse,
        .on_admit = on_admit,
        .owner = daemon,
    };
    drain_open(&daemon->drain, daemon->loop, &drain);
    reload_watch(&daemon->reload, daemon->loop);
    ev_timer_init(&daemon->watch, on_watch, WATCH_SECONDS, WATCH_SECONDS);
    daemon->watch.data = daemon;
    ev_timer_start(daemon->loop, &daemon->watch);
}

static void address_log(struct daemon *daemon, const char *message, const struct socket_address *address)
{
    struct log_line line;
    char text[ADDRESS_TEXT_BYTES];

    socket_address_format(address, text, sizeof text);
    log_begin(&line, &daemon->log, LOG_INFO, message);
    log_text(&line, "route", daemon->options.route.name);
    log_text(&line, "address", text);
    log_end(&line);
}

/* ---- life ---- */

/* The workers accept connections only after everything that a user can get wrong has succeeded. */
static bool daemon_start(struct daemon *daemon, struct fault *fault)
{
    if (!credentials_open(daemon, fault) || !workers_bind(daemon, fault) || !admin_start(daemon, fault) ||
        !worker_group_start(&daemon->workers, daemon->process.workers, &daemon->log, fault) ||
        !route_group_open(&daemon->group, &daemon->options.route, daemon->reload.credentials, fault) ||
        !discovery_start(daemon, fault))
        return false;
    heartbeat_start(daemon);
    watchers_start(daemon);
    process_release_startup_pages();
    for (unsigned i = 0; i < daemon->group.listening.count; i++)
        address_log(daemon, "listening", &daemon->group.listening.sockets[i].address);
    if (daemon->admin)
        address_log(daemon, "admin listening", admin_address(daemon->admin));
    return true;
}

/* Ends the workers and frees everything. Returns the number of connections and messages left undelivered. */
static unsigned daemon_stop(struct daemon *daemon)
{
    worker_group_stop(&daemon->workers);
    unsigned left_behind = route_group_close(&daemon->group);

    worker_group_free(&daemon->workers);
    admin_close(daemon->admin);
    heartbeat_close(&daemon->heartbeat);
    discovery_close(&daemon->discovery);
    reload_close(&daemon->reload);
    options_deinit(&daemon->options);
    ev_loop_destroy(daemon->loop);
    return left_behind;
}

int daemon_run(const struct config *config, const char *version, struct mistakes *mistakes)
{
    struct daemon daemon = { .version = version };
    struct fault fault;

    process_prepare();
    bool is_good = process_options_from_config(&daemon.process, config, mistakes);
    if (!options_from_config(&daemon.options, config, daemon.process.workers, mistakes) || !is_good) {
        options_deinit(&daemon.options);
        return EXIT_STATUS_USAGE;
    }
    log_init(&daemon.log, STDERR_FILENO, daemon.process.log_level, daemon.process.log_format);
    daemon.loop = ev_default_loop(EVFLAG_AUTO);
    bool started = daemon_start(&daemon, &fault);
    if (started)
        ev_run(daemon.loop, 0);
    else
        log_say(&daemon.log, LOG_ERROR, "cannot start: %s", fault.text);
    unsigned left_behind = daemon_stop(&daemon);
    if (left_behind)
        log_say(&daemon.log, LOG_WARN, "stopped; %u connection(s) or message(s) left undelivered",
                left_behind);
    else if (started)
        log_say(&daemon.log, LOG_INFO, "stopped");
    log_deinit(&daemon.log);
    return started && !left_behind ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
}
