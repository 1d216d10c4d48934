#include "link/outlet.h"

#include "base/clock.h"
#include "worker/worker.h"
#include "wire/socket.h"

#include <assert.h>

void outlet_open(struct outlet *outlet, struct worker *worker, leg_on_ready *on_ready, void *owner)
{
    *outlet = (struct outlet) {
        .leg = { .fd = -1 },
        .worker = worker,
        .state = OUTLET_RESOLVING,
        .on_ready = on_ready,
        .owner = owner,
    };
}

void outlet_aim(struct outlet *outlet, size_t at)
{
    (void)endpoint_walk_begin_at(&outlet->walk, &outlet->worker->endpoints, at);
}

_Static_assert(OUTLET_READY - OUTLET_CONNECTING == METRICS_READY - METRICS_CONNECTING,
               "an outlet with an address is counted in its state");

static enum metrics_outlet_state counted_state(const struct outlet *outlet)
{
    return (enum metrics_outlet_state)(outlet->state - OUTLET_CONNECTING);
}

static void outlet_enter(struct outlet *outlet, const struct endpoint *endpoint, enum outlet_state state)
{
    if (outlet->endpoint)
        endpoint_stats_leave(outlet->endpoint->stats, counted_state(outlet));
    outlet->endpoint = endpoint;
    outlet->state = state;
    if (endpoint)
        endpoint_stats_enter(endpoint->stats, counted_state(outlet));
}

void outlet_close(struct outlet *outlet, enum leg_closing closing)
{
    leg_close(&outlet->leg, closing);
    outlet_enter(outlet, NULL, outlet->state);
    endpoint_walk_end(&outlet->walk);
}

const char *outlet_state_name(enum outlet_state state)
{
    static const char *const names[] = { "resolve", "connect", "handshake", "confirm", "relay" };

    return names[state];
}

bool outlet_reads(const struct outlet *outlet)
{
    return outlet->state == OUTLET_SECURING || outlet->state == OUTLET_CONFIRMING;
}

const struct socket_address *outlet_address(const struct outlet *outlet)
{
    return outlet->endpoint ? &outlet->endpoint->address : NULL;
}

/* Begins to connect to the current address; true when an attempt is under way. */
static bool outlet_dial(struct outlet *outlet, enum end_reason *reason)
{
    struct worker *worker = outlet->worker;
    struct side_metrics *metrics = &worker->metrics.side[SIDE_UPSTREAM];
    int fd = socket_connect(&outlet->endpoint->address, worker->route->dead_peer_ms, reason);

    if (fd < 0)
        return false;
    if (outlet->leg.fd >= 0)
        metrics_add(&metrics->ended[outlet->leg.broken], 1); /* the attempt before this one */
    leg_close(&outlet->leg, LEG_CLOSE);
    leg_open(&outlet->leg, &worker->io, fd, metrics, outlet->on_ready, outlet->owner);
    metrics_add(&metrics->opened, 1);
    outlet->leg.blocked = true; /* until the connect's outcome is there */
    outlet_enter(outlet, outlet->endpoint, OUTLET_CONNECTING);
    outlet->deadline_ms = clock_monotonic_ms() + worker->route->connect_timeout_ms;
    return true;
}

/* The same for the addresses not tried yet; END_NONE, or why the last one failed. */
static enum end_reason outlet_dial_next(struct outlet *outlet, enum end_reason reason)
{
    struct worker *worker = outlet->worker;
    const struct endpoint *endpoint;

    while ((endpoint = endpoint_walk_next(&outlet->walk, &worker->endpoints, clock_monotonic_ms()))) {
        outlet_enter(outlet, endpoint, OUTLET_CONNECTING);
        if (outlet_dial(outlet, &reason))
            return END_NONE;
        if (end_reason_is_local(reason))
            return reason;
        endpoint_walk_report(&outlet->walk, &worker->endpoints, ENDPOINT_FAILED, clock_monotonic_ms());
    }
    return reason;
}

/* The current attempt failed: END_NONE when there is another one. */
static enum end_reason outlet_fail(struct outlet *outlet, enum end_reason reason)
{
    struct worker *worker = outlet->worker;

    leg_break(&outlet->leg, reason);
    if (outlet->leg.tls && tls_channel_failed_resuming(outlet->leg.tls) && outlet_dial(outlet, &reason))
        return END_NONE; /* the same address, without a session */
    endpoint_walk_report(&outlet->walk, &worker->endpoints, ENDPOINT_FAILED, clock_monotonic_ms());
    return outlet_dial_next(outlet, reason);
}

static enum end_reason outlet_resolve(struct outlet *outlet)
{
    struct worker *worker = outlet->worker;

    if (!outlet->deadline_ms)
        outlet->deadline_ms = clock_monotonic_ms() + worker->route->connect_timeout_ms;
    if (!worker->resolved && clock_monotonic_ms() < outlet->deadline_ms)
        return END_NONE;
    if (!outlet->walk.list && !endpoint_walk_begin(&outlet->walk, &worker->endpoints))
        return END_UNRESOLVED;
    return outlet_dial_next(outlet, END_UNRESOLVED);
}

static void outlet_become_ready(struct outlet *outlet)
{
    struct worker *worker = outlet->worker;

    outlet_enter(outlet, outlet->endpoint, OUTLET_READY);
    outlet->deadline_ms = 0;
    if (outlet->leg.tls && tls_channel_shuns_resuming(outlet->leg.tls))
        log_say(worker->log, LOG_INFO, "upstream fails on resumed TLS sessions: full handshakes from now on");
    endpoint_walk_report(&outlet->walk, &worker->endpoints, ENDPOINT_WORKED, clock_monotonic_ms());
}

static enum end_reason outlet_connect(struct outlet *outlet)
{
    struct worker *worker = outlet->worker;
    struct credentials *credentials = worker->credentials[SIDE_UPSTREAM];
    bool late = clock_monotonic_ms() >= outlet->deadline_ms;

    if (outlet->leg.blocked)
        return late ? outlet_fail(outlet, END_CONNECT_TIMEOUT) : END_NONE;
    enum end_reason reason = socket_connect_outcome(outlet->leg.fd);
    if (reason != END_NONE)
        return outlet_fail(outlet, reason);
    if (!credentials) {
        outlet_become_ready(outlet);
        return END_NONE;
    }
    const char *name =
        worker->route->server_name ? worker->route->server_name : outlet->endpoint->server_name;
    assert(name); /* else any server of the CA would do */
    struct tls_channel *tls = tls_channel_new(&worker->io.tls, credentials, name, &worker->sessions);
    if (!tls)
        return outlet_fail(outlet, END_NO_MEMORY);
    outlet_enter(outlet, outlet->endpoint, OUTLET_SECURING);
    outlet->deadline_ms = clock_monotonic_ms() + worker->route->handshake_timeout_ms;
    leg_start_tls(&outlet->leg, tls);
    return END_NONE;
}

/* SECURING and CONFIRMING read alike: only what they wait for differs. */
static enum end_reason outlet_secure(struct outlet *outlet, struct buffer *early)
{
    struct worker *worker = outlet->worker;
    struct leg *leg = &outlet->leg;
    enum leg_status status = LEG_MOVED;

    while (status == LEG_MOVED && !(leg_is_secured(leg) && tls_channel_is_confirmed(leg->tls)))
        status = leg_read(leg, early, worker->route->buffer_bytes);
    if (leg->broken != END_NONE)
        return outlet_fail(outlet, leg->broken);
    if (outlet->state == OUTLET_SECURING && leg_is_secured(leg)) {
        outlet_enter(outlet, outlet->endpoint, OUTLET_CONFIRMING);
        outlet->deadline_ms = clock_monotonic_ms() + worker->route->confirm_timeout_ms;
    }
    bool late = clock_monotonic_ms() >= outlet->deadline_ms;
    if (outlet->state == OUTLET_SECURING)
        return late ? outlet_fail(outlet, END_HANDSHAKE_TIMEOUT) : END_NONE;
    /* A server that sends neither tickets nor data gives no sign: after a while it is taken at its silence.
     */
    if (late && !tls_channel_is_confirmed(leg->tls))
        metrics_add(&worker->metrics.unconfirmed, 1);
    if (late)
        leg_count_handshake(leg);
    if (late || leg->read_over || tls_channel_is_confirmed(leg->tls))
        outlet_become_ready(outlet);
    return END_NONE;
}

enum end_reason outlet_advance(struct outlet *outlet, struct buffer *early)
{
    for (;;) {
        enum outlet_state before = outlet->state;
        const struct endpoint *endpoint = outlet->endpoint;
        enum end_reason reason = END_NONE;
        switch (before) {
        case OUTLET_RESOLVING:
            reason = outlet_resolve(outlet);
            break;
        case OUTLET_CONNECTING:
            reason = outlet_connect(outlet);
            break;
        case OUTLET_SECURING:
        case OUTLET_CONFIRMING:
            reason = outlet_secure(outlet, early);
            break;
        case OUTLET_READY:
            return END_NONE;
        }
        if (reason != END_NONE || (outlet->state == before && outlet->endpoint == endpoint))
            return reason;
    }
}
