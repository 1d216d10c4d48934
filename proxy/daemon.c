#include "daemon.h"

#include "admin/admin.h"
#include "base/clock.h"
#include "commands/commands.h"
#include "options.h"
#include "relay/health.h"
#include "relay/worker.h"
#include "wire/resolver.h"
#include "wire/socket.h"

#include <link.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    WORKERS_MAX = 64,
    DRAIN_TICK_MS = 20,
    TRIM_TICK_SECONDS = 5,
    TRIM_CONNECTIONS = 500,     /* memory of so many ended connections is worth giving back */
    UPSTREAM_MEMORY_MS = 30000, /* a failed dial counts against readiness for so long */
    WHY_BYTES = ADDRESS_HOST_BYTES + 160
};

struct daemon {
    struct options options;
    struct log log;
    const char *version;
    struct ev_loop *loop;
    struct credentials *credentials[SIDE_COUNT]; /* shared with the workers */
    struct worker *workers;
    unsigned started; /* workers that run */
    struct socket_file listen_file;
    const struct metrics *metrics[WORKERS_MAX];
    struct resolver *resolver;
    struct health health;
    struct admin *admin;
    char unresolved[WHY_BYTES]; /* why the upstream has no address; empty when it has */
    ev_signal terminate, interrupt, reload;
    ev_timer drain_tick, trim_tick;
    bool draining;
    uint64_t drain_deadline_ms, quiet_since_ms;
    uint64_t activity; /* what the counters said when something last happened */
    uint64_t peak_connections;
    uint64_t reloads_succeeded, reloads_failed;
};

/* ---- counters ---- */

static uint64_t connections_active(const struct daemon *daemon)
{
    uint64_t active = 0;

    for (unsigned i = 0; i < daemon->started; i++) {
        const struct side_metrics *side = &daemon->metrics[i]->side[SIDE_DOWNSTREAM];
        active += metrics_read(&side->opened);
        for (unsigned reason = 0; reason < END_REASON_COUNT; reason++)
            active -= metrics_read(&side->ended[reason]);
    }
    return active;
}

/* A number that changes whenever a connection comes or a byte moves. */
static uint64_t activity_sum(const struct daemon *daemon)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < daemon->started; i++) {
        for (enum side side = 0; side < SIDE_COUNT; side++) {
            const struct side_metrics *metrics = &daemon->metrics[i]->side[side];
            sum += metrics_read(&metrics->opened) + metrics_read(&metrics->bytes[METRICS_RECEIVED]) +
                   metrics_read(&metrics->bytes[METRICS_SENT]);
        }
    }
    return sum;
}

/* ---- what the admin endpoint asks ---- */

static void reason_add(char *text, size_t size, const char *subject, const char *what)
{
    size_t used = strlen(text);

    snprintf(text + used, size - used, "%s: %s\n", subject, what);
}

/* The newest failed dial of any worker, unless it is long ago or another has worked since. */
static enum end_reason upstream_failure(struct daemon *daemon)
{
    uint64_t now = clock_monotonic_ms(), newest = 0;
    enum end_reason failure = END_NONE;

    for (unsigned i = 0; i < daemon->started; i++) {
        uint64_t at = atomic_load_explicit(&daemon->workers[i].upstream_failure_ms, memory_order_relaxed);
        if (at <= newest || now - at >= UPSTREAM_MEMORY_MS)
            continue;
        newest = at;
        failure = atomic_load_explicit(&daemon->workers[i].upstream_failure, memory_order_relaxed);
    }
    return failure;
}

static bool on_ready_asked(void *owner, char *text, size_t size)
{
    struct daemon *daemon = owner;
    enum end_reason failure = upstream_failure(daemon);

    text[0] = '\0';
    if (daemon->draining)
        reason_add(text, size, "draining", "husk is stopping");
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        if (daemon->credentials[side] &&
            credentials_not_after(daemon->credentials[side]) < clock_wall_seconds())
            reason_add(text, size, "certificate", "the own certificate has expired");
    }
    if (daemon->unresolved[0])
        reason_add(text, size, "upstream", daemon->unresolved);
    else if (daemon->health.known && daemon->health.failure != END_NONE)
        reason_add(text, size, "upstream", end_reason_phrase(daemon->health.failure));
    else if (!daemon->health.known && daemon->options.health_interval_ms)
        reason_add(text, size, "upstream", "not probed yet");
    else if (failure != END_NONE)
        reason_add(text, size, "upstream", end_reason_phrase(failure));
    return text[0] == '\0';
}

static void on_snapshot_asked(void *owner, struct metrics_snapshot *snapshot)
{
    struct daemon *daemon = owner;

    *snapshot = (struct metrics_snapshot) {
        .route = daemon->options.route.name,
        .workers = daemon->metrics,
        .worker_count = daemon->started,
        .version = daemon->version,
        .tls_library = tls_channel_library(),
        .reloads_succeeded = daemon->reloads_succeeded,
        .reloads_failed = daemon->reloads_failed,
        .draining = daemon->draining,
    };
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        if (daemon->credentials[side])
            snapshot->certificate_not_after[side] = credentials_not_after(daemon->credentials[side]);
    }
}

/* ---- letters to the workers ---- */

static void worker_post(struct daemon *daemon, unsigned at, struct letter letter)
{
    if (!mailbox_post(&daemon->workers[at].mailbox, letter))
        log_say(&daemon->log, LOG_ERROR, "out of memory: a worker was not told of a change");
}

static void endpoints_publish(struct daemon *daemon, struct endpoint_list *list)
{
    for (unsigned i = 0; i < daemon->started; i++)
        worker_post(daemon, i,
                    (struct letter) { .kind = LETTER_ENDPOINTS,
                                      .endpoints = list ? endpoint_list_share(list) : NULL });
    if (list)
        health_replace(&daemon->health, list);
}

static void on_resolved(void *owner, const struct socket_address *addresses, size_t count, const char *why)
{
    struct daemon *daemon = owner;
    const char *host = daemon->options.upstream.host;
    struct endpoint_list *list = count ? endpoint_list_new(addresses, count) : NULL;

    if (!count) {
        if (!daemon->unresolved[0])
            log_say(&daemon->log, LOG_WARN, "cannot resolve %s: %s", host, why);
        if (!daemon->health.list)
            snprintf(daemon->unresolved, sizeof daemon->unresolved, "cannot resolve %s: %.100s", host, why);
        endpoints_publish(daemon, NULL);
        return;
    }
    if (!list) {
        log_say(&daemon->log, LOG_ERROR, "out of memory: addresses of %s ignored", host);
        return;
    }
    daemon->unresolved[0] = '\0';
    log_say(&daemon->log, LOG_DEBUG, "%s has %zu address(es)", host, count);
    endpoints_publish(daemon, list);
}

/* ---- credentials ---- */

static bool credentials_load_all(struct daemon *daemon, struct credentials *loaded[SIDE_COUNT],
                                 struct fault *fault)
{
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        if (!daemon->options.credentials[side].cert_file)
            continue;
        loaded[side] = credentials_load(&daemon->options.credentials[side], &daemon->log, fault);
        if (!loaded[side]) {
            credentials_release(loaded[SIDE_DOWNSTREAM]);
            return false;
        }
    }
    return true;
}

static void on_reload(struct ev_loop *loop, ev_signal *watcher, int events)
{
    struct daemon *daemon = watcher->data;
    struct credentials *loaded[SIDE_COUNT] = { NULL, NULL };
    struct fault fault;

    (void)loop, (void)events;
    if (daemon->draining)
        return;
    if (!credentials_load_all(daemon, loaded, &fault)) {
        daemon->reloads_failed++;
        log_say(&daemon->log, LOG_ERROR, "reload failed, the credentials in use stay: %s", fault.text);
        return;
    }
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        if (!loaded[side])
            continue;
        for (unsigned i = 0; i < daemon->started; i++)
            worker_post(daemon, i,
                        (struct letter) { .kind = LETTER_CREDENTIALS,
                                          .side = side,
                                          .credentials = credentials_share(loaded[side]) });
        credentials_release(daemon->credentials[side]);
        daemon->credentials[side] = loaded[side];
    }
    if (daemon->resolver)
        resolver_refresh(daemon->resolver);
    daemon->reloads_succeeded++;
    log_say(&daemon->log, LOG_INFO, "credentials reloaded");
}

/* ---- ending ---- */

static void on_drain_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct daemon *daemon = timer->data;
    uint64_t now = clock_monotonic_ms(), activity = activity_sum(daemon);

    (void)events;
    if (activity != daemon->activity) {
        daemon->activity = activity;
        daemon->quiet_since_ms = now;
    }
    if (connections_active(daemon) == 0 || now >= daemon->drain_deadline_ms ||
        now - daemon->quiet_since_ms >= daemon->options.drain_quiet_ms)
        ev_break(loop, EVBREAK_ALL);
}

/* The first signal lets agents finish; the second does not wait for them. */
static void on_stop_signal(struct ev_loop *loop, ev_signal *watcher, int events)
{
    struct daemon *daemon = watcher->data;

    (void)events;
    if (daemon->draining) {
        ev_break(loop, EVBREAK_ALL);
        return;
    }
    daemon->draining = true;
    daemon->quiet_since_ms = clock_monotonic_ms();
    daemon->drain_deadline_ms = daemon->quiet_since_ms + daemon->options.drain_timeout_ms;
    daemon->activity = activity_sum(daemon);
    log_say(&daemon->log, LOG_INFO, "draining");
    ev_timer_start(loop, &daemon->drain_tick);
}

/* After a burst the allocator would keep what it has: give it back. */
static void on_trim_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct daemon *daemon = timer->data;
    uint64_t active = connections_active(daemon);

    (void)loop, (void)events;
    if (active + TRIM_CONNECTIONS <= daemon->peak_connections) {
        malloc_trim(0);
        daemon->peak_connections = active;
    }
    if (active > daemon->peak_connections)
        daemon->peak_connections = active;
}

/* ---- starting ---- */

/* Neither descriptors nor secrets should depend on how husk was started. */
static void process_prepare(void)
{
    struct rlimit files;

    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_DUMPABLE, 0); /* keys stay out of core dumps and out of reach of other processes */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

/* Pages of code and constants that only starting needed go back to the page cache; what is needed again is
 * mapped again from there. Without this, most of a resting husk would be its libraries' start-up code. */
static int on_library(struct dl_phdr_info *library, size_t size, void *page_bytes)
{
    uintptr_t page = *(const uintptr_t *)page_bytes;

    (void)size;
    for (unsigned i = 0; i < library->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &library->dlpi_phdr[i];
        uintptr_t start = (library->dlpi_addr + header->p_vaddr) & ~(page - 1);
        uintptr_t end = library->dlpi_addr + header->p_vaddr + header->p_filesz;
        if (header->p_type == PT_LOAD && !(header->p_flags & PF_W))
            (void)madvise((void *)start, end - start, MADV_DONTNEED); /* file-backed and never written */
    }
    return 0;
}

static void startup_pages_release(void)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    malloc_trim(0);
    dl_iterate_phdr(on_library, &page);
}

static void watchers_start(struct daemon *daemon)
{
    ev_signal_init(&daemon->terminate, on_stop_signal, SIGTERM);
    ev_signal_init(&daemon->interrupt, on_stop_signal, SIGINT);
    ev_signal_init(&daemon->reload, on_reload, SIGHUP);
    ev_timer_init(&daemon->drain_tick, on_drain_tick, 0, DRAIN_TICK_MS / 1000.0);
    ev_timer_init(&daemon->trim_tick, on_trim_tick, TRIM_TICK_SECONDS, TRIM_TICK_SECONDS);
    daemon->terminate.data = daemon->interrupt.data = daemon->reload.data = daemon;
    daemon->drain_tick.data = daemon->trim_tick.data = daemon;
    ev_signal_start(daemon->loop, &daemon->terminate);
    ev_signal_start(daemon->loop, &daemon->interrupt);
    ev_signal_start(daemon->loop, &daemon->reload);
    ev_timer_start(daemon->loop, &daemon->trim_tick);
}

/* One listening descriptor per worker: TCP ones share the port, a Unix path has only one. */
static int listener_descriptor(struct daemon *daemon, int first, struct fault *fault)
{
    struct socket_address *listen = &daemon->options.listen;
    bool alone = daemon->options.workers == 1;

    if (listen->storage.ss_family == AF_UNIX && first >= 0) {
        int fd = dup(first);
        if (fd < 0)
            fault_set(fault, "cannot share the listening socket: out of descriptors");
        return fd;
    }
    return socket_listen(listen,
                         alone        ? SOCKET_EXCLUSIVE
                         : first >= 0 ? SOCKET_JOINED
                                      : SOCKET_SHARED,
                         fault);
}

static bool workers_start(struct daemon *daemon, struct fault *fault)
{
    int listeners[WORKERS_MAX];
    unsigned bound = 0;

    daemon->workers = calloc(daemon->options.workers, sizeof *daemon->workers);
    if (!daemon->workers) {
        fault_set(fault, "out of memory");
        return false;
    }
    for (; bound < daemon->options.workers; bound++) {
        listeners[bound] = listener_descriptor(daemon, bound ? listeners[0] : -1, fault);
        if (listeners[bound] < 0) {
            fault_wrap(fault, "--listen");
            goto fail;
        }
        /* A free port was asked for: the others join the one that was found. */
        if (bound == 0) {
            daemon->options.listen = socket_local_address(listeners[0]);
            daemon->listen_file = socket_file_of(&daemon->options.listen);
        }
    }
    for (unsigned i = 0; i < bound; i++) {
        struct credentials *shared[SIDE_COUNT] = { NULL, NULL };
        for (enum side side = 0; side < SIDE_COUNT; side++) {
            if (daemon->credentials[side])
                shared[side] = credentials_share(daemon->credentials[side]);
        }
        int fd = listeners[i];
        listeners[i] = -1;
        if (!worker_start(&daemon->workers[i], &daemon->options.route, &daemon->log, fd, shared, fault))
            goto fail;
        daemon->metrics[i] = &daemon->workers[i].metrics;
        daemon->started++;
    }
    return true;
fail:
    for (unsigned i = 0; i < bound; i++) {
        if (listeners[i] >= 0)
            close(listeners[i]);
    }
    return false;
}

static bool upstream_start(struct daemon *daemon, struct fault *fault)
{
    const struct address *upstream = &daemon->options.upstream;
    struct socket_address address;

    health_open(&daemon->health, daemon->loop, daemon->options.health_interval_ms,
                daemon->options.route.connect_timeout_ms);
    if (upstream->is_unix) {
        (void)address_to_socket(upstream, &address);
        on_resolved(daemon, &address, 1, NULL);
        return true;
    }
    snprintf(daemon->unresolved, sizeof daemon->unresolved, "%s is not resolved yet", upstream->host);
    daemon->resolver =
        resolver_open(daemon->loop, upstream, &daemon->options.resolver, on_resolved, daemon, fault);
    return daemon->resolver != NULL;
}

static bool admin_start(struct daemon *daemon, const struct admin_source *source, struct fault *fault)
{
    if (!daemon->options.has_admin)
        return true;
    daemon->admin = admin_open(daemon->loop, &daemon->options.admin, source, &daemon->log, fault);
    if (!daemon->admin)
        fault_wrap(fault, "--admin");
    return daemon->admin != NULL;
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

static bool daemon_start(struct daemon *daemon, const struct admin_source *source, struct fault *fault)
{
    process_prepare();
    if (!credentials_load_all(daemon, daemon->credentials, fault) || !workers_start(daemon, fault) ||
        !upstream_start(daemon, fault) || !admin_start(daemon, source, fault))
        return false;
    watchers_start(daemon);
    startup_pages_release();
    address_log(daemon, "listening", &daemon->options.listen);
    if (daemon->admin)
        address_log(daemon, "admin listening", admin_address(daemon->admin));
    return true;
}

/* Ends the workers and frees everything; returns how many connections had bytes left. */
static unsigned daemon_stop(struct daemon *daemon)
{
    unsigned left_behind = 0;

    for (unsigned i = 0; i < daemon->started; i++)
        worker_post(daemon, i, (struct letter) { .kind = LETTER_STOP });
    for (unsigned i = 0; i < daemon->started; i++) {
        worker_join(&daemon->workers[i]);
        left_behind += atomic_load(&daemon->workers[i].left_behind);
    }
    admin_close(daemon->admin);
    resolver_close(daemon->resolver);
    health_close(&daemon->health);
    socket_file_remove(&daemon->listen_file, &daemon->options.listen);
    for (enum side side = 0; side < SIDE_COUNT; side++)
        credentials_release(daemon->credentials[side]);
    free(daemon->workers);
    options_deinit(&daemon->options);
    ev_loop_destroy(daemon->loop);
    return left_behind;
}

int daemon_run(enum config_mode mode, const struct config *config, const char *version)
{
    struct daemon daemon = { .version = version };
    const struct admin_source source = { .owner = &daemon,
                                         .ready = on_ready_asked,
                                         .snapshot = on_snapshot_asked };
    struct fault fault;

    if (!options_from_config(&daemon.options, mode, config, &fault)) {
        fprintf(stderr, "husk %s: %s\n", mode == CONFIG_CLIENT ? "client" : "server", fault.text);
        options_deinit(&daemon.options);
        return EXIT_STATUS_USAGE;
    }
    log_init(&daemon.log, STDERR_FILENO, daemon.options.log_level, daemon.options.log_format);
    daemon.loop = ev_default_loop(EVFLAG_AUTO);
    health_open(&daemon.health, daemon.loop, 0, 0);
    bool started = daemon_start(&daemon, &source, &fault);
    if (started)
        ev_run(daemon.loop, 0);
    else
        log_say(&daemon.log, LOG_ERROR, "cannot start: %s", fault.text);
    unsigned left_behind = daemon_stop(&daemon);
    if (left_behind)
        log_say(&daemon.log, LOG_WARN, "stopped; %u connection(s) ended with bytes undelivered", left_behind);
    else if (started)
        log_say(&daemon.log, LOG_INFO, "stopped");
    log_deinit(&daemon.log);
    return started && !left_behind ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
}
