#include "worker/worker.h"

#include "wire/socket.h"

#include <signal.h>

/* ---- accepting ---- */

static void connection_open(struct worker *worker, int fd, const struct socket_address *peer)
{
    if (worker->transport.route->protocol == ROUTE_FORWARD)
        delivery_accept(&worker->delivery, fd, peer);
    else
        tunnels_accept(&worker->tunnels, fd, peer);
}

/* The worker with the fewest connections, which gets the accepted connection; NULL: this worker. The kernel
 * distributes connections by hash, so a few long connections can be distributed unevenly. */
static struct worker *less_loaded(const struct worker *worker)
{
    unsigned count = atomic_load_explicit(&worker->peers->count, memory_order_acquire);
    unsigned least = acceptor_connections(&worker->transport.acceptor);
    struct worker *best = NULL;

    for (unsigned i = 0; i < count; i++) {
        struct worker *other = &worker->peers->workers[i];
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
    struct worker *worker = owner, *other = less_loaded(worker);

    if (!other) {
        connection_open(worker, fd, peer);
        return;
    }
    acceptor_reserve(&other->transport.acceptor);
    if (!mailbox_post(&other->mailbox,
                      (struct mailbox_item) { .kind = MAILBOX_CONNECTION, .fd = fd, .peer = *peer }))
        acceptor_unreserve(&other->transport.acceptor);
}

static void connection_receive(struct worker *worker, const struct mailbox_item *item)
{
    acceptor_unreserve(&worker->transport.acceptor);
    if (listener_is_open(&worker->listener))
        connection_open(worker, item->fd, &item->peer);
    else
        socket_close_by_reset(item->fd);
}

/* ---- the mailbox ---- */

static void credentials_change(struct worker *worker, const struct mailbox_item *item)
{
    if (item->side == SIDE_DOWNSTREAM)
        acceptor_set_credentials(&worker->transport.acceptor, item->credentials);
    else
        dialer_set_credentials(&worker->transport.dialer, item->credentials);
    delivery_credentials_changed(&worker->delivery);
    tunnels_credentials_changed(&worker->tunnels);
}

static void endpoints_change(struct worker *worker, const struct mailbox_item *item)
{
    dialer_set_endpoints(&worker->transport.dialer, item->endpoints);
    delivery_endpoints_changed(&worker->delivery);
    tunnels_endpoints_changed(&worker->tunnels);
}

static void stop(struct worker *worker)
{
    listener_close(&worker->listener);
    unsigned left_behind = tunnels_close(&worker->tunnels) + delivery_end(&worker->delivery);
    refusals_close(&worker->transport.refusals);
    worker->left_behind = left_behind;
    connection_log_close(&worker->transport.connection_log);
    reactor_stop(&worker->reactor);
}

static void on_item(void *owner, const struct mailbox_item *item)
{
    struct worker *worker = owner;

    switch (item->kind) {
    case MAILBOX_CREDENTIALS:
        credentials_change(worker, item);
        break;
    case MAILBOX_ENDPOINTS:
        endpoints_change(worker, item);
        break;
    case MAILBOX_REFUSE:
        listener_set_mode(&worker->listener, LISTENER_REFUSING);
        break;
    case MAILBOX_ADMIT:
        listener_set_mode(&worker->listener, LISTENER_LISTENING);
        break;
    case MAILBOX_CONNECTION:
        connection_receive(worker, item);
        break;
    case MAILBOX_DRAIN:
        delivery_drain(&worker->delivery);
        break;
    case MAILBOX_STOP:
        stop(worker);
        break;
    }
}

/* ---- start and end ---- */

static void worker_deinit(struct worker *worker)
{
    delivery_close(&worker->delivery);
    transport_deinit(&worker->transport);
    reactor_close(&worker->reactor);
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;

    reactor_run(&worker->reactor);
    return NULL;
}

/* The control thread handles the signals of the process; a worker must not receive them. */
static bool thread_start(struct worker *worker)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&worker->thread, NULL, worker_main, worker) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

static void accepting_start(struct worker *worker, const struct worker_options *options,
                            const struct listener_fds *fds)
{
    struct reactor *reactor = &worker->reactor;
    const struct listener_options listener = {
        .loop = reactor->loop,
        .fds = *fds,
        .metrics = &worker->transport.metrics,
        .log = options->log,
        .on_accepted = on_accepted,
        .owner = worker,
    };

    mailbox_open(&worker->mailbox, reactor->loop, on_item, worker);
    for (unsigned i = 0; i < fds->count; i++)
        socket_tune(fds->items[i], options->route->dead_peer_ms);
    listener_open(&worker->listener, &listener);
    admission_init(&worker->admission, &worker->transport.acceptor, &worker->listener);
}

bool worker_start(struct worker *worker, const struct worker_options *options, struct listener_fds *fds,
                  struct credentials *const credentials[SIDE_COUNT], struct fault *fault)
{
    *worker = (struct worker) { .peers = options->peers };
    bool is_open = reactor_open(&worker->reactor, fault);

    transport_init(&worker->transport, &worker->reactor, options->route, options->log, credentials);
    tunnels_init(&worker->tunnels, &worker->transport);
    if (!is_open || !delivery_open(&worker->delivery, &worker->transport, fault)) {
        listener_fds_close(fds);
        worker_deinit(worker);
        return false;
    }
    accepting_start(worker, options, fds);
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
