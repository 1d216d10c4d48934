/* proxy/delivery/upstream_pool.c: which connection takes a message, when another is dialled, and when one
 * retires. */
#include "delivery/dispatcher.h"

#include "support/messages.h"
#include "support/runtime.h"
#include "support/upstreams.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { BUSY_BYTES = 64 * 1024, UNEVEN_BYTES = 256 * 1024 };

struct fixture {
    struct runtime runtime;
    struct upstream_pool pool;
};

static struct fixture fixture;
static struct exclusive_request holder;

static void on_ready(void *observer, struct upstream *upstream)
{
    upstream_pool_on_ready(observer, upstream);
}

static void on_settled(void *observer, struct upstream *upstream, struct message *message,
                       enum upstream_settlement how)
{
    upstream_pool_on_settled(observer, upstream, how);
    message_free(message);
}

static void on_refused(void *observer, struct upstream *upstream, struct message *message, uint64_t count,
                       enum end_reason reason)
{
    (void)count, (void)reason;
    on_settled(observer, upstream, message, UPSTREAM_ACKED);
}

static void on_progress(void *observer, struct upstream *upstream)
{
    (void)observer, (void)upstream;
}

static void on_released(void *observer, struct upstream *upstream)
{
    upstream_pool_on_released(observer, upstream);
}

static void on_old(void *observer, struct upstream *upstream)
{
    upstream_pool_on_old(observer, upstream);
}

static void on_ended(void *observer, struct upstream *upstream, enum end_reason reason)
{
    struct message *message;

    upstream_pool_on_ended(observer, upstream, reason);
    while ((message = upstream_take_unsettled(upstream)))
        message_free(message);
}

static enum retry_fault judge(void *observer, const struct upstream *upstream, enum end_reason reason)
{
    return upstream_pool_judge(observer, upstream, reason);
}

static const struct upstream_events events = { on_ready,    on_settled, on_refused, on_progress,
                                               on_released, on_old,     on_ended,   judge };

static const struct hash_key hash_key = { { 1, 2 } };

static int set_up(void **state)
{
    struct fixture *f = &fixture;

    runtime_open(&f->runtime);
    upstream_pool_init(&f->pool, &(struct upstream_shared) { .transport = &f->runtime.transport,
                                                             .hash_key = &hash_key,
                                                             .events = &events,
                                                             .observer = &f->pool });
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    upstream_pool_end(&f->pool, END_SHUTDOWN);
    assert_true(LIST_EMPTY(&f->pool.list));
    runtime_close(&f->runtime);
    return 0;
}

static uint64_t now_ms(const struct fixture *f)
{
    return f->runtime.reactor.now_ms;
}

static unsigned count(const struct fixture *f)
{
    const struct upstream *upstream;
    unsigned found = 0;

    LIST_FOREACH (upstream, &f->pool.list, sibling)
        found++;
    return found;
}

/* Two endpoints in tier 0. */
static void set_two(struct fixture *f)
{
    runtime_set_endpoints(&f->runtime, (const uint16_t[]) { 1, 2 }, NULL, 2);
    upstream_pool_endpoints_changed(&f->pool);
}

static void set_one(struct fixture *f)
{
    runtime_set_endpoints(&f->runtime, (const uint16_t[]) { 1 }, NULL, 1);
    upstream_pool_endpoints_changed(&f->pool);
}

/* A dial that takes place. */
static struct upstream *dial(struct fixture *f, enum upstream_need need)
{
    unsigned before = count(f);

    assert_int_equal(upstream_pool_dial(&f->pool, need), 0);
    assert_int_equal(count(f), before + 1);
    return LIST_FIRST(&f->pool.list);
}

static struct upstream *dial_ready(struct fixture *f, enum upstream_need need)
{
    struct upstream *upstream = dial(f, need);

    upstreams_make_ready(upstream);
    return upstream;
}

/* No dial takes place; the pool is to be asked again at `again_ms`. */
static void expect_no_dial(struct fixture *f, enum upstream_need need, uint64_t again_ms)
{
    unsigned before = count(f);

    assert_int_equal(upstream_pool_dial(&f->pool, need), again_ms);
    assert_int_equal(count(f), before);
}

/* ---- picking ---- */

static void a_connection_is_picked_once_it_is_ready(void **state)
{
    struct fixture *f = *state;

    set_one(f);
    struct upstream *upstream = dial(f, UPSTREAM_FOR_MESSAGE);
    assert_null(upstream_pool_pick(&f->pool, 0));
    assert_null(upstream_pool_pick_exclusive(&f->pool));
    assert_false(upstream_pool_is_ready(&f->pool));
    upstreams_make_ready(upstream);
    assert_ptr_equal(upstream_pool_pick(&f->pool, 0), upstream);
    assert_ptr_equal(upstream_pool_pick_exclusive(&f->pool), upstream);
    assert_true(upstream_pool_is_ready(&f->pool));
    upstream_retire(upstream, END_RETIRED);
    assert_null(upstream_pool_pick(&f->pool, upstream->id));
}

/* Two ready connections, to an endpoint each. */
static void make_pair(struct fixture *f, struct upstream *pair[2])
{
    set_two(f);
    pair[0] = dial_ready(f, UPSTREAM_FOR_MESSAGE);
    upstreams_load(pair[0], BUSY_BYTES);
    pair[1] = dial_ready(f, UPSTREAM_FOR_BALANCE);
    upstreams_settle(pair[0]);
    assert_int_equal(pair[0]->endpoint_at, 0);
    assert_int_equal(pair[1]->endpoint_at, 1);
}

static void the_least_loaded_connection_is_picked(void **state)
{
    struct fixture *f = *state;
    struct upstream *pair[2];

    make_pair(f, pair);
    upstreams_load(pair[0], 10);
    assert_ptr_equal(upstream_pool_pick(&f->pool, 0), pair[1]);
    upstreams_load(pair[1], 20);
    assert_ptr_equal(upstream_pool_pick(&f->pool, 0), pair[0]);
}

static void load_counts_by_weight(void **state)
{
    struct fixture *f = *state;
    struct upstream *pair[2];

    make_pair(f, pair);
    f->runtime.transport.dialer.endpoints.list->endpoints[0].weight = 3 * ENDPOINT_WEIGHT_UNIT;
    upstreams_load(pair[0], 29);
    upstreams_load(pair[1], 10);
    assert_ptr_equal(upstream_pool_pick(&f->pool, 0), pair[0]);
    upstreams_load(pair[0], 10);
    assert_ptr_equal(upstream_pool_pick(&f->pool, 0), pair[1]);
}

static void a_sender_stays_on_its_connection_while_load_is_even(void **state)
{
    struct fixture *f = *state;
    struct upstream *pair[2];

    make_pair(f, pair);
    upstreams_load(pair[0], UNEVEN_BYTES);
    assert_ptr_equal(upstream_pool_pick(&f->pool, pair[0]->id), pair[0]);
    upstreams_load(pair[0], 1);
    assert_ptr_equal(upstream_pool_pick(&f->pool, pair[0]->id), pair[1]);
}

static void a_sender_leaves_a_connection_of_a_higher_tier(void **state)
{
    struct fixture *f = *state;
    struct upstream *pair[2];

    make_pair(f, pair);
    f->runtime.transport.dialer.endpoints.list->endpoints[1].tier = 1;
    upstreams_load(pair[0], BUSY_BYTES);
    assert_ptr_equal(upstream_pool_pick(&f->pool, pair[1]->id), pair[0]);
    assert_ptr_equal(upstream_pool_pick(&f->pool, 0), pair[0]);
}

static void only_an_idle_connection_is_exclusive(void **state)
{
    struct fixture *f = *state;
    struct upstream *pair[2];

    make_pair(f, pair);
    upstreams_load(pair[1], 1);
    assert_ptr_equal(upstream_pool_pick_exclusive(&f->pool), pair[0]);
    upstreams_load(pair[0], 1);
    assert_null(upstream_pool_pick_exclusive(&f->pool));
}

static void exclusive_connections_have_a_limit(void **state)
{
    struct fixture *f = *state;
    struct upstream *pair[2];

    make_pair(f, pair);
    upstream_hold(pair[0], &holder, 1);
    assert_null(upstream_pool_pick_exclusive(&f->pool));
    assert_ptr_equal(upstream_pool_pick(&f->pool, pair[0]->id), pair[1]); /* not to be shared */
    f->runtime.route.max_exclusive_connections = 2;
    assert_ptr_equal(upstream_pool_pick_exclusive(&f->pool), pair[1]);
    upstream_release(pair[0]);
    f->runtime.route.max_exclusive_connections = 1;
    assert_non_null(upstream_pool_pick_exclusive(&f->pool));
}

/* ---- dialling ---- */

static void one_dial_at_a_time_is_under_way(void **state)
{
    struct fixture *f = *state;

    set_two(f);
    f->runtime.route.max_upstream_connections = 2;
    dial(f, UPSTREAM_FOR_MESSAGE);
    expect_no_dial(f, UPSTREAM_FOR_MESSAGE, 0);
    expect_no_dial(f, UPSTREAM_FOR_EXCLUSIVE, 0);
    upstreams_make_ready(LIST_FIRST(&f->pool.list));
    dial(f, UPSTREAM_FOR_MESSAGE);
}

static void connections_per_endpoint_have_a_limit(void **state)
{
    struct fixture *f = *state;

    set_two(f);
    f->runtime.route.max_upstream_connections = 2;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(dial_ready(f, UPSTREAM_FOR_MESSAGE)->endpoint_at, i % 2);
    expect_no_dial(f, UPSTREAM_FOR_MESSAGE, 0);
    upstream_retire(LIST_FIRST(&f->pool.list), END_RETIRED); /* does not count any more */
    assert_int_equal(dial(f, UPSTREAM_FOR_MESSAGE)->endpoint_at, 1);
}

static void a_dial_for_balance_waits_until_connections_are_busy(void **state)
{
    struct fixture *f = *state;

    set_two(f);
    f->runtime.route.max_upstream_connections = 2;
    expect_no_dial(f, UPSTREAM_FOR_BALANCE, 0); /* nobody has anything to send */
    struct upstream *first = dial_ready(f, UPSTREAM_FOR_MESSAGE);
    upstreams_load(first, BUSY_BYTES - 1);
    expect_no_dial(f, UPSTREAM_FOR_BALANCE, 0);
    upstreams_load(first, 1);
    struct upstream *second = dial_ready(f, UPSTREAM_FOR_BALANCE);
    assert_int_equal(second->endpoint_at, 1);
    upstreams_load(second, BUSY_BYTES);
    expect_no_dial(f, UPSTREAM_FOR_BALANCE, 0); /* every endpoint has one */
    dial(f, UPSTREAM_FOR_MESSAGE);
}

static void one_endpoint_needs_no_balance(void **state)
{
    struct fixture *f = *state;

    set_one(f);
    upstreams_load(dial_ready(f, UPSTREAM_FOR_MESSAGE), BUSY_BYTES);
    expect_no_dial(f, UPSTREAM_FOR_BALANCE, 0);
}

static void exclusive_connections_come_on_top_of_shared_ones(void **state)
{
    struct fixture *f = *state;

    set_one(f);
    upstreams_load(dial_ready(f, UPSTREAM_FOR_MESSAGE), 1);
    expect_no_dial(f, UPSTREAM_FOR_MESSAGE, 0);
    struct upstream *exclusive = dial_ready(f, UPSTREAM_FOR_EXCLUSIVE);
    upstream_hold(exclusive, &holder, 1);
    expect_no_dial(f, UPSTREAM_FOR_EXCLUSIVE, 0);
    expect_no_dial(f, UPSTREAM_FOR_MESSAGE, 0);
    f->runtime.route.max_exclusive_connections = 2;
    upstreams_load(dial_ready(f, UPSTREAM_FOR_EXCLUSIVE), 1);
    expect_no_dial(f, UPSTREAM_FOR_EXCLUSIVE, 0); /* the limit counts those that are not held yet */
}

static void endpoints_are_dialled_in_turn(void **state)
{
    struct fixture *f = *state;

    set_two(f);
    for (unsigned i = 0; i < 4; i++) {
        struct upstream *upstream = dial_ready(f, UPSTREAM_FOR_MESSAGE);
        assert_int_equal(upstream->endpoint_at, i % 2);
        upstream_end(upstream, END_RETIRED);
    }
}

static void exclusive_connections_in_use_have_a_limit(void **state)
{
    struct fixture *f = *state;

    set_two(f);
    upstream_hold(dial_ready(f, UPSTREAM_FOR_EXCLUSIVE), &holder, 1);
    expect_no_dial(f, UPSTREAM_FOR_EXCLUSIVE, 0);
    dial(f, UPSTREAM_FOR_MESSAGE);
}

static void a_failed_endpoint_is_dialled_behind_others(void **state)
{
    struct fixture *f = *state;

    set_two(f);
    upstream_end(dial_ready(f, UPSTREAM_FOR_MESSAGE), END_RESET);
    assert_int_equal(f->runtime.transport.dialer.endpoints.status[0].failures, 1);
    runtime_pass(&f->runtime, 500); /* it is no longer ejected */
    struct upstream *second = dial_ready(f, UPSTREAM_FOR_MESSAGE);
    assert_int_equal(second->endpoint_at, 1);
    upstream_end(second, END_RETIRED); /* the turn of the failed one, but it has failed */
    assert_int_equal(dial_ready(f, UPSTREAM_FOR_MESSAGE)->endpoint_at, 1);
    assert_int_equal(dial(f, UPSTREAM_FOR_MESSAGE)->endpoint_at, 0);
}

static void a_dial_to_a_failed_endpoint_does_not_hold_up_others(void **state)
{
    struct fixture *f = *state;

    set_two(f);
    upstream_end(dial_ready(f, UPSTREAM_FOR_MESSAGE), END_RESET);
    runtime_pass(&f->runtime, 500);
    struct upstream *second = dial_ready(f, UPSTREAM_FOR_MESSAGE);
    dial(f, UPSTREAM_FOR_MESSAGE); /* hangs */
    upstream_retire(second, END_RETIRED);
    assert_int_equal(dial(f, UPSTREAM_FOR_MESSAGE)->endpoint_at, 1);
}

/* ---- back-off ---- */

static void dials_back_off_while_no_connection_is_of_use(void **state)
{
    static const uint64_t delays_ms[] = { 100, 200, 400, 800, 1600, 3200, 5000, 5000 };
    struct fixture *f = *state;

    set_one(f);
    for (size_t i = 0; i < sizeof delays_ms / sizeof delays_ms[0]; i++) {
        upstream_end(dial_ready(f, UPSTREAM_FOR_MESSAGE), END_RESET);
        uint64_t again_ms = now_ms(f) + delays_ms[i];
        expect_no_dial(f, UPSTREAM_FOR_MESSAGE, again_ms);
        runtime_pass(&f->runtime, delays_ms[i] - 1);
        expect_no_dial(f, UPSTREAM_FOR_MESSAGE, again_ms);
        runtime_pass(&f->runtime, 1);
    }
    struct upstream *upstream = dial_ready(f, UPSTREAM_FOR_MESSAGE);
    upstreams_load(upstream, 1);
    upstreams_settle(upstream);
    upstream_end(upstream, END_CLOSED); /* it was of use: no back-off */
    upstream_end(dial_ready(f, UPSTREAM_FOR_MESSAGE), END_RESET);
    expect_no_dial(f, UPSTREAM_FOR_MESSAGE, now_ms(f) + delays_ms[0]); /* delays begin again */
}

static struct upstream *dial_isolated(struct fixture *f)
{
    struct upstream *upstream = dial_ready(f, UPSTREAM_FOR_EXCLUSIVE);

    upstreams_load(upstream, 1);
    message_of(upstream->stream.in_flight.ledger.first)->attempts = 1;
    upstream->use = UPSTREAM_ISOLATED;
    return upstream;
}

static void an_isolated_message_is_at_fault_where_others_get_through(void **state)
{
    struct fixture *f = *state;

    set_one(f);
    const struct endpoint_status *status = f->runtime.transport.dialer.endpoints.status;
    struct upstream *other = dial_ready(f, UPSTREAM_FOR_MESSAGE);
    upstreams_load(other, 1);
    upstreams_settle(other);
    upstream_end(dial_isolated(f), END_RESET);
    assert_int_equal(status[0].failures, 0);
    upstream_end(dial_isolated(f), END_RESET); /* at once: there is no back-off */
    assert_int_equal(status[0].failures, 0);
}

static void an_isolated_message_is_not_at_fault_where_nothing_gets_through(void **state)
{
    struct fixture *f = *state;

    set_one(f);
    const struct endpoint_status *status = f->runtime.transport.dialer.endpoints.status;
    upstream_end(dial_isolated(f), END_RESET);
    assert_int_equal(status[0].failures, 1);
    expect_no_dial(f, UPSTREAM_FOR_MESSAGE, now_ms(f) + 100);
}

static void fewer_messages_are_unsettled_after_a_connection_has_ended(void **state)
{
    struct fixture *f = *state;

    set_one(f);
    struct upstream *upstream = dial_ready(f, UPSTREAM_FOR_MESSAGE);
    for (unsigned i = 0; i < 5; i++)
        upstreams_load(upstream, 1);
    for (unsigned i = 0; i < 4; i++)
        upstreams_settle(upstream);
    upstream_end(upstream, END_RESET);
    upstream = dial_ready(f, UPSTREAM_FOR_MESSAGE);
    for (unsigned i = 0; i < 2; i++) {
        assert_ptr_equal(upstream_pool_pick(&f->pool, 0), upstream);
        upstreams_load(upstream, 1);
    }
    assert_null(upstream_pool_pick(&f->pool, 0)); /* half of the four that got through */
    upstreams_settle(upstream);
    assert_ptr_equal(upstream_pool_pick(&f->pool, 0), upstream);
    upstreams_load(upstream, 1);
    assert_ptr_equal(upstream_pool_pick(&f->pool, 0), upstream); /* it has grown by one */
    upstreams_load(upstream, 1);
    assert_null(upstream_pool_pick(&f->pool, 0));
    expect_no_dial(f, UPSTREAM_FOR_MESSAGE, 0); /* order is kept, and the aggregator spared */
    struct upstream *exclusive = dial_ready(f, UPSTREAM_FOR_EXCLUSIVE);
    assert_null(upstream_pool_pick(&f->pool, 0)); /* the window is that of the address */
    upstream_end(exclusive, END_RETIRED);
    upstream_end(upstream, END_RETIRED); /* husk ended it: nothing shrinks */
    upstream = dial_ready(f, UPSTREAM_FOR_MESSAGE);
    upstreams_load(upstream, 1);
    upstreams_load(upstream, 1);
    assert_ptr_equal(upstream_pool_pick(&f->pool, 0), upstream);
    upstream_end(upstream, END_RETIRED);
}

/* Sends `count` messages and ends the connection with the last one unsettled. If count is 1, the window is 1
 * then. */
static void end_unsettled(struct upstream *upstream, unsigned messages)
{
    for (unsigned i = 0; i < messages; i++)
        upstreams_load(upstream, 1);
    for (unsigned i = 1; i < messages; i++)
        upstreams_settle(upstream);
    upstream_end(upstream, END_RESET);
}

static void the_window_of_an_address_stays_when_other_addresses_change(void **state)
{
    struct fixture *f = *state;

    set_two(f);
    end_unsettled(dial_ready(f, UPSTREAM_FOR_MESSAGE), 5);
    assert_false(send_window_is_open(&f->pool.addresses.records[0].window));
    runtime_set_endpoints(&f->runtime, (const uint16_t[]) { 3, 1, 2 }, NULL, 3);
    upstream_pool_endpoints_changed(&f->pool);
    assert_true(send_window_is_open(&f->pool.addresses.records[0].window));
    assert_false(send_window_is_open(&f->pool.addresses.records[1].window));
    assert_true(f->pool.addresses.records[1].acked_us);
    runtime_set_endpoints(&f->runtime, (const uint16_t[]) { 2, 3 }, NULL, 2);
    upstream_pool_endpoints_changed(&f->pool);
    for (size_t at = 0; at < 2; at++)
        assert_true(send_window_is_open(&f->pool.addresses.records[at].window));
}

static void a_late_ack_leaves_the_window_and_waits_for_the_next_dial(void **state)
{
    struct fixture *f = *state;

    set_one(f);
    struct upstream *upstream = dial_ready(f, UPSTREAM_FOR_MESSAGE);
    upstreams_load(upstream, 1);
    upstreams_settle(upstream); /* it was of use, and is silent now */
    runtime_pass(&f->runtime, 1);
    upstreams_load(upstream, 1);
    runtime_pass(&f->runtime, 60000);
    upstream_end(upstream, END_ACK_TIMEOUT);
    assert_true(send_window_is_open(&f->pool.addresses.records[0].window));
    assert_int_equal(f->runtime.transport.dialer.endpoints.status[0].failures, 1);
    expect_no_dial(f, UPSTREAM_FOR_MESSAGE, now_ms(f) + 100);
}

static void a_late_ack_is_no_failure_of_an_address_that_acknowledges_others(void **state)
{
    struct fixture *f = *state;

    set_one(f);
    struct upstream *upstream = dial_ready(f, UPSTREAM_FOR_MESSAGE);
    upstreams_load(upstream, 1);
    struct upstream *other = dial_ready(f, UPSTREAM_FOR_EXCLUSIVE);
    upstreams_load(other, 1);
    runtime_pass(&f->runtime, 1);
    upstreams_settle(other);
    upstream_end(upstream, END_ACK_TIMEOUT);
    assert_int_equal(f->runtime.transport.dialer.endpoints.status[0].failures, 0);
    upstream_end(other, END_RETIRED);
    dial(f, UPSTREAM_FOR_MESSAGE);
}

/* A message without an ack is settled when the socket has taken it. */
static void settle_unacked(struct fixture *f, struct upstream *upstream)
{
    struct message *message = message_open(&f->runtime.reactor.pool, MESSAGE_UNPROTECTED);

    assert_non_null(message);
    upstream->shared->events->on_settled(upstream->shared->observer, upstream, message, UPSTREAM_TAKEN);
}

static void only_acks_are_evidence_that_messages_get_through(void **state)
{
    struct fixture *f = *state;

    set_one(f);
    struct upstream *upstream = dial_ready(f, UPSTREAM_FOR_MESSAGE);
    settle_unacked(f, upstream);
    upstream_end(upstream, END_CLOSED);
    assert_int_equal(f->runtime.transport.dialer.endpoints.status[0].failures, 1);
    expect_no_dial(f, UPSTREAM_FOR_MESSAGE, now_ms(f) + 100);
}

static void messages_are_held_if_no_address_acknowledges(void **state)
{
    struct fixture *f = *state;
    struct endpoint_stats stats[2] = { { .references = 2 }, { .references = 2 } };

    f->runtime.route.on_no_acks = ROUTE_NO_ACKS_HOLD;
    assert_false(upstream_pool_is_on_hold(&f->pool));
    set_two(f);
    struct endpoint_list *list = f->runtime.transport.dialer.endpoints.list;
    for (size_t i = 0; i < 2; i++)
        list->endpoints[i].stats = &stats[i];
    stats[0].metrics.acks = METRICS_ACKS_NEVER;
    assert_false(upstream_pool_is_on_hold(&f->pool));
    stats[1].metrics.acks = METRICS_ACKS_NEVER;
    assert_true(upstream_pool_is_on_hold(&f->pool));
    f->runtime.route.on_no_acks = ROUTE_NO_ACKS_CONTINUE;
    assert_false(upstream_pool_is_on_hold(&f->pool));
    set_one(f); /* releases the list while the stats exist */
}

/* A first connection, for example, at a server that closes idle connections. */
static void an_idle_connection_that_the_peer_ends_later_is_no_failure(void **state)
{
    static const struct {
        enum end_reason reason;
        uint64_t after_ms;
        unsigned failures;
    } cases[] = { { END_CLOSED, 500, 0 }, { END_CLOSED, 499, 1 }, { END_RESET, 500, 1 } };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        set_one(f);
        struct upstream *upstream = dial_ready(f, UPSTREAM_FOR_MESSAGE);
        runtime_pass(&f->runtime, cases[i].after_ms);
        upstream_end(upstream, cases[i].reason);
        assert_int_equal(f->runtime.transport.dialer.endpoints.status[0].failures, cases[i].failures);
        runtime_pass(&f->runtime, 5000);
    }
}

static void a_connection_without_acks_is_of_use_if_it_lasts(void **state)
{
    struct fixture *f = *state;

    set_one(f);
    struct upstream *upstream = dial_ready(f, UPSTREAM_FOR_MESSAGE);
    settle_unacked(f, upstream);
    runtime_pass(&f->runtime, 5000);
    upstream_end(upstream, END_CLOSED);
    assert_int_equal(f->runtime.transport.dialer.endpoints.status[0].failures, 0);
    upstream = dial_ready(f, UPSTREAM_FOR_MESSAGE);
    upstreams_load(upstream, 1); /* an ack is expected */
    runtime_pass(&f->runtime, 5000);
    upstream_end(upstream, END_RESET);
    assert_int_equal(f->runtime.transport.dialer.endpoints.status[0].failures, 1);
}

static void a_failure_of_this_process_backs_off_from_all_endpoints(void **state)
{
    static const enum end_reason reasons[] = { END_NO_DESCRIPTOR, END_WITHDRAWN };
    struct fixture *f = *state;

    for (size_t i = 0; i < 2; i++) {
        if (i)
            set_two(f);
        else
            set_one(f);
        upstream_end(dial(f, UPSTREAM_FOR_MESSAGE), reasons[i]);
        assert_int_equal(f->runtime.transport.dialer.endpoints.status[0].failures, 0);
        expect_no_dial(f, UPSTREAM_FOR_MESSAGE, now_ms(f) + 100);
        expect_no_dial(f, UPSTREAM_FOR_EXCLUSIVE, now_ms(f) + 100);
        upstream_pool_credentials_changed(&f->pool);
        upstream_end(dial(f, UPSTREAM_FOR_MESSAGE), END_RETIRED);
    }
}

static void a_connection_that_husk_ends_causes_no_back_off(void **state)
{
    struct fixture *f = *state;

    set_one(f);
    upstream_end(dial_ready(f, UPSTREAM_FOR_MESSAGE), END_RETIRED);
    dial(f, UPSTREAM_FOR_MESSAGE);
}

static void is_sent_away(struct fixture *f, uint64_t after_ms)
{
    struct upstream *upstream = dial_ready(f, UPSTREAM_FOR_MESSAGE);

    runtime_pass(&f->runtime, after_ms);
    upstream->got_goaway = true;
    upstream_end(upstream, END_RETIRED);
}

/* A husk upstream that sends each connection away at once, or its addresses do. */
static void connections_that_are_sent_away_at_once_cause_a_back_off(void **state)
{
    struct fixture *f = *state;

    for (size_t addresses = 1; addresses <= 2; addresses++) {
        if (addresses == 1)
            set_one(f);
        else
            set_two(f);
        for (uint64_t delay_ms = 100; delay_ms <= 400; delay_ms *= 2) {
            is_sent_away(f, 0);
            assert_int_equal(f->runtime.transport.dialer.endpoints.status[0].failures, 0);
            expect_no_dial(f, UPSTREAM_FOR_MESSAGE, now_ms(f) + delay_ms);
            runtime_pass(&f->runtime, delay_ms);
        }
        struct upstream *upstream = dial_ready(f, UPSTREAM_FOR_MESSAGE);
        upstreams_load(upstream, 1);
        upstreams_settle(upstream);
        upstream->got_goaway = true;
        upstream_end(upstream, END_RETIRED);
        upstream_end(dial(f, UPSTREAM_FOR_MESSAGE), END_RETIRED);
    }
}

/* Also one that is idle, or that carries messages without acks. */
static void a_connection_that_is_sent_away_later_causes_no_back_off(void **state)
{
    struct fixture *f = *state;

    set_one(f);
    for (unsigned times = 0; times < 3; times++)
        is_sent_away(f, 1000);
    dial(f, UPSTREAM_FOR_MESSAGE);
}

static void an_endpoint_that_works_needs_no_back_off_of_another(void **state)
{
    struct fixture *f = *state;

    set_two(f);
    upstream_end(dial_ready(f, UPSTREAM_FOR_MESSAGE), END_RESET);
    assert_int_equal(dial(f, UPSTREAM_FOR_MESSAGE)->endpoint_at, 1);
}

static void without_a_usable_endpoint_one_dial_takes_any(void **state)
{
    struct fixture *f = *state;

    expect_no_dial(f, UPSTREAM_FOR_BALANCE, 0);
    struct upstream *upstream = dial(f, UPSTREAM_FOR_MESSAGE); /* before names are resolved */
    assert_int_equal(upstream->endpoint_at, ENDPOINTS_MAX);
    expect_no_dial(f, UPSTREAM_FOR_MESSAGE, 0);
    set_two(f);
    upstreams_make_ready(upstream);
    assert_int_equal(upstream->endpoint_at, 0); /* where it is in the list */
}

static void without_a_usable_endpoint_one_connection_is_enough(void **state)
{
    struct fixture *f = *state;

    dial_ready(f, UPSTREAM_FOR_MESSAGE);
    expect_no_dial(f, UPSTREAM_FOR_MESSAGE, 0);
}

/* ---- tiers ---- */

static void a_higher_tier_is_used_while_lower_ones_are_ejected(void **state)
{
    struct fixture *f = *state;

    runtime_set_endpoints(&f->runtime, (const uint16_t[]) { 1, 2 }, (const unsigned[]) { 0, 1 }, 2);
    struct upstream *primary = dial_ready(f, UPSTREAM_FOR_MESSAGE);
    assert_int_equal(primary->endpoint_at, 0);
    expect_no_dial(f, UPSTREAM_FOR_MESSAGE, 0); /* not for load */
    upstream_end(primary, END_RESET);
    struct upstream *standby = dial_ready(f, UPSTREAM_FOR_MESSAGE);
    assert_int_equal(standby->endpoint_at, 1);
    assert_false(standby->retires_for);
    runtime_pass(&f->runtime, 500);
    primary = dial(f, UPSTREAM_FOR_MESSAGE);
    assert_int_equal(primary->endpoint_at, 0);
    assert_ptr_equal(upstream_pool_pick(&f->pool, 0), standby); /* until the primary is ready */
    upstreams_make_ready(primary);
    assert_true(standby->retires_for);
    assert_false(primary->retires_for);
    assert_ptr_equal(upstream_pool_pick(&f->pool, standby->id), primary);
}

/* The husk upstream has said that it stops. */
static void say_shutdown(struct upstream *upstream)
{
    upstream->got_goaway = true;
    outlet_note_leaving(&upstream->outlet);
    upstream_retire(upstream, END_RETIRED);
}

static void a_husk_that_stops_is_left_for_a_standby(void **state)
{
    struct fixture *f = *state;

    runtime_set_endpoints(&f->runtime, (const uint16_t[]) { 1, 2 }, (const unsigned[]) { 0, 1 }, 2);
    f->runtime.route.max_upstream_connections = 2;
    struct upstream *told = dial_ready(f, UPSTREAM_FOR_MESSAGE), *other = dial_ready(f, UPSTREAM_FOR_MESSAGE);
    assert_int_equal(told->endpoint_at + other->endpoint_at, 0);
    upstreams_load(told, 1);
    say_shutdown(told);
    assert_ptr_equal(upstream_pool_pick(&f->pool, told->id), other); /* until another endpoint works */
    struct upstream *standby = dial_ready(f, UPSTREAM_FOR_BALANCE);
    assert_int_equal(standby->endpoint_at, 1);
    assert_true(other->retires_for);
    assert_ptr_equal(upstream_pool_pick(&f->pool, other->id), standby);
    upstream_end(other, END_RETIRED);
    expect_no_dial(f, UPSTREAM_FOR_BALANCE, 0);
    upstreams_settle(told);
    upstream_end(told, END_RETIRED);
    expect_no_dial(f, UPSTREAM_FOR_BALANCE, 0);
    runtime_pass(&f->runtime, f->runtime.transport.dialer.endpoints.eject_min_ms);
    assert_int_equal(dial_ready(f, UPSTREAM_FOR_BALANCE)->endpoint_at, 0);
    assert_true(standby->retires_for);
}

static void a_husk_that_stops_is_dialled_while_nothing_else_works(void **state)
{
    struct fixture *f = *state;

    runtime_set_endpoints(&f->runtime, (const uint16_t[]) { 1, 2 }, (const unsigned[]) { 0, 1 }, 2);
    struct upstream *told = dial_ready(f, UPSTREAM_FOR_MESSAGE);
    runtime_pass(&f->runtime, 500); /* else all dials wait */
    say_shutdown(told);
    upstream_end(told, END_RETIRED);
    struct upstream *standby = dial_ready(f, UPSTREAM_FOR_MESSAGE);
    assert_int_equal(standby->endpoint_at, 1);
    upstream_end(standby, END_RESET);
    struct upstream *primary = dial_ready(f, UPSTREAM_FOR_MESSAGE);
    assert_int_equal(primary->endpoint_at, 0);
    assert_ptr_equal(upstream_pool_pick(&f->pool, 0), primary);
}

/* ---- retirement ---- */

static void the_age_of_a_connection_counts_from_when_it_is_ready(void **state)
{
    struct fixture *f = *state;

    set_two(f);
    assert_int_equal(dial_ready(f, UPSTREAM_FOR_MESSAGE)->retire_at_ms, 0);
    f->runtime.route.max_connection_age_ms = 10000;
    struct upstream *upstream = dial(f, UPSTREAM_FOR_MESSAGE);
    runtime_pass(&f->runtime, 300);
    upstreams_make_ready(upstream);
    assert_int_equal(upstream->retire_at_ms, now_ms(f) + 9000); /* a tenth earlier; nothing by chance */
}

static void retirements_differ_by_chance(void **state)
{
    struct fixture *f = *state;
    uint64_t earliest_ms = UINT64_MAX, latest_ms = 0;

    set_one(f);
    f->runtime.route.max_connection_age_ms = 10000;
    struct upstream *upstream = dial_ready(f, UPSTREAM_FOR_MESSAGE);
    f->runtime.transport.dialer.endpoints.random = 1;
    for (unsigned i = 0; i < 1000; i++) {
        upstream_pool_on_ready(&f->pool, upstream);
        uint64_t age_ms = upstream->retire_at_ms - now_ms(f);
        earliest_ms = age_ms < earliest_ms ? age_ms : earliest_ms;
        latest_ms = age_ms > latest_ms ? age_ms : latest_ms;
    }
    assert_in_range(earliest_ms, 9000, 9100);
    assert_in_range(latest_ms, 10900, 10999);
}

static void a_few_old_connections_retire_at_a_time(void **state)
{
    struct fixture *f = *state;
    struct upstream *pair[2];

    make_pair(f, pair);
    upstream_pool_on_old(&f->pool, pair[0]);
    upstream_pool_on_old(&f->pool, pair[1]);
    assert_true(pair[0]->retires_for);
    assert_false(pair[1]->retires_for);
    assert_int_equal(pair[1]->retire_at_ms, now_ms(f) + 1000);
    upstream_end(pair[0], END_RETIRED);
    upstream_pool_on_old(&f->pool, pair[1]);
    assert_true(pair[1]->retires_for);
}

static void a_reserved_connection_retires_after_its_message(void **state)
{
    struct fixture *f = *state;
    struct message *message = messages_make(&f->runtime.reactor.pool, "m", MESSAGE_OUR_ACK, 1);

    set_one(f);
    struct upstream *upstream = dial_ready(f, UPSTREAM_FOR_RESERVATION);
    assert_true(upstream_pool_reserve(&f->pool, message, 100));
    upstream_pool_on_old(&f->pool, upstream);
    assert_false(upstream->retires_for);
    assert_int_equal(upstream->retire_at_ms, now_ms(f) + 1000);
    reservation_cancel(message);
    upstream_pool_on_old(&f->pool, upstream);
    assert_true(upstream->retires_for);
    message_free(message);
}

static void a_reserved_connection_that_is_not_trusted_gets_no_message(void **state)
{
    struct fixture *f = *state;
    struct message *message = messages_make(&f->runtime.reactor.pool, "m", MESSAGE_OUR_ACK, 1);

    set_one(f);
    struct upstream *upstream = dial_ready(f, UPSTREAM_FOR_RESERVATION);
    assert_true(upstream_pool_reserve(&f->pool, message, 100));
    (void)reservation_check(&upstream->reservation, upstream->reservation.due_ms);
    assert_true(message->reservation->is_due);
    upstream_retire(upstream, END_DISTRUSTED);
    assert_null(upstream_pool_redeem(&f->pool, message->reservation));
    upstream_end(upstream, END_DISTRUSTED);
    assert_null(message->reservation);
    message_free(message);
}

static void a_released_connection_retires_if_there_are_too_many(void **state)
{
    struct fixture *f = *state;

    set_one(f);
    struct upstream *first = dial_ready(f, UPSTREAM_FOR_MESSAGE);
    upstreams_load(first, 1);
    struct upstream *exclusive = dial_ready(f, UPSTREAM_FOR_EXCLUSIVE);
    upstream_hold(exclusive, &holder, 1);
    upstream_release(exclusive);
    upstream_pool_on_released(&f->pool, exclusive);
    assert_true(exclusive->retires_for);
    upstream_pool_on_released(&f->pool, first); /* now it is the only one */
    assert_false(first->retires_for);
}

static void a_connection_retires_when_its_address_is_gone(void **state)
{
    struct fixture *f = *state;
    struct upstream *pair[2];

    make_pair(f, pair);
    runtime_set_endpoints(&f->runtime, (const uint16_t[]) { 3, 2 }, NULL, 2);
    upstream_pool_endpoints_changed(&f->pool);
    assert_true(pair[0]->retires_for);
    assert_false(pair[1]->retires_for);
    runtime_set_endpoints(&f->runtime, (const uint16_t[]) { 2, 3 }, NULL, 2);
    upstream_pool_endpoints_changed(&f->pool);
    assert_false(pair[1]->retires_for);
    assert_int_equal(pair[1]->endpoint_at, 0);
}

static void a_connection_whose_address_left_while_it_was_dialled_retires(void **state)
{
    struct fixture *f = *state;

    set_one(f);
    struct upstream *upstream = dial(f, UPSTREAM_FOR_MESSAGE);
    runtime_set_endpoints(&f->runtime, (const uint16_t[]) { 2 }, NULL, 1);
    upstream_pool_endpoints_changed(&f->pool);
    assert_false(upstream->retires_for); /* it has no address yet */
    upstreams_make_ready(upstream);
    assert_true(upstream->retires_for);
}

static void a_connection_that_is_not_trusted_retires_within_the_drain_timeout(void **state)
{
    struct fixture *f = *state;
    struct upstream *pair[2];

    f->runtime.route.drain_timeout_ms = 1000;
    make_pair(f, pair);
    for (unsigned i = 0; i < 2; i++) {
        upstream_retire(pair[i], i == 0 ? END_RETIRED : END_DISTRUSTED);
        assert_int_equal(pair[i]->end_at_ms, i == 0 ? 0 : f->runtime.reactor.now_ms + 1000);
    }
    assert_null(upstream_pool_pick(&f->pool, 0));
    dial(f, UPSTREAM_FOR_MESSAGE);
    uint64_t end_at_ms = pair[1]->end_at_ms;
    runtime_pass(&f->runtime, 10);
    upstream_retire(pair[0], END_DISTRUSTED);
    upstream_retire(pair[1], END_RETIRED);
    upstream_retire(pair[1], END_DISTRUSTED);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pair[i]->retires_for, END_DISTRUSTED);
    assert_int_equal(pair[0]->end_at_ms, end_at_ms + 10);
    assert_int_equal(pair[1]->end_at_ms, end_at_ms); /* a second reload does not move it */
}

static void plaintext_connections_stay_when_credentials_change(void **state)
{
    struct fixture *f = *state;
    struct upstream *pair[2];

    make_pair(f, pair);
    f->runtime.transport.dialer.generation++;
    upstream_pool_credentials_changed(&f->pool);
    assert_false(pair[0]->retires_for || pair[1]->retires_for);
}

/* Agents choose chunk ids: what they learn about one connection must not help on another. */
static void each_connection_has_a_hash_key_of_its_own(void **state)
{
    struct fixture *f = *state;

    set_two(f);
    f->runtime.route.max_upstream_connections = 2;
    const struct hash_key *first = &dial_ready(f, UPSTREAM_FOR_MESSAGE)->stream.in_flight.ledger.key;
    const struct hash_key *second = &dial_ready(f, UPSTREAM_FOR_MESSAGE)->stream.in_flight.ledger.key;
    assert_memory_not_equal(first, second, sizeof hash_key);
    assert_memory_not_equal(first, &hash_key, sizeof hash_key);
    assert_memory_not_equal(second, &hash_key, sizeof hash_key);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_connection_is_picked_once_it_is_ready),
        TEST(the_least_loaded_connection_is_picked),
        TEST(load_counts_by_weight),
        TEST(a_sender_stays_on_its_connection_while_load_is_even),
        TEST(a_sender_leaves_a_connection_of_a_higher_tier),
        TEST(only_an_idle_connection_is_exclusive),
        TEST(exclusive_connections_have_a_limit),
        TEST(one_dial_at_a_time_is_under_way),
        TEST(connections_per_endpoint_have_a_limit),
        TEST(a_dial_for_balance_waits_until_connections_are_busy),
        TEST(one_endpoint_needs_no_balance),
        TEST(exclusive_connections_come_on_top_of_shared_ones),
        TEST(endpoints_are_dialled_in_turn),
        TEST(exclusive_connections_in_use_have_a_limit),
        TEST(a_failed_endpoint_is_dialled_behind_others),
        TEST(a_dial_to_a_failed_endpoint_does_not_hold_up_others),
        TEST(dials_back_off_while_no_connection_is_of_use),
        TEST(an_isolated_message_is_at_fault_where_others_get_through),
        TEST(an_isolated_message_is_not_at_fault_where_nothing_gets_through),
        TEST(fewer_messages_are_unsettled_after_a_connection_has_ended),
        TEST(the_window_of_an_address_stays_when_other_addresses_change),
        TEST(a_late_ack_leaves_the_window_and_waits_for_the_next_dial),
        TEST(a_late_ack_is_no_failure_of_an_address_that_acknowledges_others),
        TEST(only_acks_are_evidence_that_messages_get_through),
        TEST(messages_are_held_if_no_address_acknowledges),
        TEST(an_idle_connection_that_the_peer_ends_later_is_no_failure),
        TEST(a_connection_without_acks_is_of_use_if_it_lasts),
        TEST(a_failure_of_this_process_backs_off_from_all_endpoints),
        TEST(a_connection_that_husk_ends_causes_no_back_off),
        TEST(connections_that_are_sent_away_at_once_cause_a_back_off),
        TEST(a_connection_that_is_sent_away_later_causes_no_back_off),
        TEST(an_endpoint_that_works_needs_no_back_off_of_another),
        TEST(without_a_usable_endpoint_one_dial_takes_any),
        TEST(without_a_usable_endpoint_one_connection_is_enough),
        TEST(a_higher_tier_is_used_while_lower_ones_are_ejected),
        TEST(a_husk_that_stops_is_left_for_a_standby),
        TEST(a_husk_that_stops_is_dialled_while_nothing_else_works),
        TEST(the_age_of_a_connection_counts_from_when_it_is_ready),
        TEST(retirements_differ_by_chance),
        TEST(a_few_old_connections_retire_at_a_time),
        TEST(a_reserved_connection_retires_after_its_message),
        TEST(a_reserved_connection_that_is_not_trusted_gets_no_message),
        TEST(a_released_connection_retires_if_there_are_too_many),
        TEST(a_connection_retires_when_its_address_is_gone),
        TEST(a_connection_whose_address_left_while_it_was_dialled_retires),
        TEST(a_connection_that_is_not_trusted_retires_within_the_drain_timeout),
        TEST(plaintext_connections_stay_when_credentials_change),
        TEST(each_connection_has_a_hash_key_of_its_own),
    };

    return cmocka_run_group_tests_name("upstream_pool", tests, NULL, NULL);
}
