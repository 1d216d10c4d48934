#include "worker/worker_route.h"

#include "wire/socket.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- accepting ---- */

static void connection_open(struct worker_route *route, int fd, const struct socket_address *peer)
{
    if (route->options.protocol == ROUTE_FORWARD)
        delivery_accept(&route->delivery, fd, peer);
    else
        tunnels_accept(&route->tunnels, fd, peer);
}

/* The worker with the fewest connections of the route, which gets the accepted connection; NULL: this worker.
 * The kernel distributes connections by hash, so a few long connections can be distributed unevenly. */
static struct worker_route *less_loaded(const struct worker_route *route)
{
    unsigned count = atomic_load_explicit(&route->peers->count, memory_order_acquire);
    unsigned least = acceptor_connections(&route->transport.acceptor);
    struct worker_route *best = NULL;

    for (unsigned i = 0; i < count; i++) {
        struct worker_route *other = &route->peers->items[i];
        unsigned connections = acceptor_connections(&other->transport.acceptor);
        if (connections < least) {
            best = other;
            least = connections;
        }
    }
    return best;
}

static void on_accepted(void *owner, int fd, const struct socket_address *peer)
{
    struct worker_route *route = owner, *other = less_loaded(route);

    if (!other) {
        connection_open(route, fd, peer);
        return;
    }
    acceptor_reserve(&other->transport.acceptor);
    if (!mailbox_post(
            other->mailbox,
            (struct mailbox_item) { .kind = MAILBOX_CONNECTION, .route = other, .fd = fd, .peer = *peer }))
        acceptor_unreserve(&other->transport.acceptor);
}

static void connection_receive(struct worker_route *route, const struct mailbox_item *item)
{
    acceptor_claim(&route->transport.acceptor);
    if (route->state ==
        WORKER_ROUTE_BEGUN) /* also when the route retires: the connection was accepted before */
        connection_open(route, item->fd, &item->peer);
    else
        socket_close_by_reset(item->fd);
    acceptor_unclaim(&route->transport.acceptor);
}

/* ---- changes ---- */

/* The first connection uses the current addresses, credentials and options of the route. */
static void first_await(struct worker_route *route)
{
    if (route->is_first)
        delivery_await_first(&route->delivery);
}

/* The settings have changed: a failure that the log has left out lately is news. */
static void failures_forget(struct worker_route *route)
{
    connection_log_forget(&route->transport.connection_log, NULL);
}

/* Takes a reference to `credentials`. */
static void credentials_set(struct worker_route *route, enum side side, struct credentials *credentials)
{
    if (side == SIDE_DOWNSTREAM)
        acceptor_set_credentials(&route->transport.acceptor, credentials);
    else
        dialer_set_credentials(&route->transport.dialer, credentials);
}

static void credentials_change(struct worker_route *route, const struct mailbox_item *item)
{
    credentials_set(route, item->side, item->credentials);
    if (item->side == SIDE_UPSTREAM)
        first_await(route);
    failures_forget(route);
    delivery_credentials_changed(&route->delivery);
    tunnels_credentials_changed(&route->tunnels);
}

/* Connections learn of the change when all of it is made: none runs with new options and old credentials. */
static void change(struct worker_route *route, const struct worker_route_change *to)
{
    const struct route_options before = route->options;

    delivery_prepare_options(&route->delivery);
    route->options = to->options;
    if (before.dead_peer_ms != to->options.dead_peer_ms)
        listener_tune(&route->listener, to->options.dead_peer_ms);
    for (enum side side = 0; side < SIDE_COUNT; side++)
        credentials_set(route, side, to->credentials[side] ? credentials_share(to->credentials[side]) : NULL);
    if (to->endpoints)
        dialer_set_endpoints(&route->transport.dialer, endpoint_list_share(to->endpoints));
    dialer_options_changed(&route->transport.dialer);
    failures_forget(route);
    acceptor_options_changed(&route->transport.acceptor);
    delivery_credentials_changed(&route->delivery);
    delivery_options_changed(&route->delivery, &before);
    first_await(route);
    delivery_endpoints_changed(&route->delivery);
    tunnels_options_changed(&route->tunnels);
    tunnels_endpoints_changed(&route->tunnels);
}

static void endpoints_change(struct worker_route *route, const struct mailbox_item *item)
{
    dialer_set_endpoints(&route->transport.dialer, item->endpoints);
    delivery_endpoints_changed(&route->delivery);
    tunnels_endpoints_changed(&route->tunnels);
}

/* The listener may be closed, with its sockets, because the route retires; and it may still have sockets
 * whose MAILBOX_UNLISTEN found no memory. */
static void listen_change(struct worker_route *route, const struct mailbox_item *item)
{
    struct listener *listener = &route->listener;

    if (item->kind == MAILBOX_UNLISTEN && listener_is_open(listener)) {
        listener_remove(listener, item->fd);
    } else if (item->kind == MAILBOX_LISTEN && listener_make_space(listener)) {
        socket_tune(item->fd, route->options.dead_peer_ms);
        const struct listener_fd fd = { .number = item->fd, .is_of_manager = item->is_of_manager };
        listener_add(listener, &fd);
    } else if (item->kind == MAILBOX_LISTEN) {
        close(item->fd);
    }
}

static void mode_set(struct worker_route *route, enum listener_mode mode)
{
    if (listener_is_open(&route->listener))
        listener_set_mode(&route->listener, mode);
}

/* Messages that the route has given up, without those that their agents send again. */
static uint64_t given_up(const struct worker_route *route)
{
    uint64_t sum = 0;

    for (enum end_reason reason = 0; reason < END_REASON_COUNT; reason++) {
        if (reason != END_LEFT)
            sum += metrics_read(&route->transport.metrics.messages.dropped[reason]);
    }
    return sum;
}

/* Connections that wait at a socket are taken, and retire as the others: husk reads what they have sent. A
 * tunnel has no end between two messages: it goes on until MAILBOX_END. */
static void retire(struct worker_route *route, void (*end)(struct listener *listener))
{
    if (listener_is_open(&route->listener))
        end(&route->listener);
    route->is_first = false;
    route->given_up_before = given_up(route);
    delivery_retire(&route->delivery);
}

void worker_route_receive(struct worker_route *route, const struct mailbox_item *item)
{
    switch (item->kind) {
    case MAILBOX_CHANGE:
        change(route, item->change);
        break;
    case MAILBOX_CREDENTIALS:
        credentials_change(route, item);
        break;
    case MAILBOX_ENDPOINTS:
        endpoints_change(route, item);
        break;
    case MAILBOX_LISTEN:
    case MAILBOX_UNLISTEN:
        listen_change(route, item);
        break;
    case MAILBOX_REFUSE:
        mode_set(route, LISTENER_REFUSING);
        break;
    case MAILBOX_ADMIT:
        mode_set(route, LISTENER_LISTENING);
        break;
    case MAILBOX_CONNECTION:
        connection_receive(route, item);
        break;
    case MAILBOX_DRAIN:
        route->is_first = false;
        delivery_drain(&route->delivery);
        break;
    case MAILBOX_SHED:
        delivery_shed(&route->delivery);
        break;
    case MAILBOX_RETIRE:
        retire(route, listener_finish);
        break;
    case MAILBOX_HAND_OVER:
        retire(route, listener_hand_over);
        break;
    case MAILBOX_END:
        worker_route_end(route);
        break;
    case MAILBOX_BEGIN:
    case MAILBOX_FORGET:
    case MAILBOX_SIGNATURES:
    case MAILBOX_FENCE:
    case MAILBOX_STOP:
        assert(!"an item for the worker");
        break;
    }
}

/* ---- life ---- */

bool worker_route_init(struct worker_route *route, const struct worker_route_options *options,
                       struct credentials *const credentials[SIDE_COUNT], struct fault *fault)
{
    *route = (struct worker_route) {
        .mailbox = options->mailbox,
        .log = options->log,
        .peers = options->peers,
        .is_first = options->is_first,
        .options = *options->route,
    };
    transport_init(&route->transport, options->reactor, &route->options, options->log, credentials);
    tunnels_init(&route->tunnels, &route->transport);
    if (!delivery_open(&route->delivery, &route->transport, fault))
        return false;
    first_await(route); /* the worker dials when it is told of an address */
    return true;
}

void worker_route_set_fds(struct worker_route *route, struct listener_fds *fds)
{
    route->fds = malloc(fds->count * sizeof route->fds[0]);
    if (!route->fds) {
        log_say(route->log, LOG_ERROR, "cannot listen: out of memory");
        listener_fds_close(fds);
        return;
    }
    memcpy(route->fds, fds->items, fds->count * sizeof route->fds[0]);
    route->fd_count = fds->count;
}

void worker_route_begin(struct worker_route *route)
{
    const struct listener_options listener = {
        .loop = route->transport.reactor->loop,
        .fds = route->fds,
        .fd_count = route->fd_count,
        .metrics = &route->transport.metrics,
        .log = route->log,
        .on_accepted = on_accepted,
        .owner = route,
    };

    route->state = WORKER_ROUTE_BEGUN;
    listener_open(&route->listener, &listener);
    free(route->fds);
    route->fds = NULL;
    listener_tune(&route->listener, route->options.dead_peer_ms);
    admission_init(&route->admission, &route->transport.acceptor, &route->listener);
}

void worker_route_end(struct worker_route *route)
{
    if (route->state != WORKER_ROUTE_BEGUN)
        return;
    route->state = WORKER_ROUTE_ENDED;
    if (listener_is_open(&route->listener))
        listener_close(&route->listener);
    route->given_up = given_up(route) - route->given_up_before;
    route->left_behind = tunnels_close(&route->tunnels) + delivery_end(&route->delivery);
    refusals_close(&route->transport.refusals);
    admission_close(&route->admission);
    connection_log_close(&route->transport.connection_log);
}

void worker_route_deinit(struct worker_route *route)
{
    if (route->state == WORKER_ROUTE_FREED || !route->mailbox)
        return;
    assert(route->state != WORKER_ROUTE_BEGUN);
    route->state = WORKER_ROUTE_FREED;
    for (unsigned i = 0; route->fds && i < route->fd_count; i++)
        close(route->fds[i].number);
    free(route->fds);
    route->fds = NULL;
    delivery_close(&route->delivery);
    transport_deinit(&route->transport);
}
