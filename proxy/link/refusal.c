#include "link/refusal.h"

#include "runtime/timer.h"

#include <stdlib.h>

struct refusal {
    struct task task; /* first */
    TAILQ_ENTRY(refusal) sibling;
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
    timer_stop(&refusal->timer);
    TAILQ_REMOVE(&refusal->refusals->list, refusal, sibling);
    acceptor_count(refusal->refusals->acceptor, -1);
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
    TAILQ_INIT(&refusals->list);
}

void refusals_give_way(struct refusals *refusals)
{
    const struct acceptor *acceptor = refusals->acceptor;

    while (!TAILQ_EMPTY(&refusals->list) &&
           acceptor_connections(acceptor) >= acceptor->route->max_connections)
        refusal_end(TAILQ_FIRST(&refusals->list), LEG_CLOSE);
}

void refusals_close(struct refusals *refusals)
{
    while (!TAILQ_EMPTY(&refusals->list))
        refusal_end(TAILQ_FIRST(&refusals->list), LEG_CLOSE);
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
    TAILQ_INSERT_TAIL(&refusals->list, refusal, sibling);
    leg_move(&refusal->leg, leg, on_task, &refusal->task);
    on_task(&refusal->task);
    refusals_give_way(refusals);
    return true;
}
