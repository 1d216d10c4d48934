#include "support/receiving.h"

#include "support/framing.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_nothing(void *owner)
{
    (void)owner;
}

static struct connection_end where(const void *owner, enum end_reason reason)
{
    (void)owner;
    return (struct connection_end) { .reason = reason };
}

static const struct receiver_events receiver_events = { on_nothing, on_nothing, on_nothing, where };

static void leg_make(struct receiving *receiving)
{
    struct reactor *reactor = &receiving->runtime.reactor;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    receiving->peer = ends[0];
    leg_open(&receiving->leg, ends[1],
             &(struct leg_options) { .io = &reactor->io,
                                     .metrics = &receiving->runtime.transport.metrics.side[SIDE_DOWNSTREAM],
                                     .on_ready = on_nothing });
}

static void permit_make(struct receiving *receiving)
{
    struct fault fault;
    struct message_rule *rule = message_policy_add(&receiving->policy, "any");

    assert_non_null(rule);
    assert_true(peer_policy_add(&rule->who, PEER_RULE_ANY, NULL, &fault));
    assert_true(message_rule_set_tags(rule, "a,b", &fault));
    assert_int_equal(
        message_permit_open(&receiving->permit, &receiving->policy, &receiving->meters, NULL, FRAMING_NOW_MS),
        END_NONE);
}

void receiving_open(struct receiving *receiving, const struct read_budget_events *events)
{
    struct runtime *runtime = &receiving->runtime;

    *receiving = (struct receiving) { .chunk_ids = { .seed = 1 } };
    runtime_open(runtime);
    runtime_set_endpoints(runtime, (const uint16_t[]) { 1 }, NULL, 1);
    read_budget_init(&receiving->budget, events, runtime->route.retain_bytes,
                     &runtime->transport.metrics.messages.retained_bytes);
    dispatcher_init(&receiving->dispatcher, &(struct dispatcher_options) { .transport = &runtime->transport,
                                                                           .budget = &receiving->budget,
                                                                           .chunk_ids = &receiving->chunk_ids,
                                                                           .on_pressure = on_nothing });
    body_filter_init(&receiving->bodies, &runtime->route, &runtime->transport.metrics.bodies);
    permit_make(receiving);
    receiver_shared_init(&receiving->shared, &receiver_events, &receiving->dispatcher, &receiving->bodies);
    receiver_init(&receiving->receiver, &receiving->shared, receiving, &receiving->permit);
    leg_make(receiving);
}

void receiving_close(struct receiving *receiving)
{
    receiver_end(&receiving->receiver);
    receiver_shared_deinit(&receiving->shared);
    dispatcher_end(&receiving->dispatcher);
    dispatcher_deinit(&receiving->dispatcher);
    body_filter_deinit(&receiving->bodies);
    message_permit_close(&receiving->permit);
    message_meters_deinit(&receiving->meters);
    message_policy_deinit(&receiving->policy);
    leg_close(&receiving->leg, LEG_CLOSE);
    close(receiving->peer);
    runtime_close(&receiving->runtime);
}

void receiving_say(struct receiving *receiving, const char *bytes, size_t length)
{
    assert_int_equal(write(receiving->peer, bytes, length), length);
}

size_t receiving_take(struct receiving *receiving, size_t limit)
{
    struct framer *framer = &receiving->receiver.framer;
    size_t before = framer_bytes(framer)->length;

    receiving->leg.drained = false; /* as after an event of the watcher */
    (void)leg_read(&receiving->leg, framer_bytes(framer), before + limit);
    size_t got = framer_bytes(framer)->length - before;
    assert_int_equal(framer_advance(framer, receiving->runtime.reactor.now_ms), END_NONE);
    return got;
}
