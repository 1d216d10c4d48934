#include "tcp/tunnel.h"

#include "wire/socket.h"

#include <stdlib.h>

enum {
    STEP_BYTES = 256 * 1024, /* moved per step, so that one busy connection does not delay others */
    UNSENT_CHECK_MS = 20,    /* how often husk asks the kernel whether all bytes are sent */
    UNREAD_CHECK_MS = 500    /* how often husk checks a peer that it does not read */
};

static struct reactor *reactor_of(const struct tunnel *tunnel)
{
    return tunnel->tunnels->transport->reactor;
}

static const struct route_options *route_of(const struct tunnel *tunnel)
{
    return tunnel->tunnels->transport->route;
}

static uint64_t now_ms(const struct tunnel *tunnel)
{
    return reactor_of(tunnel)->now_ms;
}

static struct leg *tunnel_leg(struct tunnel *tunnel, enum side side)
{
    return side == SIDE_DOWNSTREAM ? &tunnel->inlet.leg : &tunnel->outlet.leg;
}

static enum side other(enum side side)
{
    return side == SIDE_DOWNSTREAM ? SIDE_UPSTREAM : SIDE_DOWNSTREAM;
}

/* ---- end ---- */

static const char *state_name(const struct tunnel *tunnel)
{
    switch (tunnel->state) {
    case TUNNEL_ADMITTING:
        return tunnel->inlet.state == INLET_SECURING ? "handshake" : "wait";
    case TUNNEL_DIALLING:
        return outlet_state_name(tunnel->outlet.state);
    default:
        return "relay";
    }
}

static void tunnel_log(struct tunnel *tunnel, enum side side, enum end_reason reason)
{
    const struct connection_end end = {
        .side = side,
        .reason = reason,
        .phase = state_name(tunnel),
        .detail = leg_detail(tunnel_leg(tunnel, side)),
        .leg = tunnel_leg(tunnel, side),
        .inlet = &tunnel->inlet.leg,
        .peer = &tunnel->inlet.peer,
        .upstream = outlet_address(&tunnel->outlet),
        .opened_ms = tunnel->inlet.accepted_ms,
    };

    connection_log_write(&tunnel->tunnels->transport->connection_log, &end);
}

/* Frees everything but the struct, which the reactor frees. */
static void tunnel_close(struct tunnel *tunnel, enum leg_closing closing)
{
    tunnel->state = TUNNEL_ENDED;
    tunnel->tunnels->held_bytes -= tunnel->held_bytes;
    inlet_close(&tunnel->inlet, closing);
    outlet_close(&tunnel->outlet, closing);
    buffer_clear(&tunnel->pending[SIDE_DOWNSTREAM]);
    buffer_clear(&tunnel->pending[SIDE_UPSTREAM]);
    timer_stop(&tunnel->timer);
    sweep_forget(&tunnel->tunnels->sweep, &tunnel->task);
    LIST_REMOVE(tunnel, sibling);
    reactor_reap(reactor_of(tunnel), &tunnel->task);
}

static void tunnel_count_end(struct tunnel *tunnel, enum side side, enum end_reason reason)
{
    struct side_metrics *metrics = tunnel->tunnels->transport->metrics.side;
    bool both = reason == END_CLOSED || reason == END_SHUTDOWN;

    if (tunnel_leg(tunnel, side)->fd < 0)
        metrics_add(&metrics[side].opened, 1); /* a dial that failed before it had a descriptor */
    metrics_add(&metrics[side].ended[reason], 1);
    if (tunnel_leg(tunnel, other(side))->fd >= 0)
        metrics_add(&metrics[other(side)].ended[both ? reason : END_OTHER_SIDE], 1);
}

/* Whether no byte of a peer waits in husk, or unread in the kernel. */
static bool tunnel_is_drained(struct tunnel *tunnel)
{
    if (tunnel->inlet.state == INLET_SECURING)
        return true; /* what is unread belongs to the TLS handshake */
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        struct leg *leg = tunnel_leg(tunnel, side);
        if (tunnel->pending[side].length || leg->unsent.length ||
            (leg->fd >= 0 && !leg->read_over && socket_peek(leg->fd) == SOCKET_HAS_DATA))
            return false;
    }
    return true;
}

static void tunnel_end(struct tunnel *tunnel, enum side side, enum end_reason reason)
{
    /* A peer whose bytes may be lost must see a reset, so that it sends them again. */
    bool in_order = end_reason_is_orderly(reason) && tunnel_leg(tunnel, side)->broken == END_NONE;
    enum leg_closing closing = in_order && tunnel_is_drained(tunnel) ? LEG_CLOSE : LEG_RESET;

    tunnel_count_end(tunnel, side, reason);
    tunnel_log(tunnel, side, reason);
    for (enum side each = 0; each < SIDE_COUNT && closing == LEG_CLOSE; each++) {
        struct leg *leg = tunnel_leg(tunnel, each);
        if (leg->fd >= 0 && leg_is_secured(leg))
            (void)leg_finish(leg);
    }
    tunnel_close(tunnel, closing);
}

/* ---- judging ---- */

/* Until the upstream is connected, no byte is delivered: the tunnel ends at once. */
static void tunnel_retire(struct tunnel *tunnel, enum side side, enum end_reason reason)
{
    tunnel->retires_for = reason;
    tunnel->retiring_side = side;
    tunnel->inlet.life = tunnel->outlet.life = (struct lifetime) { 0 };
    if (tunnel->state != TUNNEL_RELAYING)
        tunnel_end(tunnel, side, reason);
}

/* Judges each peer once by each new set of credentials, and finds certificates that end. husk cannot replace
 * a tunnel: the tunnel stays although our certificate has changed. */
static void tunnel_judge(struct tunnel *tunnel)
{
    enum end_reason reason;

    if (tunnel->retires_for != END_NONE)
        return;
    if ((reason = inlet_judge(&tunnel->inlet)) != END_NONE)
        tunnel_retire(tunnel, SIDE_DOWNSTREAM, reason);
    else if ((reason = outlet_judge(&tunnel->outlet)) != END_NONE && reason != END_RETIRED)
        tunnel_retire(tunnel, SIDE_UPSTREAM, reason);
}

/* ---- relaying ---- */

/* Whether the other side's socket has taken all bytes that were read from `side`. */
static bool relay_is_drained(struct tunnel *tunnel, enum side side)
{
    return !tunnel->pending[side].length && !tunnel_leg(tunnel, other(side))->unsent.length;
}

/* Counts what the tunnel holds. */
static void held_count(struct tunnel *tunnel)
{
    uint64_t before = tunnel->held_bytes;

    tunnel->held_bytes = tunnel->pending[SIDE_DOWNSTREAM].length + tunnel->pending[SIDE_UPSTREAM].length +
                         tunnel->inlet.leg.unsent.length + tunnel->outlet.leg.unsent.length;
    tunnel->tunnels->held_bytes += tunnel->held_bytes - before;
}

/* The tunnels of the route hold this worker's part of --retain-bytes. */
static bool memory_is_full(const struct tunnel *tunnel)
{
    return tunnel->tunnels->held_bytes >= route_of(tunnel)->retain_bytes;
}

/* How many bytes of `side` the tunnel may hold; 0: the tunnel does not read now. Reading waits until half of
 * the buffer is free, so that reads are large. While the memory is full, a tunnel reads little, and only when
 * the other side has taken everything: a peer that does not read costs little more, and delays no other
 * tunnel. */
static size_t relay_window(struct tunnel *tunnel, enum side side)
{
    size_t buffer_bytes = route_of(tunnel)->buffer_bytes;

    if (tunnel->retires_for != END_NONE || tunnel_leg(tunnel, side)->read_over ||
        tunnel_leg(tunnel, other(side))->broken != END_NONE)
        return 0;
    if (memory_is_full(tunnel))
        return relay_is_drained(tunnel, side) ? LEG_LEAST_WINDOW_BYTES : 0;
    return tunnel->pending[side].length <= buffer_bytes / 2 ? buffer_bytes : 0;
}

/* Moves bytes from `side` to the other side once. Returns the number of bytes read and written, plus 1 for a
 * new end or failure. */
static size_t relay_move(struct tunnel *tunnel, enum side side)
{
    struct leg *from = tunnel_leg(tunnel, side);
    struct leg *to = tunnel_leg(tunnel, other(side));
    struct buffer *pending = &tunnel->pending[side];
    size_t moved = 0, before = pending->length, window = relay_window(tunnel, side);

    if (window) {
        (void)leg_read(from, pending, window);
        moved = pending->length - before + from->read_over;
    }
    if (pending->length || to->unsent.length) {
        before = pending->length;
        bool was_broken = to->broken != END_NONE;
        if (leg_write(to, pending) == LEG_BROKEN) {
            buffer_clear(pending);
            moved += !was_broken;
        } else {
            moved += before - pending->length;
        }
    }
    held_count(tunnel);
    return moved;
}

/* Whether the peers have all bytes that were read. At a reset the kernel discards bytes that the kernel has
 * not sent yet. */
static bool relay_is_delivered(struct tunnel *tunnel)
{
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        const struct leg *to = tunnel_leg(tunnel, other(side));
        if (!relay_is_drained(tunnel, side) || (to->broken == END_NONE && socket_unsent(to->fd)))
            return false;
    }
    return true;
}

/* Passes on the end of a direction, or ends the tunnel. True when the tunnel has ended. */
static bool relay_pass_ends(struct tunnel *tunnel)
{
    bool finished = true;

    for (enum side side = 0; side < SIDE_COUNT; side++) {
        struct leg *from = tunnel_leg(tunnel, side);
        struct leg *to = tunnel_leg(tunnel, other(side));
        bool over = from->read_over && relay_is_drained(tunnel, side);
        /* A reset would make the kernel discard bytes that it has not sent yet. */
        if (from->broken != END_NONE && over && to->broken == END_NONE && socket_unsent(to->fd))
            return false;
        if (from->broken != END_NONE && (over || to->broken != END_NONE)) {
            tunnel_end(tunnel, side, from->broken);
            return true;
        }
        if (over && to->broken == END_NONE)
            (void)leg_finish(to);
        finished = finished && over && to->finished;
    }
    if (finished)
        tunnel_end(tunnel, SIDE_DOWNSTREAM, END_CLOSED);
    else if (tunnel->retires_for != END_NONE && relay_is_delivered(tunnel))
        tunnel_end(tunnel, tunnel->retiring_side, tunnel->retires_for);
    return tunnel->state == TUNNEL_ENDED;
}

/* Whether the tunnel ends when the last bytes are delivered. */
static bool relay_ends(const struct tunnel *tunnel)
{
    return tunnel->inlet.leg.broken != END_NONE || tunnel->outlet.leg.broken != END_NONE ||
           tunnel->retires_for != END_NONE;
}

/* When to check both peers again. */
static uint64_t relay_next_check(struct tunnel *tunnel)
{
    unsigned dead_peer_ms = route_of(tunnel)->dead_peer_ms;
    bool all_are_read = relay_window(tunnel, SIDE_DOWNSTREAM) && relay_window(tunnel, SIDE_UPSTREAM);
    bool ends = relay_ends(tunnel);
    uint64_t interval_ms = dead_peer_ms ? dead_peer_ms / SOCKET_CHECKS_PER_DEAD_PEER : UINT32_MAX;

    if (!all_are_read && interval_ms > UNREAD_CHECK_MS)
        interval_ms = UNREAD_CHECK_MS;
    return now_ms(tunnel) + (ends ? UNSENT_CHECK_MS : interval_ms);
}

static void relay_step(struct tunnel *tunnel)
{
    size_t moved, total = 0;

    do {
        moved = relay_move(tunnel, SIDE_DOWNSTREAM) + relay_move(tunnel, SIDE_UPSTREAM);
        total += moved;
    } while (moved && total < STEP_BYTES);
    if (total) {
        tunnel->progress_ms = now_ms(tunnel);
        tunnel->linger_ms = 0;
    }
    if (relay_pass_ends(tunnel))
        return;
    if (moved)
        reactor_queue(reactor_of(tunnel), &tunnel->task);
    if (relay_ends(tunnel) && !tunnel->linger_ms)
        tunnel->linger_ms = now_ms(tunnel) + route_of(tunnel)->linger_timeout_ms;
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        bool reads = relay_window(tunnel, side) > 0;
        leg_watch(tunnel_leg(tunnel, side), reads ? LEG_READ : LEG_NO_READ);
        if (!reads)
            tunnel->check_ms = timer_earlier(tunnel->check_ms, relay_next_check(tunnel));
    }
}

/* ---- from accept to relay ---- */

static void admit_step(struct tunnel *tunnel)
{
    struct step step = inlet_advance(&tunnel->inlet, &tunnel->pending[SIDE_DOWNSTREAM]);

    switch (step.outcome) {
    case STEP_GOES_ON:
        tunnel->state = TUNNEL_DIALLING;
        break;
    case STEP_WAITS:
        inlet_watch(&tunnel->inlet);
        break;
    case STEP_ENDS:
        tunnel_end(tunnel, SIDE_DOWNSTREAM, step.reason);
        break;
    }
}

/* The upstream has changed during the dial: the peer has not noticed anything. */
static void dial_again(struct tunnel *tunnel)
{
    struct transport *transport = tunnel->tunnels->transport;

    outlet_count_end(&tunnel->outlet, END_RETIRED);
    outlet_close(&tunnel->outlet, LEG_CLOSE);
    outlet_open(&tunnel->outlet, &transport->dialer, &tunnel->task);
    buffer_clear(&tunnel->pending[SIDE_UPSTREAM]);
    reactor_queue(transport->reactor, &tunnel->task);
}

static void dial_step(struct tunnel *tunnel)
{
    struct leg *inlet = &tunnel->inlet.leg;
    enum inlet_activity activity = inlet_poll(&tunnel->inlet, &tunnel->pending[SIDE_DOWNSTREAM]);

    /* A peer that has sent bytes stays unread until the upstream is ready, also if its connection breaks. */
    if (activity == INLET_GONE) {
        tunnel_end(tunnel, SIDE_DOWNSTREAM, inlet_departure(&tunnel->inlet));
        return;
    }
    struct step step = outlet_advance(&tunnel->outlet, &tunnel->pending[SIDE_UPSTREAM]);
    if (step.outcome == STEP_ENDS && step.reason == END_RETIRED) {
        dial_again(tunnel);
        return;
    }
    if (step.outcome != STEP_WAITS)
        dialer_report(&tunnel->tunnels->transport->dialer, step.reason);
    if (step.outcome == STEP_ENDS) {
        tunnel_end(tunnel, SIDE_UPSTREAM, step.reason);
        return;
    }
    tunnel->check_ms = now_ms(tunnel) + UNREAD_CHECK_MS;
    if (step.outcome == STEP_GOES_ON) {
        outlet_report_works(&tunnel->outlet, &tunnel->tunnels->transport->connection_log);
        tunnel->state = TUNNEL_RELAYING;
        return;
    }
    leg_watch(inlet, activity == INLET_SILENT ? LEG_READ : LEG_NO_READ);
    outlet_watch(&tunnel->outlet);
}

/* ---- deadlines ---- */

/* When a relaying tunnel without progress ends; 0: never. */
static uint64_t idle_deadline(struct tunnel *tunnel)
{
    const struct route_options *route = route_of(tunnel);
    bool half_closed = tunnel->inlet.leg.read_over || tunnel->outlet.leg.read_over;
    uint64_t timeout_ms =
        timer_earlier(route->idle_timeout_ms, half_closed ? route->half_close_timeout_ms : 0);

    return timeout_ms ? tunnel->progress_ms + timeout_ms : 0;
}

static uint64_t tunnel_deadline(struct tunnel *tunnel)
{
    switch (tunnel->state) {
    case TUNNEL_ADMITTING:
        return tunnel->inlet.deadline_ms;
    case TUNNEL_DIALLING:
        return timer_earlier(tunnel->outlet.deadline_ms, tunnel->check_ms);
    case TUNNEL_RELAYING:
        return timer_earlier(
            timer_earlier(timer_earlier(tunnel->linger_ms, tunnel->check_ms), idle_deadline(tunnel)),
            timer_earlier(tunnel->inlet.life.due_ms, tunnel->outlet.life.due_ms));
    case TUNNEL_ENDED:
        break;
    }
    return 0;
}

/* Whether the tunnel goes on after a reset from `side`. Bytes and an end that the peer sent before its reset
 * still go to the other side, within --half-close-timeout. */
static bool relay_outlives_reset(struct tunnel *tunnel, enum side side)
{
    unsigned timeout_ms = route_of(tunnel)->half_close_timeout_ms;

    return relay_window(tunnel, side) || !timeout_ms || now_ms(tunnel) < tunnel->progress_ms + timeout_ms;
}

/* Ends the tunnel if a peer is dead, or has reset its connection while husk does not read it. True when the
 * tunnel has ended. */
static bool relay_end_if_peer_lost(struct tunnel *tunnel)
{
    unsigned dead_peer_ms = route_of(tunnel)->dead_peer_ms;

    tunnel->check_ms = relay_next_check(tunnel);
    for (enum side side = 0; side < SIDE_COUNT; side++) {
        struct leg *leg = tunnel_leg(tunnel, side);
        enum end_reason reason = leg->send_error ? END_RESET : socket_check(leg->fd, dead_peer_ms);
        if (reason == END_NONE || leg->broken != END_NONE ||
            (reason == END_RESET && relay_outlives_reset(tunnel, side)))
            continue; /* reading tells more */
        leg_break(leg, reason);
        tunnel_end(tunnel, side, reason);
        return true;
    }
    return false;
}

/* Ends a relaying tunnel after one of its deadlines. The steps of the other states check their deadlines
 * themselves. */
static void relay_end_if_late(struct tunnel *tunnel)
{
    uint64_t now = now_ms(tunnel), idle = idle_deadline(tunnel);

    if (tunnel->linger_ms && now >= tunnel->linger_ms) {
        enum side side = tunnel->inlet.leg.broken != END_NONE ? SIDE_DOWNSTREAM : SIDE_UPSTREAM;
        enum end_reason broken = tunnel_leg(tunnel, side)->broken;
        if (broken != END_NONE)
            tunnel_end(tunnel, side, broken);
        else
            tunnel_end(tunnel, tunnel->retiring_side, tunnel->retires_for);
        return;
    }
    if (tunnel->check_ms && now >= tunnel->check_ms && relay_end_if_peer_lost(tunnel))
        return;
    if (idle && now >= idle)
        tunnel_end(tunnel, SIDE_DOWNSTREAM, END_IDLE);
}

/* Reacts to every event: moves bytes until nothing moves or STEP_BYTES have moved, then sets the watchers and
 * the timer from the state. */
static void tunnel_step(struct tunnel *tunnel)
{
    if (tunnel->state == TUNNEL_ADMITTING)
        admit_step(tunnel);
    if (tunnel->state != TUNNEL_ENDED)
        tunnel_judge(tunnel);
    if (tunnel->state == TUNNEL_DIALLING)
        dial_step(tunnel);
    if (tunnel->state == TUNNEL_RELAYING) {
        relay_step(tunnel);
        if (tunnel->state == TUNNEL_RELAYING)
            relay_end_if_late(tunnel);
    }
    if (tunnel->state != TUNNEL_ENDED)
        timer_set(&tunnel->timer, tunnel_deadline(tunnel));
}

/* ---- open and stop ---- */

static void on_task(void *task)
{
    tunnel_step(task);
}

void tunnel_open(struct tunnels *tunnels, int fd, const struct socket_address *peer)
{
    struct transport *transport = tunnels->transport;
    struct reactor *reactor = transport->reactor;
    struct tunnel *tunnel = calloc(1, sizeof *tunnel);

    if (!tunnel) {
        socket_close_by_reset(fd);
        return;
    }
    tunnel->tunnels = tunnels;
    tunnel->task.run = on_task;
    tunnel->progress_ms = reactor->now_ms;
    timer_init(&tunnel->timer, reactor, on_task, &tunnel->task);
    buffer_init(&tunnel->pending[SIDE_DOWNSTREAM], &reactor->pool);
    buffer_init(&tunnel->pending[SIDE_UPSTREAM], &reactor->pool);
    LIST_INSERT_HEAD(&tunnels->list, tunnel, sibling);
    outlet_open(&tunnel->outlet, &transport->dialer, &tunnel->task);
    inlet_open(&tunnel->inlet, transport, fd, peer, &tunnel->task);
    tunnel_step(tunnel);
}

bool tunnel_stop(struct tunnel *tunnel)
{
    bool is_drained = tunnel_is_drained(tunnel);

    tunnel_end(tunnel, SIDE_DOWNSTREAM, END_SHUTDOWN);
    return is_drained;
}
