#include "delivery/senders.h"

/* ---- callbacks of the agent's sender ---- */

static void on_settled(void *owner, const struct message *message)
{
    struct senders *senders = owner;
    const struct agent_answer answer = {
        .ordinal = message->ordinal,
        .id = message->entry.id,
        .id_length = message->entry.id_length,
        .offers_link = senders->offers_link,
    };

    if (message->ack == MESSAGE_AGENT_ACK && !agent_acks_add(&senders->acks, &answer))
        senders->is_out_of_memory = true;
    senders->events->on_wake(senders->owner);
}

static void on_refused(void *owner, const struct sender_refusal *refusal)
{
    struct senders *senders = owner;
    const struct message *message = refusal->message;
    const struct agent_answer answer = {
        .ordinal = message->ordinal,
        .end = message->end,
        .id = message->entry.id,
        .id_length = message->ack == MESSAGE_AGENT_ACK ? message->entry.id_length : 0,
        .refused = refusal->events,
        .reason = refusal->reason,
    };

    if (!senders->peer) {
        senders->events->on_refused(senders->owner, refusal);
        return;
    }
    if ((answer.id_length || message->is_early_part) && !agent_acks_add(&senders->acks, &answer))
        senders->is_out_of_memory = true;
    senders->events->on_wake(senders->owner);
}

/* ---- callbacks of the agent's sender, and of the link ---- */

static void on_wake(void *owner)
{
    struct senders *senders = owner;

    senders->events->on_wake(senders->owner);
}

static void on_undelivered(void *owner, enum end_reason reason)
{
    struct senders *senders = owner;

    senders->events->on_undelivered(senders->owner, reason);
}

static void on_forgotten(void *owner, struct sender *sender)
{
    struct senders *senders = owner;

    senders->events->on_forgotten(senders->owner, sender);
}

static const struct sender_events sender_events = {
    .on_settled = on_settled,
    .on_refused = on_refused,
    .on_undelivered = on_undelivered,
    .on_wake = on_wake,
};

static const struct link_peer_events link_events = {
    .on_answer = on_wake,
    .on_wake = on_wake,
    .on_undelivered = on_undelivered,
    .on_forgotten = on_forgotten,
};

/* ---- begin and end ---- */

void senders_init(struct senders *senders, const struct senders_events *events, void *owner, uint64_t number)
{
    *senders = (struct senders) { .events = events, .owner = owner };
    sender_init(&senders->agent, &sender_events, senders, number);
    agent_acks_init(&senders->acks, LINK_NO_SENDER);
}

bool senders_begin_link(struct senders *senders, uint64_t *last_number, unsigned senders_max)
{
    const struct link_peer_options options = {
        .events = &link_events,
        .owner = senders,
        .last_number = last_number,
        .senders_max = senders_max,
    };

    senders->offers_link = false;
    senders->gives_up_acks = false;
    sender_set_remote(&senders->agent);
    senders->peer = link_peer_open(&options);
    return senders->peer;
}

void senders_end(struct senders *senders, void (*release)(void *context, struct sender *sender),
                 void *context)
{
    struct sender *sender;

    release(context, &senders->agent);
    agent_acks_clear(&senders->acks);
    while (senders->peer && (sender = link_peer_first(senders->peer))) {
        release(context, sender);
        link_peer_remove(sender);
    }
    link_peer_close(senders->peer);
    senders->peer = NULL;
}

void senders_offer_link(struct senders *senders)
{
    senders->offers_link = !senders->peer;
}

/* ---- messages ---- */

struct sender *senders_next(struct senders *senders)
{
    struct sender *next = senders->peer ? link_peer_sender(senders->peer) : &senders->agent;

    senders->is_out_of_memory |= !next;
    return next;
}

void senders_note_filed(struct senders *senders, uint64_t ordinals, uint64_t now_ms)
{
    if (senders->peer)
        link_peer_note_filed(senders->peer, ordinals, now_ms);
}

void senders_note_reading(struct senders *senders, enum link_reading reading, uint64_t now_ms)
{
    if (senders->peer)
        link_peer_note_reading(senders->peer, reading, now_ms);
}

void senders_note_end(struct senders *senders)
{
    if (!senders->peer)
        sender_note_end(&senders->agent);
}

bool senders_have_unsettled(const struct senders *senders)
{
    return !TAILQ_EMPTY(&senders->agent.unsettled) || (senders->peer && senders->peer->unsettled);
}

bool senders_send_again(const struct senders *senders)
{
    return senders->peer || sender_sends_again(&senders->agent);
}

/* ---- answers ---- */

bool senders_say_goaway(struct senders *senders, enum end_reason reason)
{
    if (senders->peer)
        link_peer_say_goaway(senders->peer, reason);
    return senders->peer;
}

bool senders_have_answers(const struct senders *senders)
{
    return !agent_acks_is_empty(&senders->acks) || (senders->peer && link_peer_has_answers(senders->peer));
}

size_t senders_answer_bytes(const struct senders *senders)
{
    return senders->acks.bytes + (senders->peer ? senders->peer->answer_bytes : 0);
}

void senders_give_up_acks(struct senders *senders)
{
    senders->gives_up_acks = !senders->peer;
}

unsigned senders_limit_acks(struct senders *senders, size_t limit_bytes)
{
    return senders->gives_up_acks ? agent_acks_limit(&senders->acks, limit_bytes) : 0;
}

static bool link_write(struct senders *senders, struct buffer *out, size_t limit_bytes, uint64_t now_ms)
{
    struct link_peer *peer = senders->peer;
    uint64_t deadline_ms = senders_deadline(senders);

    if (!link_peer_gather(peer, out, limit_bytes, now_ms) || peer->is_out_of_memory)
        return false;
    if (out->length || !deadline_ms || now_ms < deadline_ms)
        return true;
    return link_peer_say_waiting(peer, out, senders->events->why_waiting(senders->owner), now_ms);
}

bool senders_write(struct senders *senders, struct buffer *out, size_t limit_bytes, uint64_t now_ms)
{
    uint64_t end = sender_first_early_part(&senders->agent);

    if (senders->is_out_of_memory || !agent_acks_gather(&senders->acks, end, out, limit_bytes))
        return false;
    return !senders->peer || link_write(senders, out, limit_bytes, now_ms);
}

uint64_t senders_deadline(const struct senders *senders)
{
    bool has_others = !TAILQ_EMPTY(&senders->agent.unsettled);

    return senders->peer ? link_peer_waiting_deadline(senders->peer, has_others) : 0;
}
