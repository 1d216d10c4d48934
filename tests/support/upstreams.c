#include "support/upstreams.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

void upstreams_make_ready(struct upstream *upstream)
{
    struct outlet *outlet = &upstream->outlet;
    struct endpoint_pool *endpoints = &outlet->dialer->endpoints;
    uint64_t now_ms = outlet->dialer->reactor->now_ms;

    if (!outlet->walk.list)
        (void)endpoint_walk_begin(&outlet->walk, endpoints);
    if (outlet->walk.list) {
        outlet->endpoint = endpoint_walk_next(&outlet->walk, endpoints, now_ms);
        assert_non_null(outlet->endpoint);
        endpoint_walk_report(&outlet->walk, endpoints, ENDPOINT_WORKED, now_ms);
    }
    outlet->state = OUTLET_READY;
    upstream->state = UPSTREAM_READY;
    upstream->ready_ms = now_ms;
    upstream->shared->events->on_ready(upstream->shared->observer, upstream);
}

void upstreams_settle(struct upstream *upstream)
{
    const struct upstream_shared *shared = upstream->shared;
    bool was_isolated = upstream->use == UPSTREAM_ISOLATED;
    struct message *message = upstream_take_unsettled(upstream);

    assert_non_null(message);
    upstream->acked_count++;
    if (was_isolated)
        upstream_release(upstream);
    shared->events->on_settled(shared->observer, upstream, message, UPSTREAM_ACKED);
    shared->events->on_progress(shared->observer, upstream);
    if (was_isolated)
        shared->events->on_released(shared->observer, upstream);
}

void upstreams_stay_quiet(struct upstream *upstream)
{
    const struct upstream_shared *shared = upstream->shared;

    assert_non_null(upstream->reservation.message);
    assert_false(reservation_check(&upstream->reservation, upstream->reservation.due_ms));
    shared->events->on_progress(shared->observer, upstream);
}

void upstreams_load(struct upstream *upstream, size_t bytes)
{
    static const uint8_t zeros[1024];
    struct buffer piece;
    struct message *message = message_open(upstream->stream.outgoing.pool, MESSAGE_UNPROTECTED);

    assert_non_null(message);
    buffer_init(&piece, upstream->stream.outgoing.pool);
    for (size_t part; bytes; bytes -= part) {
        part = bytes < sizeof zeros ? bytes : sizeof zeros;
        assert_true(buffer_append(&piece, zeros, part));
    }
    assert_true(message_grow(message, &piece));
    buffer_clear(&piece);
    message_complete(message, &(struct message_summary) {
                                  .id = (const uint8_t *)"\xa1x", .id_length = 2, .ack = MESSAGE_AGENT_ACK });
    upstream_file(upstream, message);
}

struct upstream *upstreams_make_last_ready(const struct upstream_pool *pool)
{
    struct upstream *upstream = LIST_FIRST(&pool->list);

    assert_non_null(upstream);
    assert_int_equal(upstream->state, UPSTREAM_OPENING);
    upstreams_make_ready(upstream);
    return upstream;
}
