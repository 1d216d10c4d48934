#include "worker/worker.h"

#include "trust/token_results.h"

#include <signal.h>

/* ---- the mailbox ---- */

/* A route has not begun if there was no memory for MAILBOX_BEGIN. */
static void route_forget(struct worker_route *route)
{
    if (route->state != WORKER_ROUTE_NEW)
        LIST_REMOVE(route, sibling);
    worker_route_deinit(route);
}

static void routes_end(struct worker *worker)
{
    struct worker_route *route;

    LIST_FOREACH (route, &worker->routes, sibling)
        worker_route_end(route);
    reactor_stop(&worker->reactor);
}

static void on_item(void *owner, const struct mailbox_item *item)
{
    struct worker *worker = owner;

    switch (item->kind) {
    case MAILBOX_STOP:
        routes_end(worker);
        break;
    case MAILBOX_BEGIN:
        LIST_INSERT_HEAD(&worker->routes, item->route, sibling);
        worker_route_begin(item->route);
        break;
    case MAILBOX_FORGET:
        route_forget(item->route);
        break;
    case MAILBOX_SIGNATURES:
        token_results_deliver(worker->results);
        break;
    case MAILBOX_FENCE:
        break;
    default:
        worker_route_receive(item->route, item);
        break;
    }
}

/* In a thread of a token. No signature waits in `results`, so the item is not in the mailbox: the worker has
 * handled it before it has emptied `results`. */
static void on_result(void *owner)
{
    struct worker *worker = owner;

    mailbox_put(&worker->mailbox, &worker->signatures);
}

/* ---- start and end ---- */

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

bool worker_start(struct worker *worker, struct fault *fault)
{
    *worker = (struct worker) { 0 };
    LIST_INIT(&worker->routes);
    if (!reactor_open(&worker->reactor, fault)) {
        reactor_close(&worker->reactor);
        return false;
    }
    mailbox_open(&worker->mailbox, worker->reactor.loop, on_item, worker);
    worker->signatures = (struct mailbox_item) { .kind = MAILBOX_SIGNATURES };
    worker->results = token_results_new(on_result, worker);
    worker->reactor.io.tls.results = worker->results;
    if (!worker->results) {
        fault_set(fault, "out of memory");
        worker_free(worker);
        return false;
    }
    if (thread_start(worker))
        return true;
    fault_set(fault, "cannot start a thread");
    worker_free(worker);
    return false;
}

void worker_stop(struct worker *worker)
{
    worker->stop = (struct mailbox_item) { .kind = MAILBOX_STOP };
    mailbox_put(&worker->mailbox, &worker->stop);
}

void worker_join(struct worker *worker)
{
    pthread_join(worker->thread, NULL);
}

void worker_close_mailbox(struct worker *worker)
{
    token_results_close(worker->results);
    mailbox_close(&worker->mailbox);
}

void worker_free(struct worker *worker)
{
    mailbox_close(&worker->mailbox);
    reactor_close(&worker->reactor);
    token_results_release(worker->results);
}
