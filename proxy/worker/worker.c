#include "worker/worker.h"

#include "base/clock.h"
#include "delivery/downstream.h"
#include "tcp/tunnel.h"
#include "wire/socket.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    POOL_IDLE_SEGMENTS = 16,
    POOL_TRIM_MS = 500,
    PRESSED_HANDSHAKE_MS = 1000 /* half-open handshakes must not keep others out for long */
};

/* ---- tasks ---- */

void task_run(void *task)
{
    ((struct task *)task)->run(task);
}

void worker_queue(struct worker *worker, struct task *task)
{
    if (task->queued)
        return;
    task->queued = true;
    TAILQ_INSERT_TAIL(&worker->tasks, task, link);
    worker->queued++;
    ev_idle_start(worker->loop, &worker->awake);
}

static void task_unqueue(struct worker *worker, struct task *task)
{
    if (!task->queued)
        return;
    TAILQ_REMOVE(&worker->tasks, task, link);
    task->queued = false;
    worker->queued--;
}

static void tasks_run(struct worker *worker)
{
    /* What is queued meanwhile waits for the next turn. */
    for (unsigned left = worker->queued; left && worker->queued; left--) {
        struct task *task = TAILQ_FIRST(&worker->tasks);
        task_unqueue(worker, task);
        task->run(task);
    }
    if (!worker->queued)
        ev_idle_stop(worker->loop, &worker->awake);
}

void worker_reap(struct worker *worker, struct task *task)
{
    task_unqueue(worker, task);
    TAILQ_INSERT_TAIL(&worker->ended, task, link);
}

static void ended_dispose(struct worker *worker)
{
    while (!TAILQ_EMPTY(&worker->ended)) {
        struct task *task = TAILQ_FIRST(&worker->ended);
        TAILQ_REMOVE(&worker->ended, task, link);
        free(task);
    }
}

static void on_wake(struct ev_loop *loop, ev_check *wake, int events)
{
    struct worker *worker = wake->data;

    (void)loop, (void)events;
    worker->now_us = clock_monotonic_us();
    worker->now_ms = worker->now_us / 1000;
}

static void on_turn(struct ev_loop *loop, ev_prepare *turn, int events)
{
    struct worker *worker = turn->data;

    (void)loop, (void)events;
    tasks_run(worker);
    ended_dispose(worker);
    if (worker->pool.idle_count > worker->pool.idle_limit)
        alarm_set(&worker->housekeeping, worker->now_ms + POOL_TRIM_MS);
}

static void on_awake(struct ev_loop *loop, ev_idle *awake, int events)
{
    (void)loop, (void)awake, (void)events;
}

/* ---- what the log held back ---- */

static void suppressed_tell(struct worker *worker)
{
    for (enum end_reason reason = 0; reason < END_REASON_COUNT; reason++) {
        struct log_limiter *limiter = &worker->limiters[reason];
        struct log_line line;
        if (!limiter->suppressed)
            continue;
        log_begin(&line, worker->log, LOG_WARN, "more connections ended");
        log_text(&line, "route", worker->route->name);
        log_text(&line, "reason", end_reason_name(reason));
        log_number(&line, "suppressed", limiter->suppressed);
        log_end(&line);
        limiter->suppressed = 0;
    }
}

/* ---- connections ---- */

static void connection_open(struct worker *worker, int fd, const struct socket_address *peer)
{
    if (worker->route->protocol == ROUTE_FORWARD)
        intake_open(&worker->exchange, fd, peer);
    else
        tunnel_open(worker, fd, peer);
}

/* ---- letters ---- */

static void worker_stop(struct worker *worker)
{
    unsigned left_behind = 0;

    listener_close(&worker->listener);
    while (!LIST_EMPTY(&worker->tunnels))
        left_behind += !tunnel_stop(LIST_FIRST(&worker->tunnels));
    left_behind += exchange_close(&worker->exchange);
    atomic_store(&worker->left_behind, left_behind);
    suppressed_tell(worker);
    ended_dispose(worker);
    ev_break(worker->loop, EVBREAK_ALL);
}

static void on_letter(void *owner, const struct letter *letter)
{
    struct worker *worker = owner;
    struct tunnel *tunnel;

    switch (letter->kind) {
    case LETTER_CREDENTIALS:
        credentials_release(worker->credentials[letter->side]);
        worker->credentials[letter->side] = letter->credentials;
        tls_sessions_clear(&worker->sessions);
        if (letter->side == SIDE_UPSTREAM)
            roster_retire_all(&worker->exchange.roster);
        break;
    case LETTER_ENDPOINTS:
        worker->resolved = true;
        if (letter->endpoints)
            endpoint_pool_replace(&worker->endpoints, letter->endpoints);
        exchange_endpoints_changed(&worker->exchange);
        LIST_FOREACH (tunnel, &worker->tunnels, sibling) {
            if (tunnel->phase == TUNNEL_DIALLING && tunnel->outlet.state == OUTLET_RESOLVING)
                worker_queue(worker, &tunnel->task);
        }
        break;
    case LETTER_REFUSE:
        listener_turn(&worker->listener, LISTENER_SHUT);
        break;
    case LETTER_ADMIT:
        listener_turn(&worker->listener, LISTENER_OPEN);
        break;
    case LETTER_CONNECTION:
        atomic_fetch_sub_explicit(&worker->live, 1, memory_order_relaxed);
        if (worker->listener.fd >= 0)
            connection_open(worker, letter->fd, &letter->peer);
        else
            socket_close_by_reset(letter->fd);
        break;
    case LETTER_STOP:
        worker_stop(worker);
        break;
    }
}

/* ---- housekeeping ---- */

static void on_housekeeping(void *owner)
{
    struct worker *worker = owner;
    struct tunnel *tunnel;
    struct intake *intake;

    suppressed_tell(worker);
    buffer_pool_trim(&worker->pool);
    if (worker->handshakes < worker->route->max_handshakes)
        return;
    /* Deadlines of handshakes may have come nearer. */
    LIST_FOREACH (tunnel, &worker->tunnels, sibling) {
        if (tunnel->phase == TUNNEL_ADMITTING)
            worker_queue(worker, &tunnel->task);
    }
    LIST_FOREACH (intake, &worker->exchange.intakes, sibling) {
        if (intake->is_securing)
            worker_queue(worker, &intake->task);
    }
    alarm_set(&worker->housekeeping, worker->now_ms + PRESSED_HANDSHAKE_MS);
}

void worker_note_suppressed(struct worker *worker)
{
    alarm_set(&worker->housekeeping, worker->now_ms + LOG_LIMITER_WINDOW_MS);
}

uint64_t worker_handshake_deadline_ms(const struct worker *worker, uint64_t accepted_ms)
{
    uint64_t patience = worker->route->handshake_timeout_ms;

    if (worker->handshakes >= worker->route->max_handshakes && patience > PRESSED_HANDSHAKE_MS)
        patience = PRESSED_HANDSHAKE_MS;
    return accepted_ms + patience;
}

/* ---- accepting ---- */

static unsigned live_count(const struct worker *worker)
{
    return atomic_load_explicit(&worker->live, memory_order_relaxed);
}

/* The kernel shares connections out by hash, which leaves few long ones uneven: the worker with the fewest
 * gets the next one. NULL: that is the one that accepted it. */
static struct worker *worker_with_less(const struct worker *worker)
{
    unsigned count = atomic_load_explicit(&worker->crew->count, memory_order_acquire);
    unsigned least = live_count(worker);
    struct worker *best = NULL;

    for (unsigned i = 0; i < count; i++) {
        struct worker *other = &worker->crew->workers[i];
        if (live_count(other) < least) {
            best = other;
            least = live_count(other);
        }
    }
    return best;
}

static void on_accepted(void *owner, int fd, const struct socket_address *peer)
{
    struct worker *worker = owner, *other = worker_with_less(worker);

    if (!other) {
        connection_open(worker, fd, peer);
        return;
    }
    struct letter letter = { .kind = LETTER_CONNECTION, .fd = fd, .peer = *peer };
    atomic_fetch_add_explicit(&other->live, 1, memory_order_relaxed);
    if (!mailbox_post(&other->mailbox, letter))
        atomic_fetch_sub_explicit(&other->live, 1, memory_order_relaxed);
}

void worker_count_inlet(struct worker *worker, int handshakes, int connections)
{
    worker->handshakes += (unsigned)handshakes;
    atomic_fetch_add_explicit(&worker->live, (unsigned)connections, memory_order_relaxed);
    bool full = live_count(worker) >= worker->route->max_connections ||
                worker->handshakes >= worker->route->max_handshakes;

    if (worker->handshakes >= worker->route->max_handshakes)
        alarm_set(&worker->housekeeping, worker->now_ms + PRESSED_HANDSHAKE_MS);
    if (worker->listener.fd >= 0)
        listener_admit(&worker->listener, full ? LISTENER_THROTTLE : LISTENER_ADMIT);
}

void worker_report_upstream(struct worker *worker, enum end_reason outcome)
{
    if (!end_reason_is_local(outcome))
        atomic_store_explicit(&worker->upstream_outcome, worker->now_ms * END_REASON_COUNT + outcome,
                              memory_order_relaxed);
}

/* ---- life ---- */

static void worker_deinit(struct worker *worker)
{
    tls_sessions_clear(&worker->sessions);
    message_meters_deinit(&worker->meters);
    endpoint_pool_deinit(&worker->endpoints);
    for (enum side side = 0; side < SIDE_COUNT; side++)
        credentials_release(worker->credentials[side]);
    leg_io_deinit(&worker->io);
    body_stage_deinit(&worker->bodies);
    buffer_pool_deinit(&worker->pool);
    if (worker->loop)
        ev_loop_destroy(worker->loop);
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;

    ev_run(worker->loop, 0);
    return NULL;
}

/* The thread must not take the process's signals: they are the control thread's. */
static bool thread_start(struct worker *worker)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&worker->thread, NULL, worker_main, worker) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

bool worker_start(struct worker *worker, struct crew *crew, int listen_fd,
                  struct credentials *const credentials[SIDE_COUNT], struct fault *fault)
{
    *worker = (struct worker) {
        .crew = crew,
        .route = crew->route,
        .log = crew->log,
        .pool = { .idle_limit = POOL_IDLE_SEGMENTS },
        .credentials = { credentials[SIDE_DOWNSTREAM], credentials[SIDE_UPSTREAM] },
        .loop = ev_loop_new(EVFLAG_AUTO),
        .now_us = clock_monotonic_us(),
        .now_ms = clock_monotonic_ms(),
    };
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        seed = 0;
    endpoint_pool_init(&worker->endpoints, crew->route->eject_time_ms, crew->route->eject_time_max_ms,
                       seed);
    LIST_INIT(&worker->tunnels);
    TAILQ_INIT(&worker->tasks);
    TAILQ_INIT(&worker->ended);
    body_stage_init(&worker->bodies, &crew->route->body, &worker->metrics.bodies);
    if (!worker->loop || !leg_io_init(&worker->io, worker->loop, &worker->pool) ||
        !exchange_open(&worker->exchange, worker)) {
        fault_set(fault, "cannot set up a worker: out of memory or descriptors");
        close(listen_fd);
        worker_deinit(worker);
        return false;
    }
    mailbox_open(&worker->mailbox, worker->loop, on_letter, worker);
    socket_tune(listen_fd, crew->route->dead_peer_ms);
    listener_open(&worker->listener, worker->loop, listen_fd, &worker->metrics, crew->log, on_accepted,
                  worker);
    alarm_init(&worker->housekeeping, worker->loop, on_housekeeping, worker);
    ev_check_init(&worker->wake, on_wake);
    ev_set_priority(&worker->wake, EV_MAXPRI);
    ev_prepare_init(&worker->turn, on_turn);
    ev_idle_init(&worker->awake, on_awake);
    worker->wake.data = worker->turn.data = worker->awake.data = worker;
    ev_check_start(worker->loop, &worker->wake);
    ev_prepare_start(worker->loop, &worker->turn);
    if (thread_start(worker))
        return true;
    fault_set(fault, "cannot start a thread");
    listener_close(&worker->listener);
    mailbox_close(&worker->mailbox);
    worker_deinit(worker);
    return false;
}

void worker_join(struct worker *worker)
{
    pthread_join(worker->thread, NULL);
}

void worker_free(struct worker *worker)
{
    mailbox_close(&worker->mailbox);
    worker_deinit(worker);
}
