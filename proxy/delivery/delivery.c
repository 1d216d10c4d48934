#include "delivery/delivery.h"

/* Wakes the agents that have sent a part of a message, or messages that wait as a batch. */
static void holding_wake(struct delivery *delivery)
{
    struct downstream *downstream;

    LIST_FOREACH (downstream, &delivery->downstreams.list, sibling) {
        const struct framer *framer = &downstream->receiver.framer;
        if (framer_is_mid_message(framer) || framer_has_batch(framer))
            downstream_wake(downstream);
    }
}

/* Under pressure, an agent in the middle of a message has an earlier deadline, and no batch waits. */
static void on_pressure(void *owner)
{
    holding_wake(owner);
}

bool delivery_open(struct delivery *delivery, struct transport *transport, struct fault *fault)
{
    const struct dispatcher_options dispatcher = {
        .transport = transport,
        .budget = &delivery->budget,
        .chunk_ids = &delivery->chunk_ids,
        .hash_key = &delivery->hash_key,
        .on_pressure = on_pressure,
        .owner = delivery,
    };

    read_budget_init(&delivery->budget, &downstream_budget_events, transport->route->retain_bytes,
                     &transport->metrics.messages.retained_bytes);
    body_filter_init(&delivery->bodies, transport->route, &transport->metrics.bodies);
    dispatcher_init(&delivery->dispatcher, &dispatcher);
    downstreams_init(&delivery->downstreams, &delivery->dispatcher, &delivery->bodies);
    if (chunk_ids_init(&delivery->chunk_ids) && hash_key_init(&delivery->hash_key))
        return true;
    fault_set(fault, "cannot set up a worker: the system gives no randomness");
    return false;
}

void delivery_drain(struct delivery *delivery)
{
    dispatcher_drain(&delivery->dispatcher);
    downstreams_drain(&delivery->downstreams);
    holding_wake(delivery);
}

void delivery_shed(struct delivery *delivery)
{
    downstreams_shed(&delivery->downstreams);
}

void delivery_retire(struct delivery *delivery)
{
    downstreams_retire(&delivery->downstreams);
    delivery_drain(delivery);
}

unsigned delivery_end(struct delivery *delivery)
{
    struct downstream *downstream;

    LIST_FOREACH (downstream, &delivery->downstreams.list, sibling)
        (void)framer_flush(&downstream->receiver.framer);
    unsigned left_behind = delivery->dispatcher.unsettled.count;
    dispatcher_end(&delivery->dispatcher);
    while (!LIST_EMPTY(&delivery->downstreams.list))
        left_behind += !downstream_stop(LIST_FIRST(&delivery->downstreams.list));
    dispatcher_deinit(&delivery->dispatcher);
    return left_behind;
}

void delivery_close(struct delivery *delivery)
{
    downstreams_deinit(&delivery->downstreams);
    body_filter_deinit(&delivery->bodies);
}

void delivery_accept(struct delivery *delivery, int fd, const struct socket_address *peer)
{
    downstream_open(&delivery->downstreams, fd, peer);
}

void delivery_endpoints_changed(struct delivery *delivery)
{
    dispatcher_endpoints_changed(&delivery->dispatcher);
}

void delivery_credentials_changed(struct delivery *delivery)
{
    downstreams_credentials_changed(&delivery->downstreams);
    dispatcher_credentials_changed(&delivery->dispatcher);
}

void delivery_await_first(struct delivery *delivery)
{
    dispatcher_await_first(&delivery->dispatcher);
}

/* A batch that waits was made under the old options. */
void delivery_prepare_options(struct delivery *delivery)
{
    downstreams_flush(&delivery->downstreams);
}

void delivery_options_changed(struct delivery *delivery, const struct route_options *before)
{
    const struct route_options *route = delivery->dispatcher.transport->route;

    body_filter_set_options(&delivery->bodies, route);
    read_budget_set_limit(&delivery->budget, route->retain_bytes);
    retry_set_limits(&delivery->dispatcher.retry, route->max_attempts, route->max_ack_timeouts);
    dispatcher_options_changed(&delivery->dispatcher, before);
    downstreams_options_changed(&delivery->downstreams);
}
