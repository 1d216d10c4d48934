#include "delivery/downstreams.h"

static struct task *next_of(struct task *task)
{
    struct downstream *next = LIST_NEXT((struct downstream *)task, sibling);

    return next ? &next->task : NULL;
}

void downstreams_init(struct downstreams *downstreams, struct dispatcher *dispatcher,
                      struct body_filter *bodies)
{
    *downstreams = (struct downstreams) {
        .transport = dispatcher->transport,
        .dispatcher = dispatcher,
        .budget = dispatcher->budget,
        .goaway = END_SHUTDOWN,
    };
    receiver_shared_init(&downstreams->receiving, &downstream_receiver_events, dispatcher, bodies);
    sweep_init(&downstreams->sweep, dispatcher->transport->reactor, next_of);
    LIST_INIT(&downstreams->list);
}

static void all_wake(struct downstreams *downstreams)
{
    sweep_begin(&downstreams->sweep,
                LIST_EMPTY(&downstreams->list) ? NULL : &LIST_FIRST(&downstreams->list)->task);
}

void downstreams_credentials_changed(struct downstreams *downstreams)
{
    all_wake(downstreams);
}

void downstreams_flush(struct downstreams *downstreams)
{
    struct downstream *downstream;

    LIST_FOREACH (downstream, &downstreams->list, sibling)
        downstream_flush(downstream);
}

void downstreams_options_changed(struct downstreams *downstreams)
{
    downstreams->generation++;
    all_wake(downstreams);
}

void downstreams_drain(struct downstreams *downstreams)
{
    struct downstream *downstream;

    downstreams->is_draining = true;
    LIST_FOREACH (downstream, &downstreams->list, sibling)
        downstream_say_goaway(downstream);
}

void downstreams_shed(struct downstreams *downstreams)
{
    struct downstream *downstream;

    LIST_FOREACH (downstream, &downstreams->list, sibling)
        downstream_shed(downstream);
}

void downstreams_retire(struct downstreams *downstreams)
{
    downstreams->is_retiring = true;
    downstreams->goaway = END_RETIRED; /* the address lives on */
    all_wake(downstreams);
}

void downstreams_deinit(struct downstreams *downstreams)
{
    receiver_shared_deinit(&downstreams->receiving);
    message_meters_deinit(&downstreams->meters);
}
