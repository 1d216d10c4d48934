#include "link/outlet.h"

#include "wire/socket.h"

enum { HANDSHAKE_WINDOW_BYTES = 64 * 1024 }; /* more than a TLS record */

static uint64_t now_ms(const struct outlet *outlet)
{
    return outlet->dialer->reactor->now_ms;
}

static const struct route_options *route_of(const struct outlet *outlet)
{
    return outlet->dialer->route;
}

void outlet_open(struct outlet *outlet, struct dialer *dialer, struct task *task)
{
    *outlet = (struct outlet) {
        .leg = { .fd = -1 },
        .dialer = dialer,
        .task = task,
        .state = OUTLET_RESOLVING,
    };
}

void outlet_aim(struct outlet *outlet, size_t at)
{
    (void)endpoint_walk_begin_at(&outlet->walk, &outlet->dialer->endpoints, at);
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
    bool has_refused = outlet->state == OUTLET_SECURING && end_reason_sends_alert(outlet->leg.broken);

    leg_close(&outlet->leg, has_refused ? LEG_CLOSE : closing);
    authentication_end(&outlet->authentication);
    if (outlet->is_leaving)
        endpoint_walk_note_left(&outlet->walk, &outlet->dialer->endpoints, now_ms(outlet));
    outlet_enter(outlet, NULL, outlet->state);
    endpoint_walk_end(&outlet->walk);
}

const char *outlet_state_name(enum outlet_state state)
{
    static const char *const names[] = { "resolve", "connect", "handshake", "confirm", "relay" };

    return names[state];
}

void outlet_watch(struct outlet *outlet)
{
    bool reads = outlet->state == OUTLET_SECURING || outlet->state == OUTLET_CONFIRMING ||
                 authentication_is_running(&outlet->authentication);

    leg_watch(&outlet->leg, reads ? LEG_READ : LEG_NO_READ);
}

void outlet_blame_endpoint(struct outlet *outlet)
{
    endpoint_walk_report(&outlet->walk, &outlet->dialer->endpoints, ENDPOINT_FAILED, now_ms(outlet));
    endpoint_stats_note_failure(outlet_stats(outlet));
}

void outlet_note_leaving(struct outlet *outlet)
{
    outlet->is_leaving = true;
    endpoint_walk_note_leaving(&outlet->walk, &outlet->dialer->endpoints);
}

const struct socket_address *outlet_address(const struct outlet *outlet)
{
    return outlet->endpoint ? &outlet->endpoint->address : NULL;
}

struct endpoint_stats *outlet_stats(const struct outlet *outlet)
{
    return outlet->endpoint ? outlet->endpoint->stats : NULL;
}

bool outlet_locate(const struct outlet *outlet, size_t *at)
{
    const struct endpoint_list *list = outlet->dialer->endpoints.list;

    if (!list || !outlet->endpoint)
        return true;
    *at = endpoint_list_find(list, outlet->endpoint);
    return *at < list->count;
}

void outlet_count_end(struct outlet *outlet, enum end_reason reason)
{
    struct side_metrics *metrics = &outlet->dialer->metrics->side[SIDE_UPSTREAM];

    if (outlet->leg.fd < 0)
        metrics_add(&metrics->opened, 1); /* a dial that failed before it had a descriptor */
    metrics_add(&metrics->ended[reason], 1);
}

/* Begins to connect to the current address. True when the attempt has begun. */
static bool outlet_dial(struct outlet *outlet, enum end_reason *reason)
{
    struct reactor *reactor = outlet->dialer->reactor;
    struct side_metrics *metrics = &outlet->dialer->metrics->side[SIDE_UPSTREAM];
    int fd = socket_connect(&outlet->endpoint->address, route_of(outlet)->dead_peer_ms, reason);

    if (fd < 0)
        return false;
    if (outlet->leg.fd >= 0)
        metrics_add(&metrics->ended[outlet->leg.broken], 1); /* the attempt before this one */
    leg_close(&outlet->leg, LEG_CLOSE);
    leg_open(
        &outlet->leg, fd,
        &(struct leg_options) {
            .io = &reactor->io, .metrics = metrics, .on_ready = outlet->task->run, .owner = outlet->task });
    metrics_add(&metrics->opened, 1);
    leg_await_connect(&outlet->leg);
    outlet_enter(outlet, outlet->endpoint, OUTLET_CONNECTING);
    outlet->deadline_ms = now_ms(outlet) + route_of(outlet)->connect_timeout_ms;
    return true;
}

/* Begins to connect to the next address not tried yet. END_NONE, or why the last address failed. */
static enum end_reason outlet_dial_next(struct outlet *outlet, enum end_reason reason)
{
    struct dialer *dialer = outlet->dialer;
    const struct endpoint *endpoint;

    while ((endpoint = endpoint_walk_next(&outlet->walk, &dialer->endpoints, now_ms(outlet)))) {
        outlet_enter(outlet, endpoint, OUTLET_CONNECTING);
        if (outlet_dial(outlet, &reason))
            return END_NONE;
        if (end_reason_is_local(reason))
            return reason;
        outlet_blame_endpoint(outlet);
    }
    return reason;
}

/* The current attempt failed: begins another one. END_NONE, or the reason when no attempt is left. */
static enum end_reason outlet_fail(struct outlet *outlet, enum end_reason reason)
{
    leg_break(&outlet->leg, reason);
    if (outlet->leg.tls && tls_channel_drop_rejected_sessions(outlet->leg.tls) &&
        outlet_dial(outlet, &reason))
        return END_NONE;             /* the same address again, without a TLS session */
    if (end_reason_is_local(reason)) /* another address would fail in the same way */
        return reason;
    outlet_blame_endpoint(outlet);
    return outlet_dial_next(outlet, reason);
}

/* New credentials have come during the handshake: dials the same address again. */
static enum end_reason outlet_restart(struct outlet *outlet, struct buffer *received)
{
    enum end_reason reason;

    leg_break(&outlet->leg, END_RETIRED);
    buffer_clear(received);
    if (outlet_dial(outlet, &reason))
        return END_NONE;
    outlet_blame_endpoint(outlet);
    return outlet_dial_next(outlet, reason);
}

static enum end_reason outlet_resolve(struct outlet *outlet)
{
    struct dialer *dialer = outlet->dialer;

    if (!outlet->deadline_ms)
        outlet->deadline_ms = now_ms(outlet) + route_of(outlet)->connect_timeout_ms;
    if (!dialer->is_resolved && now_ms(outlet) < outlet->deadline_ms)
        return END_NONE;
    if (!outlet->walk.list && !endpoint_walk_begin(&outlet->walk, &dialer->endpoints))
        return END_UNRESOLVED;
    return outlet_dial_next(outlet, END_UNRESOLVED);
}

/* --revocation-policy warn: the server is accepted, although its OCSP response does not say that it is good.
 */
static void bad_staple_warn(const struct outlet *outlet)
{
    struct dialer *dialer = outlet->dialer;
    enum ocsp_status staple = outlet->leg.tls ? tls_channel_bad_staple(outlet->leg.tls) : OCSP_NONE;
    char address[ADDRESS_TEXT_BYTES];
    uint32_t suppressed;
    struct log_line line;

    if (staple == OCSP_NONE ||
        !log_limiter_admit(&dialer->bad_staples, now_ms(outlet), route_of(outlet)->log_burst, &suppressed))
        return;
    socket_address_format(&outlet->endpoint->address, address, sizeof address);
    log_begin(&line, dialer->log, LOG_WARN, "the OCSP response of the server shows nothing");
    log_text(&line, "route", route_of(outlet)->name);
    log_text(&line, "upstream", address);
    log_text(&line, "detail", ocsp_status_phrase(staple));
    log_suppressed(&line, suppressed);
    log_end(&line);
}

static void outlet_become_ready(struct outlet *outlet)
{
    struct dialer *dialer = outlet->dialer;

    outlet_enter(outlet, outlet->endpoint, OUTLET_READY);
    outlet->deadline_ms = 0;
    if (outlet->leg.tls)
        tls_life_limit(&outlet->life, outlet->leg.tls, dialer->reactor);
    bad_staple_warn(outlet);
    if (outlet->leg.tls && tls_channel_stop_resuming(outlet->leg.tls))
        log_say(dialer->log, LOG_INFO,
                "the upstream fails on resumed TLS sessions: husk makes full handshakes from now on");
    endpoint_walk_report(&outlet->walk, &dialer->endpoints, ENDPOINT_WORKED, now_ms(outlet));
}

static enum end_reason outlet_connect(struct outlet *outlet)
{
    struct dialer *dialer = outlet->dialer;
    bool is_late = now_ms(outlet) >= outlet->deadline_ms;

    if (outlet->leg.write_blocked)
        return is_late ? outlet_fail(outlet, END_CONNECT_TIMEOUT) : END_NONE;
    enum end_reason reason = socket_connect_outcome(outlet->leg.fd);
    if (reason != END_NONE)
        return outlet_fail(outlet, reason);
    if (!dialer->credentials) {
        outlet_become_ready(outlet);
        return END_NONE;
    }
    const char *name =
        outlet->endpoint->server_name ? outlet->endpoint->server_name : route_of(outlet)->server_name;
    /* A name is compared, and an address from before a change may have none. */
    if (!name && !credentials_ignore_name(dialer->credentials))
        return END_RETIRED;
    struct tls_channel *tls =
        tls_channel_new(&dialer->reactor->io.tls, dialer->credentials, name, &dialer->sessions);
    if (!tls)
        return outlet_fail(outlet, END_NO_MEMORY);
    outlet_enter(outlet, outlet->endpoint, OUTLET_SECURING);
    outlet->generation = dialer->generation;
    outlet->deadline_ms = now_ms(outlet) + route_of(outlet)->handshake_timeout_ms;
    leg_start_tls(&outlet->leg, tls);
    return END_NONE;
}

/* Both states read the handshake; they differ in what they wait for. */
static enum end_reason outlet_secure(struct outlet *outlet, struct buffer *received)
{
    struct dialer *dialer = outlet->dialer;
    struct leg *leg = &outlet->leg;
    enum leg_status status = LEG_MOVED;

    while (status == LEG_MOVED && !(leg_is_secured(leg) && tls_channel_is_confirmed(leg->tls)))
        status = leg_read(leg, received, LEG_LEAST_WINDOW_BYTES);
    if (leg->broken != END_NONE)
        return outlet_fail(outlet, leg->broken);
    if (outlet->state == OUTLET_SECURING && leg_is_secured(leg)) {
        outlet_enter(outlet, outlet->endpoint, OUTLET_CONFIRMING);
        outlet->deadline_ms = now_ms(outlet) + route_of(outlet)->confirm_timeout_ms;
    }
    bool is_late = now_ms(outlet) >= outlet->deadline_ms;
    if (outlet->state == OUTLET_SECURING)
        return is_late ? outlet_fail(outlet, leg_lateness(leg)) : END_NONE;
    /* A server that sends neither session tickets nor data gives no evidence. After --confirm-timeout husk
     * assumes that the server accepted the certificate. */
    if (is_late && !tls_channel_is_confirmed(leg->tls))
        metrics_add(&dialer->metrics->unconfirmed, 1);
    if (is_late)
        leg_count_handshake(leg);
    if (!is_late && !leg->read_over && !tls_channel_is_confirmed(leg->tls))
        return END_NONE;
    if (outlet->generation != dialer->generation)
        return outlet_restart(outlet, received);
    outlet_become_ready(outlet);
    return END_NONE;
}

/* The route has begun or ceased to use TLS: the address of this dial is from before. */
static bool is_outdated(const struct outlet *outlet)
{
    return outlet->endpoint && outlet->endpoint->has_tls != (outlet->dialer->credentials != NULL);
}

struct step outlet_advance(struct outlet *outlet, struct buffer *received)
{
    for (;;) {
        enum outlet_state before = outlet->state;
        const struct endpoint *endpoint = outlet->endpoint;
        enum end_reason reason = END_NONE;
        if (before != OUTLET_READY && is_outdated(outlet))
            return step_waits_unless(END_RETIRED);
        if (before != OUTLET_READY && credentials_are_withdrawn(outlet->dialer->credentials))
            return step_waits_unless(END_WITHDRAWN);
        switch (before) {
        case OUTLET_RESOLVING:
            reason = outlet_resolve(outlet);
            break;
        case OUTLET_CONNECTING:
            reason = outlet_connect(outlet);
            break;
        case OUTLET_SECURING:
        case OUTLET_CONFIRMING:
            reason = outlet_secure(outlet, received);
            break;
        case OUTLET_READY:
            return step_goes_on_unless(END_NONE);
        }
        if (reason != END_NONE || (outlet->state == before && outlet->endpoint == endpoint))
            return step_waits_unless(reason);
    }
}

/* ---- shared-key authentication ---- */

static enum end_reason authenticate_begin(struct outlet *outlet, struct buffer *out)
{
    struct shared_key_slot *key = route_of(outlet)->key[SIDE_UPSTREAM];

    outlet->has_authenticated = true;
    if (!key)
        return END_NONE;
    return authentication_begin(&outlet->authentication, HANDSHAKE_DIALLING, key,
                                now_ms(outlet) + route_of(outlet)->handshake_timeout_ms, out);
}

static struct step authenticate(struct outlet *outlet, struct buffer *in, struct buffer *out)
{
    struct authentication *authentication = &outlet->authentication;
    struct leg *leg = &outlet->leg;
    enum end_reason reason = END_NONE;
    size_t before;

    do {
        before = in->length + out->length;
        (void)leg_write(leg, out);
        if (authentication_is_running(authentication))
            (void)leg_read(leg, in, HANDSHAKE_WINDOW_BYTES);
        reason = authentication_advance(authentication, in, out);
    } while (reason == END_NONE && before != in->length + out->length);
    if (reason != END_NONE || !authentication_is_running(authentication))
        return step_goes_on_unless(reason);
    if (leg->broken != END_NONE)
        return step_waits_unless(leg->broken);
    if (leg->read_over)
        return step_waits_unless(END_KEY_REJECTED);
    bool is_late = now_ms(outlet) >= authentication_deadline_ms(authentication);
    return step_waits_unless(is_late ? END_KEY_TIMEOUT : END_NONE);
}

struct step outlet_establish(struct outlet *outlet, struct buffer *in, struct buffer *out)
{
    struct step step = outlet_advance(outlet, in);

    if (step.outcome == STEP_GOES_ON && !outlet->has_authenticated)
        step = step_goes_on_unless(authenticate_begin(outlet, out));
    return step.outcome == STEP_GOES_ON ? authenticate(outlet, in, out) : step;
}

void outlet_report_works(struct outlet *outlet, struct connection_log *connection_log)
{
    enum endpoint_proof before = endpoint_stats_note_success(outlet_stats(outlet));

    connection_log_forget(connection_log, outlet_address(outlet));
    if (before == ENDPOINT_FAILING || (before == ENDPOINT_UNPROVEN && outlet->leg.tls))
        connection_log_works(connection_log, &outlet->leg, outlet_address(outlet));
}

uint64_t outlet_deadline(const struct outlet *outlet)
{
    uint64_t deadline_ms = authentication_deadline_ms(&outlet->authentication);

    return deadline_ms ? deadline_ms : outlet->deadline_ms;
}

const char *outlet_phase(const struct outlet *outlet)
{
    return outlet->has_authenticated ? "shared_key" : outlet_state_name(outlet->state);
}

const char *outlet_detail(const struct outlet *outlet)
{
    return authentication_is_running(&outlet->authentication) ? authentication_detail(&outlet->authentication)
                                                              : leg_detail(&outlet->leg);
}

/* ---- once established ---- */

enum end_reason outlet_judge(struct outlet *outlet)
{
    const struct dialer *dialer = outlet->dialer;
    struct tls_channel *tls = outlet->leg.tls;
    bool is_judged = outlet->generation == dialer->generation;

    if (outlet->state != OUTLET_READY)
        return END_NONE;
    outlet->generation = dialer->generation;
    if (tls && !is_judged)
        tls_life_limit(&outlet->life, tls, dialer->reactor); /* the wall clock may have jumped */
    if (tls && tls_life_is_over(&outlet->life, tls, dialer->reactor))
        return END_EXPIRED;
    if (is_judged)
        return END_NONE;
    if (!tls || !dialer->credentials) /* the route has begun or ceased to use TLS */
        return tls || dialer->credentials ? END_RETIRED : END_NONE;
    if (tls_channel_judge(tls, dialer->credentials) != END_NONE)
        return END_DISTRUSTED;
    tls_life_limit(&outlet->life, tls, dialer->reactor);
    return tls_channel_shows(tls, dialer->credentials) ? END_NONE : END_RETIRED;
}

enum end_reason outlet_check_peer(struct outlet *outlet)
{
    unsigned dead_peer_ms = route_of(outlet)->dead_peer_ms;

    if (!dead_peer_ms || now_ms(outlet) < outlet->check_ms)
        return END_NONE;
    outlet->check_ms = now_ms(outlet) + dead_peer_ms / SOCKET_CHECKS_PER_DEAD_PEER;
    enum end_reason reason = socket_check(outlet->leg.fd, dead_peer_ms);
    return reason == END_DEAD_PEER ? reason : END_NONE; /* reading tells more about a reset */
}
