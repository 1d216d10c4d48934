#include "daemon.h"

#include "base/process.h"
#include "commands/commands.h"
#include "config/option_words.h"
#include "config_reload.h"
#include "handover.h"
#include "hot_restart.h"
#include "routes.h"
#include "supervision.h"
#include "trust/tokens.h"
#include "wire/tls_library.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum { WATCH_SECONDS = 1 };

struct daemon {
    struct plan *plan;   /* borrowed */
    const char *version; /* borrowed */
    struct log log;
    struct ev_loop *loop;
    struct worker_group workers;
    struct tokens *tokens; /* owned */
    struct routes routes;
    struct config_reload config_reload; /* of a file */
    struct drain drain;
    struct admin *admin; /* NULL: off */
    bool has_started;    /* the routes listen, with all their credentials */
    struct process_memory memory;
    struct inherited inherited;
    int channel; /* to the process that this one replaces, until it is replaced; -1: none */
    struct hot_restart restart;
    struct handover_store store;
    bool is_replaced; /* another process has the sockets of this one, and goes on */
    struct supervision supervision;
    ev_signal hangup;
    uint64_t hangups; /* signals that have come */
    ev_timer watch;
};

/* ---- answers to questions of the parts ---- */

static bool on_ready_asked(void *owner, char *text, size_t size)
{
    const struct daemon *daemon = owner;

    if (daemon->drain.is_draining)
        snprintf(text, size, "draining: husk is stopping\n");
    bool is_ready =
        routes_describe(&daemon->routes, text, size) && !daemon->drain.is_draining && daemon->has_started;
    log_translate(&daemon->log, SIDE_UPSTREAM, text, size);
    return is_ready;
}

static bool on_start_asked(void *owner)
{
    const struct daemon *daemon = owner;

    return daemon->has_started;
}

static void on_snapshot_asked(void *owner, struct metrics_snapshot *snapshot)
{
    struct daemon *daemon = owner;

    snapshot->version = daemon->version;
    snapshot->tls_library = tls_library_name();
    snapshot->draining = daemon->drain.is_draining;
    snapshot->config_reloads_succeeded = daemon->config_reload.succeeded;
    snapshot->config_reloads_failed = daemon->config_reload.failed;
    snapshot->config_reload_pending = config_reload_is_pending(&daemon->config_reload);
    routes_snapshot(&daemon->routes, snapshot);
}

static void on_activity_asked(void *owner, struct drain_activity *activity)
{
    const struct daemon *daemon = owner;

    *activity = routes_activity(&daemon->routes);
    activity->is_complete = daemon->is_replaced && !activity->has_unsettled &&
                            routes_have_retired(&daemon->routes) && !routes_connections(&daemon->routes);
}

/* ---- events ---- */

/* The status has the words of /ready. */
static void status_tell(struct daemon *daemon)
{
    char reasons[SERVICE_MANAGER_STATUS_BYTES] = "", text[SERVICE_MANAGER_STATUS_BYTES + 16] = "ready";
    bool is_ready = on_ready_asked(daemon, reasons, sizeof reasons);

    if (daemon->drain.is_draining)
        snprintf(text, sizeof text, "draining: husk lets agents finish");
    else if (!is_ready)
        snprintf(text, sizeof text, "not ready: %s", reasons);
    service_manager_status(&daemon->supervision.manager, text);
}

static void on_drain(void *owner)
{
    struct daemon *daemon = owner;

    hot_restart_cancel(&daemon->restart);
    supervision_drain(&daemon->supervision);
    config_reload_stop(&daemon->config_reload);
    routes_drain(&daemon->routes);
    status_tell(daemon);
    log_say(&daemon->log, LOG_INFO, "draining");
}

static void on_quit(void *owner)
{
    struct daemon *daemon = owner;

    drain_start(&daemon->drain, daemon->loop);
}

static void on_hangup(struct ev_loop *loop, ev_signal *watcher, int events)
{
    struct daemon *daemon = watcher->data;

    (void)loop, (void)events;
    daemon->hangups++;
    supervision_reload_begin(&daemon->supervision);
    reloads_begin(&daemon->routes.reloads);
    config_reload_now(&daemon->config_reload);
    routes_reload(&daemon->routes);
    if (!daemon->config_reload.is_held)
        supervision_reload_told(&daemon->supervision);
}

static void on_watch(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct daemon *daemon = timer->data;

    (void)loop, (void)events;
    process_trim_memory(&daemon->memory, routes_connections(&daemon->routes));
    routes_watch(&daemon->routes);
    status_tell(daemon);
    handover_store_update(&daemon->store, &daemon->supervision.manager, &daemon->routes);
}

/* ---- another process takes over ---- */

static bool is_ending(void *owner)
{
    const struct daemon *daemon = owner;

    return daemon->drain.is_draining;
}

static uint64_t on_reloads_counted(void *owner)
{
    const struct daemon *daemon = owner;

    return daemon->hangups + daemon->config_reload.succeeded + daemon->config_reload.failed +
           daemon->config_reload.is_due;
}

static bool on_collect(void *owner, struct spawn_sockets *sockets)
{
    struct daemon *daemon = owner;

    /* The new process knows the names of these sockets, and of no others that the service manager keeps. */
    handover_store_update(&daemon->store, &daemon->supervision.manager, &daemon->routes);
    config_reload_hold(&daemon->config_reload);
    return handover_collect(&daemon->routes, daemon->admin, sockets);
}

static void on_hot_restart_failed(void *owner)
{
    struct daemon *daemon = owner;

    routes_refuse_again(&daemon->routes);
    config_reload_resume(&daemon->config_reload);
    supervision_reload_told(&daemon->supervision);
}

static void on_hand_over(void *owner, long pid)
{
    struct daemon *daemon = owner;

    daemon->is_replaced = true;
    service_manager_hand_over(&daemon->supervision.manager, pid);
    if (daemon->admin)
        admin_hand_over(daemon->admin);
    routes_hand_over(&daemon->routes);
    drain_start(&daemon->drain, daemon->loop);
}

static bool has_handed_over(void *owner)
{
    const struct daemon *daemon = owner;

    return routes_have_retired(&daemon->routes);
}

/* ---- the parts ---- */

/* Each route shares the plan that has its options. */
static void on_options_unused(void *owner, struct options *options)
{
    (void)owner;
    plan_release(plan_of(options));
}

static bool plan_prepare(struct daemon *daemon, struct fault *fault)
{
    struct plan *plan = daemon->plan;

    for (size_t i = 0; i < plan->count; i++) {
        struct route *route = routes_prepare(&daemon->routes, &plan->routes[i].options, fault);
        if (route)
            plan_share(plan);
        if (route && route_listen(route, fault))
            continue;
        if (plan->count > 1)
            fault_wrap(fault, "route %s", plan->routes[i].options.route.name);
        return false;
    }
    return true;
}

static bool admin_start(struct daemon *daemon, struct fault *fault)
{
    const struct process_options *process = &daemon->plan->process;
    const struct admin_source source = {
        .owner = daemon,
        .has_started = on_start_asked,
        .quit = on_quit,
        .ready = on_ready_asked,
        .snapshot = on_snapshot_asked,
    };
    struct admin_options options = process->admin;
    struct inherited_origin origin = { 0 };

    if (!process->has_admin)
        return true;
    int fd = inherited_take(&daemon->inherited, handover_admin, &options.listen, &origin);
    const struct admin_socket socket = { .fd = fd, .origin = origin };
    options.socket = fd >= 0 ? &socket : NULL;
    daemon->admin = admin_open(daemon->loop, &options, &source, &daemon->log, fault);
    if (!daemon->admin)
        fault_wrap(fault, "--admin");
    return daemon->admin != NULL;
}

/* A husk that waits for its credentials has nothing to load at SIGHUP, and ends in order at SIGTERM. The
 * watchers live as long as the loop: a signal watcher that is stopped restores the default action, and the
 * next SIGHUP would end the process. */
static void signals_start(struct daemon *daemon)
{
    const struct process_options *process = &daemon->plan->process;
    const struct drain_options drain = {
        .timeout_ms = process->drain_timeout_ms,
        .quiet_ms = process->drain_quiet_ms,
        .measure = on_activity_asked,
        .on_begin = on_drain,
        .owner = daemon,
    };

    ev_signal_init(&daemon->hangup, on_hangup, SIGHUP);
    daemon->hangup.data = daemon;
    ev_signal_start(daemon->loop, &daemon->hangup);
    drain_open(&daemon->drain, daemon->loop, &drain);
}

/* The routes begin with all their credentials. So husk waits for the Workload APIs that the plan names;
 * meanwhile the admin port says what is missing. */
static bool credentials_await(struct daemon *daemon, struct fault *fault)
{
    struct workload_apis *workload_apis = &daemon->routes.reloads.workload_apis;

    for (size_t i = 0; i < daemon->plan->count; i++) {
        if (!routes_want_credentials(&daemon->routes, &daemon->plan->routes[i].options, fault))
            return false;
    }
    if (LIST_EMPTY(&workload_apis->list))
        return true;
    service_manager_status(&daemon->supervision.manager, "waiting for credentials");
    if (!admin_start(daemon, fault))
        return false;
    if (daemon->admin && daemon->channel < 0)
        admin_begin(daemon->admin);
    return workload_apis_await(workload_apis, daemon->plan->process.spiffe_timeout_ms,
                               &daemon->drain.is_draining, fault);
}

static void watch_start(struct daemon *daemon)
{
    const struct hot_restart_options restart = {
        .loop = daemon->loop,
        .log = &daemon->log,
        .timeout_ms = daemon->plan->process.hot_restart_timeout_ms,
        .is_ending = is_ending,
        .count_reloads = on_reloads_counted,
        .collect = on_collect,
        .hand_over = on_hand_over,
        .has_handed_over = has_handed_over,
        .on_failed = on_hot_restart_failed,
        .owner = daemon,
    };

    hot_restart_open(&daemon->restart, &restart);
    ev_timer_init(&daemon->watch, on_watch, WATCH_SECONDS, WATCH_SECONDS);
    daemon->watch.data = daemon;
    ev_timer_start(daemon->loop, &daemon->watch);
}

static void admin_log(struct daemon *daemon)
{
    struct log_line line;
    char text[ADDRESS_TEXT_BYTES];

    socket_address_format(admin_address(daemon->admin), text, sizeof text);
    log_begin(&line, &daemon->log, LOG_INFO, "admin listening");
    log_text(&line, "address", text);
    log_end(&line);
}

/* ---- life ---- */

static void unused_log(struct daemon *daemon, const struct inherited_socket *socket)
{
    struct log_line line;
    char text[ADDRESS_TEXT_BYTES] = "";

    if (socket->address.length)
        socket_address_format(&socket->address, text, sizeof text);
    /* The husk before may have had an address that the file does not have any more. */
    log_begin(&line, &daemon->log, daemon->channel < 0 ? LOG_WARN : LOG_INFO,
              "husk does not use a socket that it got when it started");
    log_text(&line, "name", socket->name);
    log_text(&line, "address", text);
    log_text(&line, "detail", socket->unfit ? socket->unfit : "nothing in husk listens at this address");
    log_end(&line);
}

/* Closes the sockets that no part of husk has taken. */
static void inherited_finish(struct daemon *daemon)
{
    for (unsigned i = 0; i < daemon->inherited.count; i++) {
        const struct inherited_socket *socket = &daemon->inherited.items[i];
        if (socket->fd >= 0 || socket->unfit)
            unused_log(daemon, socket);
        if (daemon->channel >= 0 && socket->fd >= 0)
            handover_end(socket);
    }
    handover_store_expect(&daemon->store, &daemon->supervision.manager, &daemon->inherited);
    inherited_close(&daemon->inherited);
}

/* Everything that a user can get wrong. Connections wait in the kernel's queue. */
static bool parts_open(struct daemon *daemon, struct fault *fault)
{
    return credentials_await(daemon, fault) && plan_prepare(daemon, fault) &&
           (daemon->admin || admin_start(daemon, fault)) &&
           worker_group_start(&daemon->workers, daemon->plan->process.workers, &daemon->log, fault) &&
           routes_open(&daemon->routes, fault);
}

/* All steps that can fail are done, and this process accepts connections. The process that this one replaces
 * stops accepting, and leaves the service manager to this process. */
static void replace(struct daemon *daemon)
{
    if (daemon->channel >= 0) {
        successor_wait(daemon->channel);
        supervision_open(&daemon->supervision, &daemon->log);
    }
    inherited_finish(daemon);
    daemon->channel = -1;
}

static bool daemon_start(struct daemon *daemon, struct fault *fault)
{
    daemon->channel = inherited_take_named(&daemon->inherited, successor_channel);
    if (daemon->channel < 0)
        supervision_open(&daemon->supervision, &daemon->log);
    signals_start(daemon);
    if (!parts_open(daemon, fault))
        return false;
    watch_start(daemon);
    routes_start(&daemon->routes);
    replace(daemon);
    if (daemon->admin)
        admin_begin(daemon->admin);
    routes_answer_heartbeats(&daemon->routes);
    if (daemon->plan->path)
        config_reload_open(&daemon->config_reload, daemon->plan, &daemon->routes, &daemon->log);
    process_release_startup_pages();
    routes_log_addresses(&daemon->routes);
    if (daemon->admin)
        admin_log(daemon);
    daemon->has_started = true;
    supervision_begin(&daemon->supervision, daemon->loop, &daemon->workers, &daemon->config_reload);
    status_tell(daemon);
    handover_store_update(&daemon->store, &daemon->supervision.manager, &daemon->routes);
    return true;
}

/* Ends the workers and frees everything. Returns the number of connections and messages left undelivered. */
static unsigned daemon_stop(struct daemon *daemon)
{
    hot_restart_close(&daemon->restart);
    worker_group_stop(&daemon->workers);
    config_reload_close(&daemon->config_reload);
    supervision_close(&daemon->supervision);
    if (daemon->store.count)
        routes_give_up_files(&daemon->routes);
    if (daemon->channel >= 0 && daemon->admin)
        admin_hand_over(daemon->admin);
    unsigned left_behind = routes_close(&daemon->routes);

    worker_group_free(&daemon->workers);
    admin_close(daemon->admin);
    inherited_close(&daemon->inherited);
    handover_store_free(&daemon->store);
    ev_loop_destroy(daemon->loop);
    return left_behind;
}

/* No fault at this point is about a setting that both sides have: the loader of the files has put the words
 * of the user into its faults. */
static void start_fault_log(struct daemon *daemon, struct fault *fault)
{
    log_translate(&daemon->log, SIDE_DOWNSTREAM, fault->text, sizeof fault->text);
    log_say(&daemon->log, LOG_ERROR, "cannot start: %s", fault->text);
}

static void stop_log(struct daemon *daemon, bool started, unsigned left_behind)
{
    if (left_behind)
        log_say(&daemon->log, LOG_WARN, "stopped; %u connection(s) or message(s) left undelivered",
                left_behind);
    else if (started)
        log_say(&daemon->log, LOG_INFO, "stopped");
}

int daemon_run(struct plan *plan, const char *version)
{
    struct daemon daemon = {
        .plan = plan,
        .version = version,
        .channel = -1,
        .tokens = tokens_new(plan->process.token_timeout_ms),
    };
    struct fault fault;
    bool has_inherited = inherited_open(&daemon.inherited, &fault); /* before the loop opens descriptors */

    daemon.loop = ev_default_loop(EVFLAG_AUTO);
    const struct routes_options routes = {
        .process = &plan->process,
        .loop = daemon.loop,
        .workers = &daemon.workers,
        .tokens = daemon.tokens,
        .inherited = &daemon.inherited,
        .log = &daemon.log,
        .on_unused = on_options_unused,
    };

    log_init(&daemon.log, STDERR_FILENO, plan->process.log_level, plan->process.log_format);
    log_use_words(&daemon.log, plan->path ? option_words_translate : NULL);
    if (!has_inherited)
        log_say(&daemon.log, LOG_WARN, "husk uses no socket of its starter: %s", fault.text);
    routes_init(&daemon.routes, &routes);
    bool started = daemon_start(&daemon, &fault);
    bool is_asked_to_stop = started || daemon.drain.is_draining;
    if (started)
        ev_run(daemon.loop, 0);
    else if (!is_asked_to_stop)
        start_fault_log(&daemon, &fault);
    unsigned left_behind = daemon_stop(&daemon);
    bool tokens_rest = tokens_close(daemon.tokens);
    if (!tokens_rest && started)
        log_say(&daemon.log, LOG_WARN, "a PKCS#11 token does not answer: husk ends without closing it");
    stop_log(&daemon, is_asked_to_stop, left_behind);
    log_deinit(&daemon.log);
    int status = is_asked_to_stop && !left_behind ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
    if (!tokens_rest)
        process_end(status);
    return status;
}
