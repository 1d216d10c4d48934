#include "delivery/receiver.h"

#include "delivery/link_upstreams.h"

static struct reactor *reactor_of(const struct receiver *receiver)
{
    return receiver->shared->dispatcher->transport->reactor;
}

static struct metrics *metrics_of(const struct receiver *receiver)
{
    return &receiver->shared->dispatcher->transport->metrics;
}

static uint64_t now_ms(const struct receiver *receiver)
{
    return reactor_of(receiver)->now_ms;
}

static void cut_through_drop(struct receiver *receiver)
{
    if (receiver->cut_through)
        cut_through_abort(receiver->cut_through);
    receiver->cut_through = NULL;
}

/* ---- callbacks of the senders ---- */

static void on_wake(void *owner)
{
    const struct receiver *receiver = owner;

    receiver->shared->events->on_wake(receiver->owner);
}

/* Whether the agent is told that its message is lost: the agent waits for the ack, husk has not kept the
 * message, or --on-refused says so. END_NO_ACKS is no loss: the agent waits for its ack, as without husk. */
static bool is_told(const struct receiver *receiver, const struct sender_refusal *refusal)
{
    const struct message *message = refusal->message;

    if (refusal->reason == END_NO_ACKS)
        return false;
    return message->ack == MESSAGE_AGENT_ACK || !message->is_kept ||
           receiver->shared->dispatcher->transport->route->on_refused == ROUTE_REFUSED_RESET;
}

static void on_refused(void *owner, const struct sender_refusal *refusal)
{
    const struct receiver *receiver = owner;

    if (is_told(receiver, refusal))
        receiver->shared->events->on_undelivered(receiver->owner);
    else
        receiver->shared->events->on_wake(receiver->owner); /* the agent may have waited for this message */
}

/* On a link only the message that was given up is lost: the framer reports the refusal at its end. */
static void on_undelivered(void *owner, enum end_reason reason)
{
    struct receiver *receiver = owner;

    if (!receiver->senders.peer || reason == END_UNDELIVERED) {
        receiver->shared->events->on_undelivered(receiver->owner);
        return;
    }
    cut_through_drop(receiver);
    framer_refuse(&receiver->framer, reason);
    receiver->shared->events->on_wake(receiver->owner);
}

static void on_forgotten(void *owner, struct sender *sender)
{
    const struct receiver *receiver = owner;

    dispatcher_forget(receiver->shared->dispatcher, sender);
}

static const char *why_waiting(void *owner)
{
    const struct receiver *receiver = owner;

    return link_upstreams_why_waiting(&receiver->shared->dispatcher->pool);
}

static const struct senders_events senders_events = {
    .on_wake = on_wake,
    .on_refused = on_refused,
    .on_undelivered = on_undelivered,
    .on_forgotten = on_forgotten,
    .why_waiting = why_waiting,
};

/* ---- callbacks of the framer ---- */

/* Without TLS there is no ALPN: a chunk id that a husk has made shows that the peer may be a husk. */
static void link_look(struct receiver *receiver, const struct message *message)
{
    const struct ledger_entry *entry = &message->entry;

    if (receiver->framer.source == FRAMER_FROM_HUSK && message->ack == MESSAGE_AGENT_ACK &&
        chunk_id_is_of_husk(entry->id, entry->id_length))
        senders_offer_link(&receiver->senders);
}

static void on_message(void *owner, struct message *message)
{
    struct receiver *receiver = owner;
    struct sender *sender = senders_next(&receiver->senders);

    receiver->shared->events->on_complete(receiver->owner);
    if (!sender) { /* out of memory: senders_write says so */
        message_free(message);
        return;
    }
    link_look(receiver, message);
    senders_note_filed(&receiver->senders, message_parts_max(message), now_ms(receiver));
    dispatcher_submit(receiver->shared->dispatcher, sender, message);
}

static enum end_reason on_large(void *owner, const struct scanner *scanner)
{
    struct receiver *receiver = owner;
    struct sender *sender = senders_next(&receiver->senders);

    if (!receiver->cut_through && sender)
        receiver->cut_through =
            cut_through_open(receiver->shared->dispatcher, sender, receiver->framer.permit, scanner);
    if (!receiver->cut_through)
        return END_NO_MEMORY;
    return cut_through_flow(receiver->cut_through, framer_bytes(&receiver->framer), scanner);
}

static enum end_reason on_large_end(void *owner, const struct scanner *scanner)
{
    struct receiver *receiver = owner;

    receiver->shared->events->on_complete(receiver->owner);
    senders_note_filed(&receiver->senders, 1, now_ms(receiver));
    enum end_reason reason =
        cut_through_finish(receiver->cut_through, framer_bytes(&receiver->framer), scanner);
    if (reason == END_NONE)
        receiver->cut_through = NULL;
    return reason;
}

static enum end_reason on_frame(void *owner, const struct link_request *frame)
{
    struct receiver *receiver = owner;

    if (!receiver->senders.peer && !receiver_begin_link(receiver))
        return END_NO_MEMORY;
    return link_peer_request(receiver->senders.peer, frame, now_ms(receiver));
}

static void on_large_dropped(void *owner)
{
    cut_through_drop(owner);
}

static struct connection_log *log_of(const struct receiver *receiver)
{
    return &receiver->shared->dispatcher->transport->connection_log;
}

static void invalid_log(const struct receiver *receiver, enum event_fault fault,
                        const struct framer_invalid *invalid)
{
    const struct connection_end where = receiver->shared->events->where(receiver->owner, END_NONE);
    char tag[TAG_TEXT_BYTES];
    const struct connection_invalid found = { fault, tag, invalid->is_passed, &where };

    tag_text_write(tag, invalid->tag, invalid->tag_length);
    connection_log_invalid(log_of(receiver), &found);
}

/* Counts what is invalid, and logs the first of a sender. */
static void on_invalid(void *owner, const struct framer_invalid *invalid)
{
    struct receiver *receiver = owner;
    struct body_metrics *metrics = &metrics_of(receiver)->bodies;
    struct sender *sender = senders_next(&receiver->senders);
    enum event_fault first = EVENT_FAULT_COUNT;

    for (unsigned fault = EVENT_FAULT_COUNT; fault-- > 0;) {
        metrics_add(&metrics->invalid_events[fault], invalid->faults[fault]);
        first = invalid->faults[fault] ? (enum event_fault)fault : first;
    }
    if (sender && sender_note_invalid(sender))
        invalid_log(receiver, first, invalid);
}

/* Counts and answers the message of a link that was refused. */
static void on_message_refused(void *owner, const struct framer_refusal *refusal)
{
    struct receiver *receiver = owner;
    struct message_metrics *metrics = &metrics_of(receiver)->messages;

    receiver->shared->events->on_complete(receiver->owner);
    if (!refusal->comes_in_parts) {
        metrics_add(&metrics->received, 1);
        metrics_add(&metrics->dropped[refusal->reason], 1);
        const struct connection_end end = receiver->shared->events->where(receiver->owner, refusal->reason);
        connection_log_refusal(log_of(receiver), &end);
    }
    link_peer_refuse(receiver->senders.peer, refusal->id, refusal->id_length, refusal->events,
                     refusal->reason);
}

static const struct framer_events framer_events = {
    .on_message = on_message,
    .on_large = on_large,
    .on_large_end = on_large_end,
    .on_frame = on_frame,
    .on_large_dropped = on_large_dropped,
    .on_invalid = on_invalid,
    .on_refused = on_message_refused,
};

/* ---- begin and end ---- */

void receiver_shared_init(struct receiver_shared *shared, const struct receiver_events *events,
                          struct dispatcher *dispatcher, struct body_filter *bodies)
{
    *shared = (struct receiver_shared) {
        .events = events,
        .dispatcher = dispatcher,
        .framing = { .events = &framer_events,
                     .route = dispatcher->transport->route,
                     .building = { .route = dispatcher->transport->route,
                                   .bodies = bodies,
                                   .chunk_ids = dispatcher->chunk_ids,
                                   .pool = &dispatcher->transport->reactor->pool } },
    };
}

void receiver_shared_deinit(struct receiver_shared *shared)
{
    framer_shared_deinit(&shared->framing);
}

void receiver_init(struct receiver *receiver, struct receiver_shared *shared, void *owner,
                   struct message_permit *permit)
{
    *receiver = (struct receiver) { .shared = shared, .owner = owner };
    framer_init(&receiver->framer, &shared->framing, &reactor_of(receiver)->pool, receiver, permit);
    senders_init(&receiver->senders, &senders_events, receiver, ++shared->last_number);
}

bool receiver_begin_link(struct receiver *receiver)
{
    struct receiver_shared *shared = receiver->shared;

    framer_set_source(&receiver->framer, FRAMER_FROM_LINK);
    return senders_begin_link(&receiver->senders, &shared->last_number,
                              shared->dispatcher->transport->route->max_senders);
}

void receiver_allow_link(struct receiver *receiver)
{
    framer_set_source(&receiver->framer, FRAMER_FROM_HUSK);
}

/* The messages of the sender are delivered without it, or dropped if the agent sends them again. */
static void sender_end(void *dispatcher, struct sender *sender)
{
    dispatcher_forget(dispatcher, sender);
    sender_release(sender);
}

void receiver_end(struct receiver *receiver)
{
    cut_through_drop(receiver);
    senders_end(&receiver->senders, sender_end, receiver->shared->dispatcher);
    framer_deinit(&receiver->framer);
}

/* ---- state ---- */

/* Whether each message that was found is handed up, and no answer waits. */
static bool is_quiet(const struct receiver *receiver)
{
    return !receiver->cut_through && !framer_has_batch(&receiver->framer) &&
           !senders_have_answers(&receiver->senders);
}

bool receiver_is_settled(const struct receiver *receiver)
{
    return !senders_have_unsettled(&receiver->senders) && is_quiet(receiver);
}

bool receiver_can_be_left(const struct receiver *receiver)
{
    return (!senders_have_unsettled(&receiver->senders) || senders_send_again(&receiver->senders)) &&
           is_quiet(receiver);
}

bool receiver_is_drained(const struct receiver *receiver)
{
    return receiver_is_settled(receiver) && !framer_held_bytes(&receiver->framer);
}

/* A message that is cut through does not wait: its connection may be the one that the isolated message
 * needs. */
bool receiver_must_wait(const struct receiver *receiver)
{
    return !receiver->cut_through && !receiver->senders.peer &&
           dispatcher_must_wait(receiver->shared->dispatcher, &receiver->senders.agent);
}
