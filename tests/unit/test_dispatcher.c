/* proxy/delivery/dispatcher.c: messages on their way from senders to upstream connections and back. */
#include "delivery/dispatcher.h"

#include "support/budget.h"
#include "support/messages.h"
#include "support/runtime.h"
#include "support/upstreams.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

/* A sender and its owner, who drops the sender when a message cannot be delivered, as an agent's connection
 * does. */
struct agent {
    struct sender sender;
    struct dispatcher *dispatcher;
    unsigned settled, refused, undelivered, wakes;
    bool goes_on; /* the agent stays after a message was refused */
};

struct request {
    struct exclusive_request request; /* first */
    struct message *message;          /* is cut through */
    struct upstream *granted;
    enum end_reason lost;
    unsigned spaces, overdue;
    struct dispatcher *dispatcher;
};

struct fixture {
    struct runtime runtime;
    struct read_budget budget;
    struct chunk_ids chunk_ids;
    struct dispatcher dispatcher;
    struct agent agents[2];
    struct request request;
    unsigned pressures;
};

static struct fixture fixture;

/* ---- callbacks ---- */

static void on_settled(void *owner, const struct message *message)
{
    ((struct agent *)owner)->settled += message->count;
}

static void on_undelivered(void *owner, enum end_reason reason)
{
    struct agent *agent = owner;

    (void)reason;
    agent->undelivered++;
    dispatcher_forget(agent->dispatcher, &agent->sender);
    sender_release(&agent->sender);
}

static void on_refused(void *owner, const struct sender_refusal *refusal)
{
    struct agent *agent = owner;

    agent->refused += refusal->events;
    if (!agent->goes_on)
        on_undelivered(owner, refusal->reason);
}

static void on_wake(void *owner)
{
    ((struct agent *)owner)->wakes++;
}

static const struct sender_events sender_events = { on_settled, on_refused, on_undelivered, on_wake };

static void on_granted(struct exclusive_request *request, struct upstream *upstream)
{
    ((struct request *)request)->granted = upstream;
}

static void on_space(struct exclusive_request *request)
{
    ((struct request *)request)->spaces++;
}

static void on_lost(struct exclusive_request *request, enum end_reason reason)
{
    ((struct request *)request)->lost = reason;
}

static void on_overdue(struct exclusive_request *request)
{
    struct request *overdue = (struct request *)request;

    overdue->overdue++;
    dispatcher_cancel(overdue->dispatcher, request);
}

static const struct exclusive_events exclusive_events = { on_granted, on_space, on_lost, on_overdue };

static void on_pressure(void *owner)
{
    ((struct fixture *)owner)->pressures++;
}

/* ---- life ---- */

static int set_up(void **state)
{
    struct fixture *f = &fixture;

    *f = (struct fixture) { .chunk_ids = { .seed = 1 } };
    runtime_open(&f->runtime);
    runtime_set_endpoints(&f->runtime, (const uint16_t[]) { 1, 2 }, NULL, 2);
    read_budget_init(&f->budget, &budget_without_agents, f->runtime.route.retain_bytes,
                     &f->runtime.transport.metrics.messages.retained_bytes);
    dispatcher_init(&f->dispatcher, &(struct dispatcher_options) { .transport = &f->runtime.transport,
                                                                   .budget = &f->budget,
                                                                   .chunk_ids = &f->chunk_ids,
                                                                   .on_pressure = on_pressure,
                                                                   .owner = f });
    dispatcher_endpoints_changed(&f->dispatcher);
    for (unsigned i = 0; i < 2; i++) {
        f->agents[i].dispatcher = &f->dispatcher;
        sender_init(&f->agents[i].sender, &sender_events, &f->agents[i], i + 1);
    }
    struct message *large = messages_make(&f->runtime.reactor.pool, "l", MESSAGE_OUR_ACK, 1);
    f->request = (struct request) {
        .request = { .events = &exclusive_events, .sender = &f->agents[0].sender, .message = large },
        .message = large,
        .dispatcher = &f->dispatcher
    };
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 2; i++) {
        dispatcher_forget(&f->dispatcher, &f->agents[i].sender);
        sender_release(&f->agents[i].sender);
    }
    dispatcher_end(&f->dispatcher);
    dispatcher_deinit(&f->dispatcher);
    message_free(f->request.message);
    assert_int_equal(f->dispatcher.unsettled.count, 0);
    assert_int_equal(f->budget.retained_bytes, 0);
    assert_int_equal(metrics_read(&f->runtime.transport.metrics.messages.unacked), 0);
    runtime_close(&f->runtime);
    return 0;
}

static const struct message_metrics *metrics_of(const struct fixture *f)
{
    return &f->runtime.transport.metrics.messages;
}

/* A message of the agent at `agent` is submitted. */
static struct message *submit(struct fixture *f, unsigned agent, const char *name, enum message_ack ack,
                              unsigned count)
{
    struct message *message = messages_make(&f->runtime.reactor.pool, name, ack, count);

    dispatcher_submit(&f->dispatcher, &f->agents[agent].sender, message);
    return message;
}

/* The connection dialled last becomes ready. */
static struct upstream *make_ready(struct fixture *f)
{
    return upstreams_make_last_ready(&f->dispatcher.pool);
}

/* The unsettled messages of the connection are `messages`, in order. */
static void expect_sent(const struct upstream *upstream, struct message *const *messages, unsigned count)
{
    struct ledger_entry *entry = upstream->stream.in_flight.ledger.first;

    for (unsigned i = 0; i < count; i++, entry = entry->next) {
        assert_non_null(entry);
        assert_ptr_equal(message_of(entry), messages[i]);
    }
    assert_null(entry);
}

#define EXPECT_SENT(upstream, ...)                                                                           \
    expect_sent(upstream, (struct message *const[]) { __VA_ARGS__ },                                         \
                sizeof((struct message *const[]) { __VA_ARGS__ }) / sizeof(struct message *))

static void timer_fire(struct fixture *f)
{
    f->dispatcher.timer.fires_at_ms = 0;
    f->dispatcher.timer.on_fire(f->dispatcher.timer.owner);
}

/* ---- sending ---- */

static void a_message_waits_for_a_connection_and_settles(void **state)
{
    struct fixture *f = *state;
    struct message *message = submit(f, 0, "a", MESSAGE_AGENT_ACK, 1);
    uint64_t bytes = message->entry.size;

    assert_int_equal(f->dispatcher.unsettled.count, 1);
    assert_int_equal(metrics_read(&metrics_of(f)->waiting), 1);
    assert_int_equal(metrics_read(&metrics_of(f)->received), 1);
    assert_int_equal(f->budget.retained_bytes, sizeof *message + bytes);
    struct upstream *upstream = make_ready(f);
    EXPECT_SENT(upstream, message);
    assert_false(message_is_waiting(message));
    messages_expect_bytes(message, message->flat, message->flat_length); /* still kept */
    messages_expect_buffer(&upstream->stream.outgoing, message->flat, message->flat_length);
    assert_int_equal(f->agents[0].sender.upstream_id, upstream->id);
    assert_int_equal(metrics_read(&metrics_of(f)->waiting), 0);
    upstreams_settle(upstream);
    assert_int_equal(f->agents[0].settled, 1);
    assert_int_equal(metrics_read(&metrics_of(f)->settled), 1);
    assert_int_equal(f->budget.retained_bytes, 0);
    assert_int_equal(f->dispatcher.unsettled.count, 0);
}

static void an_unprotected_message_is_not_kept_once_it_is_sent(void **state)
{
    struct fixture *f = *state;
    struct message *message = submit(f, 0, "a", MESSAGE_NO_ACK, 1);

    assert_int_equal(metrics_read(&metrics_of(f)->unprotected), 1);
    assert_true(message->is_kept);
    make_ready(f);
    assert_false(message->is_kept);
    assert_int_equal(f->budget.retained_bytes, sizeof *message);
}

static void messages_are_sent_in_order_while_a_connection_has_space(void **state)
{
    struct fixture *f = *state;
    struct message *first = submit(f, 0, "a", MESSAGE_OUR_ACK, 1),
                   *second = submit(f, 1, "b", MESSAGE_OUR_ACK, 1);
    struct message *third = submit(f, 0, "c", MESSAGE_OUR_ACK, 1);

    f->runtime.route.buffer_bytes = (size_t)(first->entry.size + second->entry.size);
    struct upstream *upstream = make_ready(f);
    EXPECT_SENT(upstream, first, second);
    assert_true(message_is_waiting(third));
    buffer_clear(&upstream->stream.outgoing);     /* the socket has taken them */
    dispatcher_endpoints_changed(&f->dispatcher); /* dispatches */
    EXPECT_SENT(upstream, first, second, third);
}

static void agents_are_not_read_while_messages_wait_at_ready_connections(void **state)
{
    struct fixture *f = *state;
    struct message *message = submit(f, 0, "a", MESSAGE_OUR_ACK, 1);
    struct read_share share;
    size_t bytes = (size_t)message->entry.size;

    read_share_init(&share, NULL);
    f->runtime.route.buffer_bytes = 2 * bytes;
    for (unsigned i = 0; i < 4; i++)
        submit(f, 0, "a", MESSAGE_OUR_ACK, 1);
    assert_true(read_budget_admits(&f->budget, &share)); /* no connection is ready */
    struct upstream *upstream = make_ready(f);
    assert_int_equal(f->dispatcher.waiting.bytes, 3 * bytes);
    assert_false(read_budget_admits(&f->budget, &share));
    buffer_clear(&upstream->stream.outgoing);
    dispatcher_endpoints_changed(&f->dispatcher); /* dispatches */
    assert_int_equal(f->dispatcher.waiting.bytes, bytes);
    assert_false(read_budget_admits(&f->budget, &share)); /* not before most of them are gone */
    buffer_clear(&upstream->stream.outgoing);
    dispatcher_endpoints_changed(&f->dispatcher); /* dispatches */
    assert_true(read_budget_admits(&f->budget, &share));
}

/* ---- connections that end ---- */

static void a_message_at_which_a_connection_ends_is_sent_alone(void **state)
{
    struct fixture *f = *state;
    struct message *first = submit(f, 0, "a", MESSAGE_AGENT_ACK, 1);
    struct message *second = submit(f, 0, "b", MESSAGE_AGENT_ACK, 1);
    struct message *other = submit(f, 1, "c", MESSAGE_AGENT_ACK, 1);

    upstream_end(make_ready(f), END_RESET);
    assert_true(message_is_isolated(first));
    assert_false(message_is_isolated(second));
    assert_int_equal(metrics_read(&metrics_of(f)->retried), 3);
    assert_int_equal(metrics_read(&metrics_of(f)->unacked), 0);
    struct upstream *exclusive = make_ready(f);
    EXPECT_SENT(exclusive, first);
    assert_int_equal(exclusive->use, UPSTREAM_ISOLATED);
    assert_true(dispatcher_must_wait(&f->dispatcher, &f->agents[0].sender));
    assert_false(dispatcher_must_wait(&f->dispatcher, &f->agents[1].sender));
    struct upstream *shared = make_ready(f); /* dialled for the message of the other agent */
    EXPECT_SENT(shared, other);
    assert_true(message_is_waiting(second)); /* it must not overtake the isolated one */
    upstreams_settle(exclusive);
    assert_false(message_is_waiting(second));
    assert_false(dispatcher_must_wait(&f->dispatcher, &f->agents[0].sender));
}

/* The connection that is reserved for a message. */
static struct upstream *reserved(const struct fixture *f)
{
    struct upstream *upstream;

    LIST_FOREACH (upstream, &f->dispatcher.pool.list, sibling) {
        if (upstream->reservation.message)
            return upstream;
    }
    return NULL;
}

/* Time passes, so that another dial is allowed. */
static void back_off(struct fixture *f)
{
    runtime_pass(&f->runtime, 10000);
    dispatcher_endpoints_changed(&f->dispatcher); /* dispatches */
}

static void a_message_is_given_up_after_so_many_attempts(void **state)
{
    struct fixture *f = *state;
    unsigned deliveries = 0;

    f->runtime.route.eject_time_ms = f->runtime.route.eject_time_max_ms = 0;
    submit(f, 0, "a", MESSAGE_AGENT_ACK, 1);
    while (!f->agents[0].undelivered) {
        struct upstream *upstream = make_ready(f);
        if (reserved(f))
            upstreams_stay_quiet(upstream);
        assert_int_equal(upstream->stream.in_flight.ledger.count, 1);
        deliveries++;
        upstream_end(upstream, END_RESET);
        back_off(f);
    }
    assert_int_equal(deliveries, f->runtime.route.max_attempts);
    assert_int_equal(metrics_read(&metrics_of(f)->dropped[END_RESET]), 1);
    assert_int_equal(f->dispatcher.unsettled.count, 0);
}

/* Two connections end at a message that has no more attempts. Its agent goes on. */
static void give_up(struct fixture *f, enum message_ack ack)
{
    f->dispatcher.retry.max_attempts = 2;
    submit(f, 0, "a", ack, 1);
    submit(f, 0, "b", MESSAGE_OUR_ACK, 1);
    upstream_end(make_ready(f), END_RESET);
    back_off(f);
    struct upstream *upstream = make_ready(f);
    upstreams_stay_quiet(upstream);
    f->agents[0].wakes = 0;
    upstream_end(upstream, END_RESET);
    assert_int_equal(metrics_read(&metrics_of(f)->dropped[END_RESET]), 1);
}

static void the_next_message_goes_on_after_a_loss(void **state)
{
    struct fixture *f = *state;
    char text[RUNTIME_LOG_BYTES];

    f->agents[0].goes_on = true;
    give_up(f, MESSAGE_OUR_ACK);
    assert_int_equal(f->agents[0].refused, 1);
    assert_int_equal(f->agents[0].undelivered, 0);
    assert_false(sender_has_isolated(&f->agents[0].sender));
    assert_int_equal(metrics_read(&metrics_of(f)->waiting), 1);
    runtime_read_log(&f->runtime, text);
    assert_non_null(strstr(text, "warn messages given up route=test reason=reset"));
}

static void a_connection_that_ends_before_the_message_is_sent_is_no_attempt(void **state)
{
    struct fixture *f = *state;
    struct message *message = submit(f, 0, "a", MESSAGE_AGENT_ACK, 1);

    f->runtime.route.eject_time_ms = f->runtime.route.eject_time_max_ms = 0;
    for (unsigned ends = 0; ends < 20; ends++) {
        struct upstream *upstream = make_ready(f);
        assert_int_equal(upstream->stream.in_flight.ledger.count, ends < 2); /* the first retry is at once */
        upstream_end(upstream, END_CLOSED);
        assert_null(message->reservation);
        back_off(f);
    }
    assert_int_equal(message->attempts, 2);
    struct upstream *upstream = make_ready(f);
    upstreams_stay_quiet(upstream);
    upstreams_settle(upstream);
    assert_int_equal(f->agents[0].settled, 1);
}

/* A message at which two connections have ended, and the connection that is reserved for it. */
static struct upstream *make_reserved(struct fixture *f, struct message **message)
{
    *message = submit(f, 0, "a", MESSAGE_AGENT_ACK, 1);
    f->runtime.route.eject_time_ms = f->runtime.route.eject_time_max_ms = 0;
    for (unsigned i = 0; i < 2; i++) {
        upstream_end(make_ready(f), END_RESET);
        back_off(f);
    }
    return make_ready(f);
}

static void an_isolated_message_waits_on_its_connection_and_others_do_not(void **state)
{
    struct fixture *f = *state;
    struct message *isolated;
    struct upstream *upstream = make_reserved(f, &isolated);

    assert_ptr_equal(reserved(f), upstream);
    assert_int_equal(upstream->reservation.due_ms, f->runtime.reactor.now_ms + RETRY_DELAY_MIN_MS);
    assert_true(message_is_waiting(isolated));
    struct message *other = submit(f, 1, "b", MESSAGE_AGENT_ACK, 1);
    assert_int_equal(upstream->stream.in_flight.ledger.count, 0);
    struct upstream *shared = make_ready(f);
    EXPECT_SENT(shared, other);
    upstreams_stay_quiet(upstream);
    EXPECT_SENT(upstream, isolated);
    assert_int_equal(upstream->use, UPSTREAM_ISOLATED);
    upstreams_settle(upstream);
    assert_false(upstream->was_quiet);
}

static void no_other_agent_waits_for_the_back_off_of_an_isolated_message(void **state)
{
    struct fixture *f = *state;
    struct message *isolated;
    struct upstream *upstream = make_reserved(f, &isolated);

    f->dispatcher.retry.max_attempts = 20;
    upstreams_stay_quiet(upstream);
    upstream_end(upstream, END_RESET);
    assert_true(isolated->is_blamed && message_is_waiting(isolated));
    upstream = make_ready(f);
    assert_ptr_equal(upstream->reservation.message, isolated);
    struct message *other = submit(f, 1, "b", MESSAGE_AGENT_ACK, 1);
    EXPECT_SENT(make_ready(f), other); /* dialled at once */
}

static void a_message_that_is_forgotten_frees_its_reserved_connection(void **state)
{
    struct fixture *f = *state;
    struct message *isolated;
    struct upstream *upstream = make_reserved(f, &isolated);

    dispatcher_forget(&f->dispatcher, &f->agents[0].sender);
    assert_null(reserved(f));
    EXPECT_SENT(upstream, submit(f, 1, "b", MESSAGE_AGENT_ACK, 1));
}

static void a_message_that_must_wait_leaves_its_reservation_to_the_one_before_it(void **state)
{
    struct fixture *f = *state;
    struct message *before, *message;

    f->dispatcher.retry.max_attempts = 20; /* the one before does not yield yet */
    struct upstream *upstream = make_reserved(f, &before);

    message = submit(f, 0, "b", MESSAGE_AGENT_ACK, 1);
    message->attempts = 2; /* it was isolated first */
    reservation_cancel(before);
    reservation_make(&upstream->reservation, message, UINT64_MAX); /* the only one that is allowed */
    dispatcher_endpoints_changed(&f->dispatcher);                  /* dispatches */
    dispatcher_endpoints_changed(&f->dispatcher);
    assert_null(message->reservation);
    assert_ptr_equal(upstream->reservation.message, before);
}

static void a_reserved_connection_leaves_the_exclusive_ones_to_others(void **state)
{
    struct fixture *f = *state;
    struct message *isolated;
    struct upstream *upstream = make_reserved(f, &isolated); /* and one exclusive connection is allowed */

    dispatcher_request(&f->dispatcher, &f->request.request);
    struct upstream *exclusive = make_ready(f);
    assert_ptr_equal(f->request.granted, exclusive);
    upstreams_stay_quiet(upstream);
    assert_true(message_is_waiting(isolated)); /* one is in use */
    upstream_release(exclusive);
    dispatcher_endpoints_changed(&f->dispatcher); /* dispatches */
    EXPECT_SENT(upstream, isolated);
}

static void a_drain_hurries_a_message_that_waits_for_its_retry(void **state)
{
    struct fixture *f = *state;
    struct message *isolated;

    f->dispatcher.retry.max_attempts = 20;
    make_reserved(f, &isolated);
    isolated->attempts = 9;
    upstream_end(reserved(f), END_RESET);
    assert_int_not_equal(f->dispatcher.pool.redial.at_ms, 0);
    dispatcher_drain(&f->dispatcher);
    struct upstream *upstream = make_ready(f); /* dialled at once */
    assert_int_equal(upstream->reservation.due_ms, f->runtime.reactor.now_ms + RETRY_DELAY_MIN_MS);
    upstream->reservation.due_ms += 5000;
    dispatcher_drain(&f->dispatcher);
    assert_int_equal(upstream->reservation.due_ms, f->runtime.reactor.now_ms + RETRY_DELAY_MIN_MS);
}

static void messages_of_an_agent_that_leaves_at_the_loss_of_one_are_not_sent_again(void **state)
{
    struct fixture *f = *state;

    submit(f, 0, "a", MESSAGE_AGENT_ACK, 1);
    struct message *lost = submit(f, 0, "b", MESSAGE_AGENT_ACK, 1);
    submit(f, 0, "c", MESSAGE_AGENT_ACK, 1);
    struct message *ours = submit(f, 0, "d", MESSAGE_OUR_ACK, 1);
    struct upstream *upstream = make_ready(f);
    message_discard_bytes(lost); /* the agent is told, and leaves */
    upstream_end(upstream, END_RESET);
    assert_int_equal(f->agents[0].undelivered, 1);
    assert_int_equal(metrics_read(&metrics_of(f)->dropped[END_LEFT]), 2);
    assert_int_equal(metrics_read(&metrics_of(f)->waiting), 1);
    assert_ptr_equal(TAILQ_FIRST(&f->dispatcher.waiting.shared), ours);
}

static void a_batch_that_fails_twice_is_split(void **state)
{
    struct fixture *f = *state;

    submit(f, 0, "a", MESSAGE_AGENT_ACK, 3);
    upstream_end(make_ready(f), END_RESET);
    assert_int_equal(f->dispatcher.waiting.count, 3);
    upstream_end(make_ready(f), END_RESET);
    assert_int_equal(f->dispatcher.waiting.count, 3);
    assert_int_equal(f->dispatcher.unsettled.count, 3);
    runtime_pass(&f->runtime, 10000);
    dispatcher_endpoints_changed(&f->dispatcher); /* dispatches */
    struct upstream *upstream = make_ready(f);
    for (unsigned i = 1; i <= 3; i++) { /* one after the other, each alone */
        assert_int_equal(upstream->stream.in_flight.ledger.count, 1);
        upstreams_settle(upstream);
        assert_int_equal(f->agents[0].settled, i);
    }
}

static void a_message_of_an_agent_that_is_gone_is_not_sent_again(void **state)
{
    struct fixture *f = *state;

    submit(f, 0, "a", MESSAGE_AGENT_ACK, 1);
    submit(f, 0, "b", MESSAGE_OUR_ACK, 1);
    struct upstream *upstream = make_ready(f);
    sender_release(&f->agents[0].sender);
    upstream_end(upstream, END_UPSTREAM_CLOSED);
    assert_int_equal(metrics_read(&metrics_of(f)->dropped[END_LEFT]), 1);
    assert_int_equal(f->dispatcher.waiting.count, 1); /* nobody else would send the other one */
}

static void waiting_messages_of_a_gone_agent_are_forgotten_if_it_sends_them_again(void **state)
{
    struct fixture *f = *state;

    submit(f, 0, "a", MESSAGE_AGENT_ACK, 1);
    struct message *ours = submit(f, 0, "b", MESSAGE_OUR_ACK, 1);
    submit(f, 0, "c", MESSAGE_AGENT_ACK, 2); /* a batch of another husk, which sends it again */
    struct message *other = submit(f, 1, "d", MESSAGE_AGENT_ACK, 1);
    dispatcher_forget(&f->dispatcher, &f->agents[0].sender);
    assert_int_equal(metrics_read(&metrics_of(f)->dropped[END_LEFT]), 3);
    assert_int_equal(metrics_read(&metrics_of(f)->waiting), 2);
    assert_int_equal(f->agents[0].undelivered, 0);
    EXPECT_SENT(make_ready(f), ours, other);
}

static void a_message_that_was_sent_is_not_forgotten(void **state)
{
    struct fixture *f = *state;
    struct message *message = submit(f, 0, "a", MESSAGE_AGENT_ACK, 1);
    struct upstream *upstream = make_ready(f);

    dispatcher_forget(&f->dispatcher, &f->agents[0].sender);
    EXPECT_SENT(upstream, message);
    upstreams_settle(upstream);
    assert_int_equal(f->agents[0].settled, 1);
}

static void others_do_not_wait_for_the_connection_of_an_isolated_message(void **state)
{
    struct fixture *f = *state;
    struct message *isolated = submit(f, 0, "a", MESSAGE_AGENT_ACK, 1);
    struct message *second = submit(f, 1, "b", MESSAGE_AGENT_ACK, 1), *third;

    f->runtime.route.buffer_bytes = 1; /* space for one message */
    struct upstream *ends = make_ready(f), *stays = make_ready(f);
    f->runtime.route.buffer_bytes = 4096;
    upstream_end(ends, END_RESET);
    EXPECT_SENT(stays, second);
    assert_true(message_is_isolated(isolated) && message_is_waiting(isolated)); /* no connection is idle */
    third = submit(f, 1, "c", MESSAGE_AGENT_ACK, 1);
    EXPECT_SENT(stays, second, third);
}

/* ---- time ---- */

static void an_agent_is_told_that_its_message_waits_for_too_long(void **state)
{
    struct fixture *f = *state;
    struct message *ours = submit(f, 1, "b", MESSAGE_OUR_ACK, 1);

    submit(f, 0, "a", MESSAGE_AGENT_ACK, 1);
    runtime_pass(&f->runtime, f->runtime.route.delivery_timeout_ms - 1);
    timer_fire(f);
    assert_int_equal(f->agents[0].undelivered, 0);
    runtime_pass(&f->runtime, 1);
    timer_fire(f);
    assert_int_equal(f->agents[0].undelivered, 1);
    assert_int_equal(f->agents[1].undelivered, 0);
    assert_int_equal(metrics_read(&metrics_of(f)->dropped[END_UNDELIVERED]), 1);
    assert_true(message_is_waiting(ours)); /* its agent does not wait for an ack */
}

static void a_message_that_waits_for_longer_than_its_age_is_given_up(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.max_age_ms = 5000;
    f->agents[0].goes_on = true; /* it asked for no ack */
    submit(f, 0, "a", MESSAGE_OUR_ACK, 3);
    submit(f, 1, "b", MESSAGE_AGENT_ACK, 1);
    runtime_pass(&f->runtime, 4999);
    timer_fire(f);
    assert_int_equal(metrics_read(&metrics_of(f)->waiting), 4);
    assert_int_not_equal(f->dispatcher.timer.fires_at_ms, 0); /* the next check is set */
    submit(f, 0, "c", MESSAGE_OUR_ACK, 1);
    runtime_pass(&f->runtime, 1);
    timer_fire(f);
    assert_int_equal(metrics_read(&metrics_of(f)->dropped[END_TOO_OLD]), 4);
    assert_int_equal(metrics_read(&metrics_of(f)->waiting), 1);
    assert_int_equal(f->agents[0].refused, 3);
    assert_int_equal(f->agents[1].undelivered, 1);
}

static void a_message_that_was_sent_is_given_up_when_its_connection_ends(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.max_age_ms = 5000;
    struct message *old = submit(f, 0, "a", MESSAGE_OUR_ACK, 1);
    struct upstream *upstream = make_ready(f);
    runtime_pass(&f->runtime, 1000);
    struct message *young = submit(f, 0, "b", MESSAGE_OUR_ACK, 1);
    runtime_pass(&f->runtime, 4000);
    timer_fire(f);
    EXPECT_SENT(upstream, old, young);
    upstream_end(upstream, END_RESET);
    assert_int_equal(metrics_read(&metrics_of(f)->dropped[END_TOO_OLD]), 1);
    assert_int_equal(metrics_read(&metrics_of(f)->waiting), 1);
}

static void the_parts_of_a_batch_are_as_old_as_the_batch(void **state)
{
    struct fixture *f = *state;

    f->runtime.route.max_age_ms = 5000;
    submit(f, 0, "a", MESSAGE_OUR_ACK, 3);
    sender_release(&f->agents[0].sender); /* also when the agent has left */
    upstream_end(make_ready(f), END_RESET);
    upstream_end(make_ready(f), END_RESET);
    assert_int_equal(metrics_read(&metrics_of(f)->waiting), 3); /* it is split */
    runtime_pass(&f->runtime, 4999);
    timer_fire(f);
    assert_int_equal(metrics_read(&metrics_of(f)->dropped[END_TOO_OLD]), 0);
    runtime_pass(&f->runtime, 1);
    timer_fire(f);
    assert_int_equal(metrics_read(&metrics_of(f)->dropped[END_TOO_OLD]), 3);
}

static void without_an_age_no_message_is_given_up(void **state)
{
    struct fixture *f = *state;

    submit(f, 0, "a", MESSAGE_OUR_ACK, 1);
    runtime_pass(&f->runtime, UINT64_C(1000000000));
    timer_fire(f);
    assert_int_equal(metrics_read(&metrics_of(f)->waiting), 1);
}

static void pressure_is_told_while_an_agent_waits(void **state)
{
    struct fixture *f = *state;
    struct read_share share;

    read_share_init(&share, NULL);
    timer_fire(f);
    assert_int_equal(f->pressures, 0);
    assert_int_equal(f->dispatcher.timer.fires_at_ms, 0);
    read_budget_wait(&f->budget, &share);
    assert_true(dispatcher_is_under_pressure(&f->dispatcher));
    timer_fire(f);
    assert_int_equal(f->pressures, 1);
    assert_int_equal(f->dispatcher.timer.fires_at_ms, f->runtime.reactor.now_ms + 500);
    read_budget_leave(&f->budget, &share);
    assert_false(dispatcher_is_under_pressure(&f->dispatcher));
}

/* ---- exclusive connections ---- */

static void a_request_is_granted_an_idle_connection(void **state)
{
    struct fixture *f = *state;

    dispatcher_request(&f->dispatcher, &f->request.request);
    assert_true(dispatcher_is_under_pressure(&f->dispatcher));
    assert_int_equal(metrics_read(&metrics_of(f)->cut_through_waiting), 1);
    struct upstream *upstream = make_ready(f);
    assert_ptr_equal(f->request.granted, upstream);
    assert_int_equal(upstream->use, UPSTREAM_CUT_THROUGH);
    assert_false(dispatcher_is_under_pressure(&f->dispatcher));
    assert_int_equal(metrics_read(&metrics_of(f)->cut_through_waiting), 0);
    struct message *message = submit(f, 0, "a", MESSAGE_OUR_ACK, 1);
    assert_true(message_is_waiting(message)); /* not on this connection */
    upstream->shared->events->on_progress(upstream->shared->observer, upstream);
    assert_int_equal(f->request.spaces, 1);
    upstream_release(upstream);
    dispatcher_endpoints_changed(&f->dispatcher); /* dispatches */
    EXPECT_SENT(upstream, message);
}

static void a_request_whose_connection_ends_waits_again(void **state)
{
    struct fixture *f = *state;

    dispatcher_request(&f->dispatcher, &f->request.request);
    upstream_end(make_ready(f), END_RESET);
    assert_int_equal(f->request.lost, END_RESET);
    assert_int_equal(f->request.message->attempts, 1);
    assert_int_equal(metrics_read(&metrics_of(f)->cut_through_waiting), 1);
    upstream_end(make_ready(f), END_RESET); /* the first retry is at once */
    assert_int_equal(f->request.message->attempts, 2);
    f->request.granted = NULL;
    back_off(f);
    struct upstream *upstream = make_ready(f);
    assert_null(f->request.granted); /* the next one waits on its connection */
    upstreams_stay_quiet(upstream);
    assert_ptr_equal(f->request.granted, upstream);
    upstream_end(upstream, END_RESET);
    assert_true(f->request.message->is_blamed);
    dispatcher_cancel(&f->dispatcher, &f->request.request);
}

static void a_request_that_waits_for_too_long_is_told(void **state)
{
    struct fixture *f = *state;

    dispatcher_request(&f->dispatcher, &f->request.request);
    runtime_pass(&f->runtime, f->runtime.route.delivery_timeout_ms - 1);
    timer_fire(f);
    assert_int_equal(f->request.overdue, 0);
    runtime_pass(&f->runtime, 1);
    timer_fire(f);
    assert_int_equal(f->request.overdue, 1);
    make_ready(f);
    assert_null(f->request.granted); /* it was cancelled */
}

static void a_complete_message_joins_the_others(void **state)
{
    struct fixture *f = *state;
    struct message *message = messages_make(&f->runtime.reactor.pool, "a", MESSAGE_AGENT_ACK, 1);

    dispatcher_request(&f->dispatcher, &f->request.request);
    struct upstream *upstream = make_ready(f);
    dispatcher_complete(&f->dispatcher, &f->agents[0].sender, upstream, message);
    EXPECT_SENT(upstream, message);
    assert_int_equal(upstream->use, UPSTREAM_SHARED);
    assert_int_equal(f->agents[0].sender.upstream_id, upstream->id);
    assert_int_equal(metrics_read(&metrics_of(f)->cut_through), 1);
    assert_int_equal(metrics_read(&metrics_of(f)->received), 1);
    upstreams_settle(upstream);
    assert_int_equal(f->agents[0].settled, 1);
}

/* ---- the end ---- */

static void messages_that_wait_at_the_end_are_dropped(void **state)
{
    struct fixture *f = *state;

    submit(f, 0, "a", MESSAGE_OUR_ACK, 2);
    submit(f, 0, "b", MESSAGE_OUR_ACK, 1);
    make_ready(f);
    sender_release(&f->agents[0].sender);
    dispatcher_end(&f->dispatcher);
    assert_true(LIST_EMPTY(&f->dispatcher.pool.list)); /* and nothing is dialled */
    assert_int_equal(f->dispatcher.unsettled.count, 3);
    dispatcher_deinit(&f->dispatcher);
    assert_int_equal(metrics_read(&metrics_of(f)->dropped[END_SHUTDOWN]), 3);
    assert_int_equal(f->dispatcher.unsettled.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_message_waits_for_a_connection_and_settles),
        TEST(an_unprotected_message_is_not_kept_once_it_is_sent),
        TEST(messages_are_sent_in_order_while_a_connection_has_space),
        TEST(agents_are_not_read_while_messages_wait_at_ready_connections),
        TEST(a_message_at_which_a_connection_ends_is_sent_alone),
        TEST(a_message_is_given_up_after_so_many_attempts),
        TEST(the_next_message_goes_on_after_a_loss),
        TEST(a_connection_that_ends_before_the_message_is_sent_is_no_attempt),
        TEST(an_isolated_message_waits_on_its_connection_and_others_do_not),
        TEST(no_other_agent_waits_for_the_back_off_of_an_isolated_message),
        TEST(a_message_that_is_forgotten_frees_its_reserved_connection),
        TEST(a_message_that_must_wait_leaves_its_reservation_to_the_one_before_it),
        TEST(a_reserved_connection_leaves_the_exclusive_ones_to_others),
        TEST(a_drain_hurries_a_message_that_waits_for_its_retry),
        TEST(messages_of_an_agent_that_leaves_at_the_loss_of_one_are_not_sent_again),
        TEST(a_batch_that_fails_twice_is_split),
        TEST(a_message_of_an_agent_that_is_gone_is_not_sent_again),
        TEST(waiting_messages_of_a_gone_agent_are_forgotten_if_it_sends_them_again),
        TEST(a_message_that_was_sent_is_not_forgotten),
        TEST(others_do_not_wait_for_the_connection_of_an_isolated_message),
        TEST(an_agent_is_told_that_its_message_waits_for_too_long),
        TEST(a_message_that_waits_for_longer_than_its_age_is_given_up),
        TEST(a_message_that_was_sent_is_given_up_when_its_connection_ends),
        TEST(the_parts_of_a_batch_are_as_old_as_the_batch),
        TEST(without_an_age_no_message_is_given_up),
        TEST(pressure_is_told_while_an_agent_waits),
        TEST(a_request_is_granted_an_idle_connection),
        TEST(a_request_whose_connection_ends_waits_again),
        TEST(a_request_that_waits_for_too_long_is_told),
        TEST(a_complete_message_joins_the_others),
        TEST(messages_that_wait_at_the_end_are_dropped),
    };

    return cmocka_run_group_tests_name("dispatcher", tests, NULL, NULL);
}
