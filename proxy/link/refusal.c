#include "link/refusal.h"

#include "runtime/timer.h"

#include <stdlib.h>

struct refusal {
    struct task task; /* first */
    LIST_ENTRY(refusal) sibling;
    struct refusals *refusals; /* borrowed: the refusal is in its list */
    struct leg leg;
    bool has_flight; /* the handshake has failed, and `flight` reads what comes */
    struct flight flight;
    uint64_t deadline_ms; /* on the reactor's clock */
    struct timer timer;
};

static struct reactor *reactor_of(const struct refusal *refusal)
{
    return refusal->refusals->acceptor->reactor;
}

static void refusal_end(struct refusal *refusal, enum leg_closing closing)
{
    leg_close(&refusal->leg, closing);
    acceptor_count(refusal->refusals->acceptor, -1);
    timer_stop(&refusal->timer);
    LIST_REMOVE(refusal, sibling);
    reactor_reap(reactor_of(refusal), &refusal->task);
}

/* Reads once: the watcher reports further bytes. */
static void on_task(void *task)
{
    struct refusal *refusal = task;

    enum leg_status status = leg_discard(&refusal->leg, refusal->has_flight ? &refusal->flight : NULL);
    if (refusal->flight.has_data) {
        refusal_end(refusal, LEG_RESET);
        return;
    }
    leg_shut(&refusal->leg);
    if (status == LEG_ENDED || status == LEG_BROKEN || reactor_of(refusal)->now_ms >= refusal->deadline_ms) {
        refusal_end(refusal, LEG_CLOSE);
    } else {
        leg_watch(&refusal->leg, LEG_READ);
        timer_set(&refusal->timer, refusal->deadline_ms);
    }
}

void refusals_init(struct refusals *refusals, struct acceptor *acceptor)
{
    *refusals = (struct refusals) { .acceptor = acceptor };
    LIST_INIT(&refusals->list);
}

void refusals_close(struct refusals *refusals)
{
    while (!LIST_EMPTY(&refusals->list))
        refusal_end(LIST_FIRST(&refusals->list), LEG_CLOSE);
}

bool refusals_take(struct refusals *refusals, struct leg *leg, const struct flight *flight)
{
    struct acceptor *acceptor = refusals->acceptor;
    struct refusal *refusal = calloc(1, sizeof *refusal);

    if (!refusal)
        return false;
    refusal->task.run = on_task;
    refusal->refusals = refusals;
    refusal->has_flight = flight;
    if (flight)
        refusal->flight = *flight;
    refusal->deadline_ms = acceptor->reactor->now_ms + acceptor->route->linger_timeout_ms;
    timer_init(&refusal->timer, acceptor->reactor, on_task, &refusal->task);
    LIST_INSERT_HEAD(&refusals->list, refusal, sibling);
    leg_move(&refusal->leg, leg, on_task, &refusal->task);
    on_task(&refusal->task);
    return true;
}
