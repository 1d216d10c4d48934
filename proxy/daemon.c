#include "daemon.h"

#include "admin/admin.h"
#include "base/clock.h"
#include "commands/commands.h"
#include "control/discovery.h"
#include "control/heartbeat.h"
#include "options.h"
#include "trust/file_stamp.h"
#include "wire/socket.h"
#include "worker/worker.h"

#include <fcntl.h>
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
    DRAIN_TICK_MS = 20,
    WATCH_TICK_SECONDS = 1,
    TRIM_CONNECTIONS = 500,    /* memory of so many ended connections is worth giving back */
    UPSTREAM_MEMORY_MS = 30000 /* a failed dial counts against readiness for so long */
};

struct daemon {
    struct options options;
    struct log log;
    const char *version;
    struct ev_loop *loop;
    struct credentials *credentials[SIDE_COUNT]; /* shared with the workers */
    int listeners[WORKERS_MAX];                  /* -1: none, or a worker's by now */
    struct socket_file listen_file;
    struct worker_peers peers;
    struct worker *workers;
    unsigned started; /* workers that run */
    const struct metrics *metrics[WORKERS_MAX];
    struct discovery upstream;
    struct heartbeat heartbeat;
    struct admin *admin;
    ev_signal terminate, interrupt, reload;
    ev_timer drain_tick, watch_tick, files_tick;
    bool draining;
    bool refusing; /* the workers have been told to refuse connections */
    uint64_t drain_deadline_ms, quiet_since_ms;
    uint64_t activity; /* what the counters said when something last happened */
    uint64_t peak_connections;
    uint64_t files_loaded, files_seen; /* stamps of the credentials' files: in use, and at the last look */
    uint64_t reloads_succeeded, reloads_failed;
};

/* ---- counters ---- */

static uint64_t connections_active(const struct daemon *daemon)
{
    uint64_t active = 0;

    for (unsigned i = 0; i < daemon->started; i++)
        active += metrics_active(&daemon->metrics[i]->side[SIDE_DOWNSTREAM]);
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

static bool messages_held(const struct daemon *daemon)
{
    for (unsigned i = 0; i < daemon->started; i++) {
        const struct message_metrics *messages = &daemon->metrics[i]->messages;
        if (metrics_read(&messages->retained_bytes) || metrics_read(&messages->paused) ||
            metrics_read(&messages->cut_through_waiting))
            return true;
    }
    return false;
}

/* ---- what the admin endpoint asks ---- */

static void reason_add(char *text, size_t size, const char *subject, const char *what)
{
    size_t used = strlen(text);

    snprintf(text + used, size - used, "%s: %s\n", subject, what);
}

/* What the newest dial of any worker found out, unless it is long ago. */
static struct discovery_dial last_dial(const struct daemon *daemon)
{
    uint64_t newest = 0;

    for (unsigned i = 0; i < daemon->started; i++) {
        uint64_t outcome =
            atomic_load_explicit(&daemon->workers[i].transport.dialer.outcome, memory_order_relaxed);
        if (outcome > newest)
            newest = outcome;
    }
    if (clock_monotonic_ms() - newest / END_REASON_COUNT >= UPSTREAM_MEMORY_MS)
        return (struct discovery_dial) { 0 };
    return (struct discovery_dial) { .outcome = newest % END_REASON_COUNT,
                                     .at_ms = newest / END_REASON_COUNT };
}

/* What speaks against the upstream; END_NONE: nothing that is known. */
static enum end_reason failure_of_upstream(const struct daemon *daemon)
{
    const struct discovery_dial dial = last_dial(daemon);

    return discovery_failure(&daemon->upstream, &dial);
}

static bool on_ready_asked(void *owner, char *text, size_t size)
{
    struct daemon *daemon = owner;
    const struct discovery_dial dial = last_dial(daemon);

    text[0] = '\0';
    if (daemon->draining)
        reason_add(text, size, "draining", "husk is stopping");
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        if (daemon->credentials[side] &&
            credentials_not_after(daemon->credentials[side]) < clock_wall_seconds())
            reason_add(text, size, "certificate", "the own certificate has expired");
    }
    discovery_describe(&daemon->upstream, &dial, text, size);
    return text[0] == '\0';
}

static void on_snapshot_asked(void *owner, struct metrics_snapshot *snapshot)
{
    struct daemon *daemon = owner;

    *snapshot = (struct metrics_snapshot) {
        .route = daemon->options.route.name,
        .workers = daemon->metrics,
        .worker_count = daemon->started,
        .endpoints = daemon->upstream.stats_registry.first,
        .now_ms = clock_monotonic_ms(),
        .version = daemon->version,
        .tls_library = tls_channel_library(),
        .reloads_succeeded = daemon->reloads_succeeded,
        .reloads_failed = daemon->reloads_failed,
        .draining = daemon->draining,
        .upstream_healthy = failure_of_upstream(daemon) == END_NONE,
        .heartbeats_answered = daemon->heartbeat.answered,
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

static void on_endpoints(void *owner, struct endpoint_list *list)
{
    struct daemon *daemon = owner;

    for (unsigned i = 0; i < daemon->started; i++)
        worker_post(daemon, i,
                    (struct letter) { .kind = LETTER_ENDPOINTS,
                                      .endpoints = list ? endpoint_list_share(list) : NULL });
}

/* ---- heartbeats ---- */

static bool on_heartbeat_asked(void *owner)
{
    const struct daemon *daemon = owner;

    return !daemon->draining && failure_of_upstream(daemon) == END_NONE;
}

/* On the listener's port, where agents look for it. A port that is taken costs the heartbeats, not the start.
 */
static void heartbeat_start(struct daemon *daemon)
{
    const struct heartbeat_options options = {
        .address = daemon->options.listen,
        .per_second = daemon->options.heartbeats_per_second,
        .on_asked = on_heartbeat_asked,
        .owner = daemon,
    };
    struct fault fault;

    if (!options.per_second || options.address.storage.ss_family == AF_UNIX)
        return;
    if (!heartbeat_open(&daemon->heartbeat, daemon->loop, &options, &fault))
        log_say(&daemon->log, LOG_WARN, "UDP heartbeats will not be answered: %s", fault.text);
}

/* Connections are refused while the upstream is not healthy, if that is what is wanted. */
static void refusal_update(struct daemon *daemon, enum end_reason failure)
{
    bool refusing = daemon->options.refuses_unhealthy && failure != END_NONE;

    if (refusing == daemon->refusing)
        return;
    daemon->refusing = refusing;
    for (unsigned i = 0; i < daemon->started; i++)
        worker_post(daemon, i, (struct letter) { .kind = refusing ? LETTER_REFUSE : LETTER_ADMIT });
    if (refusing)
        log_say(&daemon->log, LOG_WARN, "upstream: %s; new connections are refused",
                end_reason_phrase(failure));
    else
        log_say(&daemon->log, LOG_INFO, "upstream may be back; connections are accepted again");
}

/* ---- credentials ---- */

static bool credentials_load_all(struct daemon *daemon, struct credentials *loaded[SIDE_COUNT],
                                 struct fault *fault)
{
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        loaded[side] = NULL;
        if (!daemon->options.credentials[side].cert_file)
            continue;
        loaded[side] = credentials_load(&daemon->options.credentials[side], &daemon->log, fault);
        if (!loaded[side]) {
            credentials_release(loaded[SIDE_DOWNSTREAM]);
            loaded[SIDE_DOWNSTREAM] = NULL;
            return false;
        }
    }
    return true;
}

/* Stamps of all the files the credentials are made of, as one. */
static uint64_t credentials_files(const struct daemon *daemon)
{
    uint64_t stamp = 0;

    for (enum side side = 0; side < SIDE_COUNT; side++) {
        const struct credentials_options *options = &daemon->options.credentials[side];
        const char *const paths[] = { options->cert_file, options->key_file, options->ca_file,
                                      options->passphrase_file };
        for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
            stamp = stamp * 31 + (paths[i] ? file_stamp(paths[i]) : 0);
    }
    return stamp;
}

static void credentials_reload(struct daemon *daemon)
{
    struct credentials *loaded[SIDE_COUNT];
    struct fault fault;

    if (daemon->draining)
        return;
    daemon->files_loaded = daemon->files_seen = credentials_files(daemon);
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
    discovery_refresh(&daemon->upstream);
    daemon->reloads_succeeded++;
    log_say(&daemon->log, LOG_INFO, "credentials reloaded");
}

static void on_reload(struct ev_loop *loop, ev_signal *watcher, int events)
{
    (void)loop, (void)events;
    credentials_reload(watcher->data);
}

/* A change is loaded once it has stood still for a look: several files are seldom swapped in one go. */
static void on_files_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct daemon *daemon = timer->data;
    uint64_t seen = credentials_files(daemon);

    (void)loop, (void)events;
    if (seen != daemon->files_loaded && seen == daemon->files_seen)
        credentials_reload(daemon);
    daemon->files_seen = seen;
}

/* ---- ending ---- */

static void on_drain_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct daemon *daemon = timer->data;
    uint64_t now = clock_monotonic_ms(), activity = activity_sum(daemon);

    (void)events;
    /* Messages that nobody would send again are waited for as long as may be. */
    if (activity != daemon->activity || messages_held(daemon)) {
        daemon->activity = activity;
        daemon->quiet_since_ms = now;
    }
    if (now >= daemon->drain_deadline_ms || now - daemon->quiet_since_ms >= daemon->options.drain_quiet_ms)
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
    ev_timer_init(&daemon->drain_tick, on_drain_tick, 0, DRAIN_TICK_MS / 1000.0);
    daemon->drain_tick.data = daemon;
    ev_timer_start(loop, &daemon->drain_tick);
}

static void on_watch_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct daemon *daemon = timer->data;
    uint64_t active = connections_active(daemon);

    (void)loop, (void)events;
    /* After a burst the allocator would keep what it has: give it back. */
    if (active + TRIM_CONNECTIONS <= daemon->peak_connections) {
        malloc_trim(0);
        daemon->peak_connections = active;
    }
    if (active > daemon->peak_connections)
        daemon->peak_connections = active;
    const struct discovery_dial dial = last_dial(daemon);
    enum end_reason failure = discovery_failure(&daemon->upstream, &dial);
    if (failure != END_NONE && dial.outcome != END_NONE)
        discovery_refresh(&daemon->upstream); /* it may have moved, or be back */
    refusal_update(daemon, failure);
}

/* ---- starting ---- */

/* Neither descriptors, signals nor secrets should depend on how husk was started. */
static void process_prepare(void)
{
    struct rlimit files;
    int fd;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN); /* until it can be answered */
    while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO)
        continue; /* a closed standard stream would become a connection, and get our log */
    if (fd >= 0)
        close(fd);
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

static void timer_start(struct daemon *daemon, ev_timer *timer,
                        void (*on_ring)(struct ev_loop *, ev_timer *, int), double seconds)
{
    ev_timer_init(timer, on_ring, seconds, seconds);
    timer->data = daemon;
    if (seconds > 0)
        ev_timer_start(daemon->loop, timer);
}

static void signal_start(struct daemon *daemon, ev_signal *watcher,
                         void (*on_signal)(struct ev_loop *, ev_signal *, int), int number)
{
    ev_signal_init(watcher, on_signal, number);
    watcher->data = daemon;
    ev_signal_start(daemon->loop, watcher);
}

static void watchers_start(struct daemon *daemon)
{
    signal_start(daemon, &daemon->terminate, on_stop_signal, SIGTERM);
    signal_start(daemon, &daemon->interrupt, on_stop_signal, SIGINT);
    signal_start(daemon, &daemon->reload, on_reload, SIGHUP);
    timer_start(daemon, &daemon->watch_tick, on_watch_tick, WATCH_TICK_SECONDS);
    timer_start(daemon, &daemon->files_tick, on_files_tick,
                (double)daemon->options.reload_interval_ms / 1000);
}

/* One listening descriptor per worker: TCP ones share the port, a Unix path has only one. */
static int listener_descriptor(struct daemon *daemon, int first, struct fault *fault)
{
    struct socket_address *listen = &daemon->options.listen;
    bool alone = daemon->options.workers == 1;

    if (listen->storage.ss_family == AF_UNIX && first >= 0) {
        int fd = fcntl(first, F_DUPFD_CLOEXEC, 0);
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

static bool listeners_bind(struct daemon *daemon, struct fault *fault)
{
    for (unsigned i = 0; i < daemon->options.workers; i++) {
        daemon->listeners[i] = listener_descriptor(daemon, i ? daemon->listeners[0] : -1, fault);
        if (daemon->listeners[i] < 0) {
            fault_wrap(fault, "--listen");
            return false;
        }
        if (i)
            continue;
        /* A free port was asked for: the others join the one that was found. */
        daemon->options.listen = socket_local_address(daemon->listeners[0]);
        daemon->listen_file = socket_file_of(&daemon->options.listen);
    }
    return true;
}

static bool workers_start(struct daemon *daemon, struct fault *fault)
{
    daemon->workers = calloc(daemon->options.workers, sizeof *daemon->workers);
    if (!daemon->workers) {
        fault_set(fault, "out of memory");
        return false;
    }
    daemon->peers.workers = daemon->workers;
    const struct worker_options options = { &daemon->options.route, &daemon->log, &daemon->peers };
    for (unsigned i = 0; i < daemon->options.workers; i++) {
        struct credentials *shared[SIDE_COUNT] = { NULL, NULL };
        for (enum side side = 0; side < SIDE_COUNT; side++) {
            if (daemon->credentials[side])
                shared[side] = credentials_share(daemon->credentials[side]);
        }
        int fd = daemon->listeners[i];
        daemon->listeners[i] = -1;
        if (!worker_start(&daemon->workers[i], &options, fd, shared, fault))
            return false;
        daemon->metrics[i] = &daemon->workers[i].reactor.metrics;
        daemon->started++;
        atomic_store(&daemon->peers.count, daemon->started);
    }
    return true;
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
    /* Everything that can be refused comes before the first connection is accepted. */
    daemon->files_loaded = daemon->files_seen = credentials_files(daemon);
    if (!credentials_load_all(daemon, daemon->credentials, fault) || !listeners_bind(daemon, fault) ||
        !admin_start(daemon, source, fault) || !workers_start(daemon, fault) ||
        !discovery_open(&daemon->upstream, daemon->loop, &daemon->options.upstream, &daemon->log,
                        on_endpoints, daemon, fault))
        return false;
    heartbeat_start(daemon);
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

    atomic_store(&daemon->peers.count, 0);
    for (unsigned i = 0; i < daemon->started; i++)
        worker_post(daemon, i, (struct letter) { .kind = LETTER_STOP });
    for (unsigned i = 0; i < daemon->started; i++) {
        worker_join(&daemon->workers[i]);
        left_behind += atomic_load(&daemon->workers[i].left_behind);
    }
    for (unsigned i = 0; i < daemon->started; i++)
        worker_free(&daemon->workers[i]);
    for (unsigned i = 0; i < daemon->options.workers; i++) {
        if (daemon->listeners[i] >= 0)
            close(daemon->listeners[i]);
    }
    admin_close(daemon->admin);
    heartbeat_close(&daemon->heartbeat);
    discovery_close(&daemon->upstream);
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

    process_prepare();
    if (!options_from_config(&daemon.options, mode, config, &fault)) {
        fprintf(stderr, "husk %s: %s\n", mode == CONFIG_CLIENT ? "client" : "server", fault.text);
        options_deinit(&daemon.options);
        return EXIT_STATUS_USAGE;
    }
    log_init(&daemon.log, STDERR_FILENO, daemon.options.log_level, daemon.options.log_format);
    daemon.loop = ev_default_loop(EVFLAG_AUTO);
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        daemon.listeners[i] = -1;
    bool started = daemon_start(&daemon, &source, &fault);
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
