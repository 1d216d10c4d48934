#include "daemon.h"

#include "base/process.h"
#include "commands/commands.h"
#include "config/option_words.h"
#include "config_reload.h"
#include "routes.h"
#include "wire/tls_channel.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { WATCH_SECONDS = 1 };

struct daemon {
    struct plan *plan;   /* borrowed */
    const char *version; /* borrowed */
    struct log log;
    struct ev_loop *loop;
    struct worker_group workers;
    struct routes routes;
    struct config_reload config_reload; /* of a file */
    struct drain drain;
    struct admin *admin; /* NULL: off */
    struct process_memory memory;
    ev_signal hangup;
    ev_timer watch;
};

/* ---- answers to questions of the parts ---- */

static bool on_ready_asked(void *owner, char *text, size_t size)
{
    const struct daemon *daemon = owner;

    if (daemon->drain.is_draining)
        snprintf(text, size, "draining: husk is stopping\n");
    return routes_describe(&daemon->routes, text, size) && !daemon->drain.is_draining;
}

static void on_snapshot_asked(void *owner, struct metrics_snapshot *snapshot)
{
    struct daemon *daemon = owner;

    snapshot->version = daemon->version;
    snapshot->tls_library = tls_channel_library();
    snapshot->draining = daemon->drain.is_draining;
    snapshot->config_reloads_succeeded = daemon->config_reload.succeeded;
    snapshot->config_reloads_failed = daemon->config_reload.failed;
    routes_snapshot(&daemon->routes, snapshot);
}

static void on_activity_asked(void *owner, struct drain_activity *activity)
{
    const struct daemon *daemon = owner;

    *activity = routes_activity(&daemon->routes);
}

/* ---- events ---- */

static void on_drain(void *owner)
{
    struct daemon *daemon = owner;

    config_reload_close(&daemon->config_reload);
    routes_drain(&daemon->routes);
    log_say(&daemon->log, LOG_INFO, "draining");
}

static void on_hangup(struct ev_loop *loop, ev_signal *watcher, int events)
{
    struct daemon *daemon = watcher->data;

    (void)loop, (void)events;
    config_reload_now(&daemon->config_reload);
    routes_reload(&daemon->routes);
}

static void on_watch(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct daemon *daemon = timer->data;

    (void)loop, (void)events;
    process_trim_memory(&daemon->memory, routes_connections(&daemon->routes));
    routes_watch(&daemon->routes);
}

/* ---- the parts ---- */

/* Each route shares the plan that has its options. */
static void on_options_unused(void *owner, struct options *options)
{
    (void)owner;
    plan_release(plan_of(options));
}

static bool routes_open(struct daemon *daemon, struct fault *fault)
{
    struct plan *plan = daemon->plan;

    for (size_t i = 0; i < plan->count; i++) {
        if (routes_prepare(&daemon->routes, &plan->routes[i].options, fault)) {
            plan_share(plan);
            continue;
        }
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
        .ready = on_ready_asked,
        .snapshot = on_snapshot_asked,
    };

    if (!process->has_admin)
        return true;
    daemon->admin = admin_open(daemon->loop, &process->admin, &source, &daemon->log, fault);
    if (!daemon->admin)
        fault_wrap(fault, "--admin");
    return daemon->admin != NULL;
}

/* The watchers live as long as the loop: a signal watcher that is stopped restores the default action, and
 * the next SIGHUP would end the process. */
static void watchers_start(struct daemon *daemon)
{
    const struct process_options *process = &daemon->plan->process;
    const struct drain_options drain = {
        .timeout_ms = process->drain_timeout_ms,
        .quiet_ms = process->drain_quiet_ms,
        .measure = on_activity_asked,
        .on_begin = on_drain,
        .owner = daemon,
    };

    drain_open(&daemon->drain, daemon->loop, &drain);
    ev_signal_init(&daemon->hangup, on_hangup, SIGHUP);
    ev_timer_init(&daemon->watch, on_watch, WATCH_SECONDS, WATCH_SECONDS);
    daemon->hangup.data = daemon->watch.data = daemon;
    ev_signal_start(daemon->loop, &daemon->hangup);
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

/* The workers accept connections only after everything that a user can get wrong has succeeded. */
static bool daemon_start(struct daemon *daemon, struct fault *fault)
{
    if (!routes_open(daemon, fault) || !admin_start(daemon, fault) ||
        !worker_group_start(&daemon->workers, daemon->plan->process.workers, &daemon->log, fault) ||
        !routes_start(&daemon->routes, fault))
        return false;
    routes_answer_heartbeats(&daemon->routes);
    watchers_start(daemon);
    if (daemon->plan->path)
        config_reload_open(&daemon->config_reload, daemon->plan, &daemon->routes, &daemon->log);
    process_release_startup_pages();
    routes_log_addresses(&daemon->routes);
    if (daemon->admin)
        admin_log(daemon);
    return true;
}

/* Ends the workers and frees everything. Returns the number of connections and messages left undelivered. */
static unsigned daemon_stop(struct daemon *daemon)
{
    config_reload_close(&daemon->config_reload);
    worker_group_stop(&daemon->workers);
    unsigned left_behind = routes_close(&daemon->routes);

    worker_group_free(&daemon->workers);
    admin_close(daemon->admin);
    ev_loop_destroy(daemon->loop);
    return left_behind;
}

/* A fault names options; the user of a file knows its keys. */
static void start_fault_log(struct daemon *daemon, const char *text)
{
    char *keys = daemon->plan->path ? option_words_translate(text, SIDE_UPSTREAM) : NULL;

    log_say(&daemon->log, LOG_ERROR, "cannot start: %s", keys ? keys : text);
    free(keys);
}

int daemon_run(struct plan *plan, const char *version)
{
    struct daemon daemon = { .plan = plan, .version = version, .loop = ev_default_loop(EVFLAG_AUTO) };
    const struct routes_options routes = {
        .process = &plan->process,
        .loop = daemon.loop,
        .workers = &daemon.workers,
        .log = &daemon.log,
        .on_unused = on_options_unused,
    };
    struct fault fault;

    log_init(&daemon.log, STDERR_FILENO, plan->process.log_level, plan->process.log_format);
    routes_init(&daemon.routes, &routes);
    bool started = daemon_start(&daemon, &fault);
    if (started)
        ev_run(daemon.loop, 0);
    else
        start_fault_log(&daemon, fault.text);
    unsigned left_behind = daemon_stop(&daemon);
    if (left_behind)
        log_say(&daemon.log, LOG_WARN, "stopped; %u connection(s) or message(s) left undelivered",
                left_behind);
    else if (started)
        log_say(&daemon.log, LOG_INFO, "stopped");
    log_deinit(&daemon.log);
    return started && !left_behind ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
}
