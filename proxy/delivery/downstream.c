#include "delivery/downstream.h"

#include "wire/socket.h"

#include <stdlib.h>

enum {
    STEP_BYTES = 256 * 1024, /* moved per step, so that one busy connection does not delay others */
};

static void downstream_step(struct downstream *downstream);

static void on_task(void *task)
{
    downstream_step(task);
}

static struct reactor *reactor_of(const struct downstream *downstream)
{
    return downstream->shared->transport->reactor;
}

static struct metrics *metrics_of(const struct downstream *downstream)
{
    return &downstream->shared->transport->metrics;
}

static const struct route_options *route_of(const struct downstream *downstream)
{
    return downstream->shared->transport->route;
}

static uint64_t now_ms(const struct downstream *downstream)
{
    return reactor_of(downstream)->now_ms;
}

void downstream_wake(struct downstream *downstream)
{
    reactor_queue(reactor_of(downstream), &downstream->task);
}

/* ---- end ---- */

static struct connection_end end_of(const struct downstream *downstream, enum end_reason reason)
{
    return (struct connection_end) {
        .side = SIDE_DOWNSTREAM,
        .reason = reason,
        .phase = agent_access_phase(&downstream->access),
        .detail = agent_access_detail(&downstream->access),
        .leg = &downstream->access.inlet.leg,
        .inlet = &downstream->access.inlet.leg,
        .peer = &downstream->access.inlet.peer,
        .opened_ms = downstream->access.inlet.accepted_ms,
    };
}

static void end_report(struct downstream *downstream, enum end_reason reason)
{
    const struct connection_end end = end_of(downstream, reason);

    metrics_add(&metrics_of(downstream)->side[SIDE_DOWNSTREAM].ended[reason], 1);
    connection_log_write(&downstream->shared->transport->connection_log, &end);
}

/* Whether nothing is unsettled, half read or unsent. */
static bool is_drained(const struct downstream *downstream)
{
    return receiver_is_drained(&downstream->receiver) && !downstream->outgoing.length &&
           !downstream->access.inlet.leg.unsent.length;
}

static bool has_retired(const struct downstream *downstream)
{
    return retirement_is_over(&downstream->retirement, &downstream->receiver, &downstream->access.inlet.leg,
                              &downstream->outgoing);
}

/* Lets an agent of a retired connection read its last acks: a reset, if the agent has sent more, would
 * discard the acks. True when the connection has left the inlet. */
static bool retired_linger(struct downstream *downstream)
{
    return downstream->was_answered && downstream->access.inlet.leg.broken == END_NONE &&
           has_retired(downstream) && inlet_linger(&downstream->access.inlet);
}

static void downstream_end(struct downstream *downstream, enum end_reason reason)
{
    struct leg *leg = &downstream->access.inlet.leg;

    if (downstream->access.state == ACCESS_CLOSED)
        return;
    end_report(downstream, reason);
    bool in_order = end_reason_is_orderly(reason) && leg->broken == END_NONE && is_drained(downstream);
    bool has_answered = agent_access_has_answered(
        &downstream->access, framer_bytes(&downstream->receiver.framer), &downstream->outgoing);
    if (!retired_linger(downstream) && in_order && leg->tls && leg_is_secured(leg))
        (void)leg_finish(leg); /* close_notify; a plaintext leg sends FIN when it is closed */
    agent_access_close(&downstream->access, in_order || has_answered ? LEG_CLOSE : LEG_RESET);
    receiver_end(&downstream->receiver);
    agent_clock_pause(&downstream->clock, &metrics_of(downstream)->messages, now_ms(downstream), 0);
    buffer_clear(&downstream->outgoing);
    agent_reading_end(&downstream->reading, &downstream->receiver);
    timer_stop(&downstream->timer);
    sweep_forget(&downstream->shared->sweep, &downstream->task);
    LIST_REMOVE(downstream, sibling);
    reactor_reap(reactor_of(downstream), &downstream->task);
}

/* ---- callbacks of the receiver and of the read budget ---- */

static void on_wake(void *owner)
{
    downstream_wake(owner);
}

static void on_complete(void *owner)
{
    struct downstream *downstream = owner;

    read_budget_end_overdraft(downstream->shared->budget, &downstream->reading.share);
}

/* The dispatcher calls this, and takes no message during the call: the next step hands up a batch that waits.
 */
static void on_undelivered(void *owner)
{
    struct downstream *downstream = owner;

    if (!framer_has_batch(&downstream->receiver.framer)) {
        downstream_end(downstream, END_UNDELIVERED);
        return;
    }
    leg_break(&downstream->access.inlet.leg, END_UNDELIVERED);
    downstream_wake(downstream);
}

static struct connection_end where(const void *owner, enum end_reason reason)
{
    return end_of(owner, reason);
}

const struct receiver_events downstream_receiver_events = {
    .on_wake = on_wake,
    .on_complete = on_complete,
    .on_undelivered = on_undelivered,
    .where = where,
};

static bool is_mid_message(const void *owner)
{
    const struct downstream *downstream = owner;

    return framer_is_mid_message(&downstream->receiver.framer);
}

const struct read_budget_events downstream_budget_events = { .on_admitted = on_wake,
                                                             .is_mid_message = is_mid_message };

/* ---- whether the agent is read ---- */

/* How long a rate limit makes the agent's next message wait. */
static uint64_t wait_ms(const struct downstream *downstream)
{
    return downstream->access.state == ACCESS_GRANTED
               ? framer_wait_ms(&downstream->receiver.framer, now_ms(downstream))
               : 0;
}

static bool reads(const struct downstream *downstream)
{
    const struct receiver *receiver = &downstream->receiver;

    return agent_reading_is_wanted(receiver, &downstream->access.inlet.leg) &&
           agent_reading_has_budget(&downstream->reading, receiver) && !receiver_must_wait(receiver) &&
           !wait_ms(downstream);
}

static void pause_update(struct downstream *downstream)
{
    agent_clock_pause(&downstream->clock, &metrics_of(downstream)->messages, now_ms(downstream),
                      wait_ms(downstream));
}

/* ---- moving bytes ---- */

/* Puts as many answers into `outgoing` as fit in one TLS record. */
static void answers_write(struct downstream *downstream)
{
    struct buffer *outgoing = &downstream->outgoing;

    if (outgoing->length)
        return;
    if (!senders_write(&downstream->receiver.senders, outgoing, TLS_RECORD_BYTES, now_ms(downstream)))
        leg_break(&downstream->access.inlet.leg, END_NO_MEMORY);
    downstream->was_answered |= outgoing->length > 0;
}

/* Writes the answers that the socket takes at once. For use before the end of the connection. */
static void last_answers_write(struct downstream *downstream)
{
    answers_write(downstream);
    (void)leg_write(&downstream->access.inlet.leg, &downstream->outgoing);
}

/* Gives up acks that are not yet in `outgoing` or sealed. Those bytes stay, because the agent may read again,
 * and a part of an ack may be written. */
static void acks_limit(struct downstream *downstream)
{
    if (downstream->access.inlet.leg.write_blocked)
        metrics_add(
            &metrics_of(downstream)->messages.acks_given_up,
            senders_limit_acks(&downstream->receiver.senders, route_of(downstream)->unread_acks_bytes));
}

/* Reads once. Returns the number of bytes, plus 1 for the end of input. */
static size_t bytes_read(struct downstream *downstream)
{
    struct leg *leg = &downstream->access.inlet.leg;
    struct buffer *incoming = framer_bytes(&downstream->receiver.framer);
    size_t before = incoming->length;

    (void)leg_read(leg, incoming, agent_reading_window(&downstream->reading, &downstream->receiver));
    return incoming->length - before + leg->read_over;
}

/* Whether a batch must not wait for further messages: the agent sends no more, husk stops, or other agents
 * need the memory. */
static bool is_urgent(const struct downstream *downstream)
{
    return downstream->access.inlet.leg.read_over || downstream->shared->is_draining ||
           downstream->retirement.reason != END_NONE ||
           agent_reading_is_scarce(&downstream->reading, &downstream->receiver);
}

/* Hands up what the agent has sent. END_NONE, or why the agent's bytes are refused. */
static enum end_reason messages_take(struct downstream *downstream)
{
    struct framer *framer = &downstream->receiver.framer;
    enum end_reason reason = framer_advance(framer, now_ms(downstream));

    if (reason == END_NONE && framer_has_batch(framer) && is_urgent(downstream))
        reason = framer_flush(framer);
    return reason;
}

/* Moves bytes in both directions once. END_NONE, or why the agent's bytes are refused. */
static enum end_reason bytes_move(struct downstream *downstream, size_t *moved)
{
    answers_write(downstream);
    size_t before = downstream->outgoing.length;
    (void)leg_write(&downstream->access.inlet.leg, &downstream->outgoing);
    *moved = before - downstream->outgoing.length;
    size_t read_bytes = reads(downstream) ? bytes_read(downstream) : 0;
    *moved += read_bytes;
    if (downstream->access.inlet.leg.read_over) /* perhaps since the TLS handshake */
        senders_note_end(&downstream->receiver.senders);
    if (downstream->access.state == ACCESS_AUTHENTICATING) {
        struct step step = agent_access_authenticate(
            &downstream->access, framer_bytes(&downstream->receiver.framer), &downstream->outgoing);
        if (step.outcome != STEP_GOES_ON)
            return step.reason;
        downstream_wake(downstream); /* the connection may retire from now on */
    }
    enum end_reason reason = messages_take(downstream);
    retirement_note_read(&downstream->retirement, &downstream->receiver, &downstream->access.inlet.leg,
                         read_bytes);
    return reason;
}

/* ---- deadlines ---- */

static struct agent_facts facts_of(const struct downstream *downstream)
{
    const struct receiver *receiver = &downstream->receiver;
    const struct framer *framer = &receiver->framer;
    const struct leg *leg = &downstream->access.inlet.leg;

    return (struct agent_facts) {
        .route = route_of(downstream),
        .now_ms = now_ms(downstream),
        .is_untouched = framer_is_untouched(framer) && !leg->read_over,
        .is_mid_message = framer_is_mid_message(framer),
        .has_unsettled = framer_has_batch(framer) || senders_have_unsettled(&receiver->senders),
        .waits_for_husk = downstream->reading.waits_for_budget || receiver_must_wait(receiver),
        .holds_budget = agent_reading_holds_budget(&downstream->reading, receiver),
        .leaves_acks = !receiver->senders.peer && agent_reading_has_left_answers(receiver, leg),
        .is_under_pressure = dispatcher_is_under_pressure(downstream->shared->dispatcher),
    };
}

/* ---- the step ---- */

/* Why the connection must end; END_NONE: it goes on. */
static enum end_reason verdict(const struct downstream *downstream, const struct agent_facts *facts)
{
    const struct leg *leg = &downstream->access.inlet.leg;
    const struct framer *framer = &downstream->receiver.framer;
    enum end_reason reason = agent_access_verdict(&downstream->access);
    bool has_left = leg->broken == END_RESET || leg->broken == END_TRUNCATED;

    if (leg->broken != END_NONE)
        return has_left && framer_is_untouched(framer) ? END_PROBE : leg->broken;
    if (reason != END_NONE)
        return reason;
    if (leg->read_over && facts->is_mid_message)
        return END_MESSAGE_CUT;
    if (has_retired(downstream) || retirement_is_late(&downstream->retirement, facts->now_ms))
        return downstream->retirement.reason;
    if (leg->read_over && is_drained(downstream))
        return framer_is_untouched(framer) ? END_PROBE : END_CLOSED;
    if (agent_clock_is_stalled(&downstream->clock, facts))
        return END_MESSAGE_STALLED;
    if (agent_clock_is_idle(&downstream->clock, facts))
        return END_IDLE;
    return END_NONE;
}

/* Queues the agent for the read budget, and restarts the clock of an agent that was read or has waited. */
static void budget_queue(struct downstream *downstream, size_t moved)
{
    const struct receiver *receiver = &downstream->receiver;
    bool was_waiting = downstream->reading.waits_for_budget;

    agent_reading_queue(&downstream->reading, receiver, &downstream->access.inlet.leg, moved);
    if (!moved && !was_waiting)
        return;
    const struct agent_facts facts = facts_of(downstream);
    if (was_waiting)
        agent_clock_start(&downstream->clock, facts.now_ms);
    else
        agent_clock_progress(&downstream->clock, &facts, moved);
}

/* Logs an agent that sends nothing, and an agent that does not read its acks; gives up the acks of the
 * latter. */
static void silence_note(struct downstream *downstream, const struct agent_facts *facts)
{
    struct connection_log *connection_log = &downstream->shared->transport->connection_log;
    const struct socket_address *peer = &downstream->access.inlet.peer;

    if (agent_clock_is_silent(&downstream->clock, facts))
        connection_log_hint(connection_log, HINT_SILENT_AGENT, peer);
    if (!agent_clock_leaves_acks(&downstream->clock, facts))
        return;
    connection_log_unread_acks(connection_log, peer);
    senders_give_up_acks(&downstream->receiver.senders);
    downstream_wake(downstream);
}

/* Moves bytes until nothing moves or STEP_BYTES have moved, then sets the watcher and the timer. */
static struct step transfer_step(struct downstream *downstream)
{
    enum end_reason reason;
    size_t total = 0, moved;

    pause_update(downstream);
    do {
        reason = bytes_move(downstream, &moved);
        total += moved;
    } while (moved && total < STEP_BYTES && reason == END_NONE);
    pause_update(downstream);
    acks_limit(downstream);
    bool goes_on = reads(downstream);
    senders_note_reading(&downstream->receiver.senders, goes_on ? LINK_READ : LINK_NOT_READ,
                         now_ms(downstream));
    budget_queue(downstream, total);
    const struct agent_facts facts = facts_of(downstream);
    if (reason == END_NONE)
        reason = verdict(downstream, &facts);
    if (reason != END_NONE)
        return step_waits_unless(reason);
    framer_return_scan(&downstream->receiver.framer);
    agent_reading_account(&downstream->reading, &downstream->receiver);
    silence_note(downstream, &facts);
    if (framer_has_paused(&downstream->receiver.framer) ||
        (moved &&
         (goes_on || downstream->outgoing.length || senders_have_answers(&downstream->receiver.senders))))
        downstream_wake(downstream);
    leg_watch(&downstream->access.inlet.leg, goes_on ? LEG_READ : LEG_NO_READ);
    timer_set(&downstream->timer, agent_clock_deadline(&downstream->clock, &facts));
    timer_set(&downstream->timer, retirement_deadline(&downstream->retirement, &downstream->access));
    timer_set(&downstream->timer, framer_deadline(&downstream->receiver.framer));
    timer_set(&downstream->timer, authentication_deadline_ms(&downstream->access.authentication));
    if (!downstream->outgoing.length) /* else an answer is on its way */
        timer_set(&downstream->timer, senders_deadline(&downstream->receiver.senders));
    return step_waits_unless(END_NONE);
}

/* Once, after the TLS handshake: the peer may be a husk that speaks the link. END_NONE or END_NO_MEMORY. */
static enum end_reason link_begin(struct downstream *downstream)
{
    const struct leg *leg = &downstream->access.inlet.leg;

    connection_log_secured(&downstream->shared->transport->connection_log, SIDE_DOWNSTREAM, leg,
                           &downstream->access.inlet.peer);
    if (!leg->tls)
        receiver_allow_link(&downstream->receiver);
    if (leg_peer_protocol(leg) != TLS_PEER_LINK)
        return END_NONE;
    return receiver_begin_link(&downstream->receiver) ? END_NONE : END_NO_MEMORY;
}

static void retire_if_due(struct downstream *downstream)
{
    retirement_update(&downstream->retirement, &downstream->access, &downstream->receiver,
                      downstream->shared->is_retiring ? END_RETIRED : END_NONE);
}

static void downstream_step(struct downstream *downstream)
{
    bool is_securing = downstream->access.state == ACCESS_SECURING;
    struct step step = step_goes_on_unless(END_NONE);

    retire_if_due(downstream);
    enum end_reason refusal =
        agent_access_update(&downstream->access, &downstream->receiver.framer, &downstream->shared->meters,
                            downstream->shared->generation);
    if (refusal != END_NONE)
        step = step_waits_unless(refusal);
    else if (is_securing)
        step = agent_access_secure(&downstream->access, &downstream->shared->meters,
                                   framer_bytes(&downstream->receiver.framer), &downstream->outgoing);
    if (step.outcome == STEP_WAITS) {
        inlet_watch(&downstream->access.inlet);
        timer_set(&downstream->timer, downstream->access.inlet.deadline_ms);
        return;
    }
    if (is_securing && step.outcome == STEP_GOES_ON) {
        step = step_goes_on_unless(link_begin(downstream));
        retire_if_due(downstream);
    }
    if (step.outcome == STEP_GOES_ON)
        step = transfer_step(downstream);
    if (step.outcome != STEP_ENDS)
        return;
    (void)framer_flush(&downstream->receiver.framer); /* hands up a batch that waits */
    downstream_end(downstream, step.reason);
}

/* ---- open, retire and stop ---- */

void downstream_open(struct downstreams *shared, int fd, const struct socket_address *peer)
{
    struct reactor *reactor = shared->transport->reactor;
    struct downstream *downstream = calloc(1, sizeof *downstream);

    if (!downstream) {
        socket_close_by_reset(fd);
        return;
    }
    downstream->task.run = on_task;
    downstream->shared = shared;
    retirement_init(&downstream->retirement);
    agent_clock_start(&downstream->clock, reactor->now_ms);
    receiver_init(&downstream->receiver, &shared->receiving, downstream, &downstream->access.permit);
    agent_reading_init(&downstream->reading, downstream);
    buffer_init(&downstream->outgoing, &reactor->pool);
    timer_init(&downstream->timer, reactor, on_task, &downstream->task);
    LIST_INSERT_HEAD(&shared->list, downstream, sibling);
    agent_access_open(&downstream->access, shared->transport, fd, peer, &downstream->task);
    downstream_step(downstream);
}

void downstream_flush(struct downstream *downstream)
{
    if (framer_flush(&downstream->receiver.framer) == END_NONE)
        return;
    leg_break(&downstream->access.inlet.leg, END_NO_MEMORY);
    downstream_wake(downstream);
}

void downstream_say_goaway(struct downstream *downstream)
{
    if (downstream->access.state == ACCESS_GRANTED)
        (void)senders_say_goaway(&downstream->receiver.senders, downstream->shared->goaway);
}

void downstream_shed(struct downstream *downstream)
{
    if (!senders_send_again(&downstream->receiver.senders))
        return;
    downstream_say_goaway(downstream);
    retirement_shed(&downstream->retirement, &downstream->receiver, &downstream->access.inlet.leg);
    downstream_wake(downstream);
}

bool downstream_stop(struct downstream *downstream)
{
    const struct receiver *receiver = &downstream->receiver;
    bool reads_no_acks = receiver->senders.gives_up_acks && !framer_held_bytes(&receiver->framer);
    bool nothing_lost = senders_have_unsettled(&receiver->senders) || is_drained(downstream) || reads_no_acks;

    downstream_say_goaway(downstream);
    if (downstream->access.state == ACCESS_GRANTED)
        last_answers_write(downstream);
    downstream_end(downstream, END_SHUTDOWN);
    return nothing_lost;
}
