#include "delivery/link_peer.h"

#include <stdlib.h>

enum {
    HEADS_MIN = 16,
    SENDERS_PER_HEAD = 4, /* on average, before there are more heads */
    UNNAMED = 0           /* number of the sender of messages before the first one is named */
};

struct link_sender {
    struct sender sender; /* first */
    struct link_peer *peer;
    struct agent_acks acks; /* with the number that the calling husk gave it */
    TAILQ_ENTRY(link_sender) by_use;
    STAILQ_ENTRY(link_sender) by_answer;
    LIST_ENTRY(link_sender) by_number;
    bool is_answering; /* in the list `answering` */
    bool is_closed;    /* the calling husk was told to send none of its messages */
    bool is_gone;
};

/* Whether further messages of the sender would only wait: after an isolated message, for the husk upstream,
 * or, if they are empty, for earlier messages. */
static bool is_to_close(const struct link_sender *sender)
{
    return sender_has_isolated(&sender->sender) || sender_is_closed(&sender->sender) ||
           sender_is_full(&sender->sender);
}

/* ---- callbacks of the senders ---- */

static void answer_later(struct link_sender *sender)
{
    struct link_peer *peer = sender->peer;

    if (!sender->is_answering)
        STAILQ_INSERT_TAIL(&peer->answering, sender, by_answer);
    sender->is_answering = true;
    peer->events->on_answer(peer->owner);
}

static void answer_add(struct link_sender *sender, const struct agent_answer *answer)
{
    struct link_peer *peer = sender->peer;
    size_t before = sender->acks.bytes;

    if (!agent_acks_add(&sender->acks, answer))
        peer->is_out_of_memory = true;
    peer->answer_bytes += sender->acks.bytes - before;
    answer_later(sender);
}

static void message_answer(struct link_sender *sender, const struct message *message, uint64_t refused,
                           enum end_reason reason)
{
    bool asks = message->ack == MESSAGE_AGENT_ACK;
    const struct agent_answer answer = {
        .ordinal = message->ordinal,
        .end = message->end,
        .id = message->entry.id,
        .id_length = asks ? message->entry.id_length : 0,
        .refused = refused,
        .reason = reason,
    };

    sender->peer->unsettled -= message->ordinals;
    if (asks || (refused && message->is_early_part))
        answer_add(sender, &answer);
    else
        answer_later(sender); /* acks may have waited for this message */
}

static void on_settled(void *owner, const struct message *message)
{
    message_answer(owner, message, 0, END_NONE);
}

static void on_undelivered(void *owner, enum end_reason reason)
{
    struct link_peer *peer = ((struct link_sender *)owner)->peer;

    peer->events->on_undelivered(peer->owner, reason);
}

static void on_refused(void *owner, const struct sender_refusal *refusal)
{
    message_answer(owner, refusal->message, refusal->events, refusal->reason);
}

static void on_wake(void *owner)
{
    struct link_sender *sender = owner;

    if (is_to_close(sender) != sender->is_closed)
        answer_later(sender);
    sender->peer->events->on_wake(sender->peer->owner);
}

static const struct sender_events sender_events = {
    .on_settled = on_settled,
    .on_refused = on_refused,
    .on_undelivered = on_undelivered,
    .on_wake = on_wake,
};

/* ---- the table of senders ---- */

static struct link_sender_head *head_of(struct link_peer *peer, uint64_t number)
{
    return &peer->heads[number & (peer->head_count - 1)]; /* numbers are given in sequence */
}

/* Twice as many heads. Without memory for them the lists only become longer. */
static void heads_grow(struct link_peer *peer)
{
    size_t count = peer->head_count * 2;
    struct link_sender_head *heads = calloc(count, sizeof *heads);
    struct link_sender *sender;

    if (!heads)
        return;
    free(peer->heads);
    peer->heads = heads;
    peer->head_count = count;
    TAILQ_FOREACH (sender, &peer->senders, by_use)
        LIST_INSERT_HEAD(head_of(peer, sender->acks.sender), sender, by_number);
}

static struct link_sender *sender_find(struct link_peer *peer, uint64_t number)
{
    struct link_sender *sender;

    LIST_FOREACH (sender, head_of(peer, number), by_number) {
        if (sender->acks.sender == number)
            return sender;
    }
    return NULL;
}

static void sender_free(struct link_sender *sender)
{
    struct link_peer *peer = sender->peer;

    if (sender == peer->current)
        peer->current = NULL;
    if (sender->is_answering)
        STAILQ_REMOVE(&peer->answering, sender, link_sender, by_answer);
    TAILQ_REMOVE(&peer->senders, sender, by_use);
    LIST_REMOVE(sender, by_number);
    peer->count--;
    peer->answer_bytes -= sender->acks.bytes;
    agent_acks_clear(&sender->acks);
    free(sender);
}

/* Nothing of the sender is unsettled or unanswered. */
static bool is_idle(const struct link_sender *sender)
{
    return TAILQ_EMPTY(&sender->sender.unsettled) && !sender->is_answering;
}

static void sender_forget(struct link_sender *sender)
{
    struct link_peer *peer = sender->peer;

    peer->events->on_forgotten(peer->owner, &sender->sender);
    sender_free(sender);
}

static void sender_forget_if_gone(struct link_sender *sender)
{
    if (sender->is_gone && is_idle(sender) && sender != sender->peer->current)
        sender_forget(sender);
}

/* Makes space for another sender. False when all have unsettled messages or answers. */
static bool sender_evict(struct link_peer *peer)
{
    struct link_sender *sender;

    if (peer->count < peer->count_max)
        return true;
    TAILQ_FOREACH (sender, &peer->senders, by_use) {
        if (is_idle(sender) && sender != peer->current) {
            sender_forget(sender);
            return true;
        }
    }
    return false;
}

static enum end_reason sender_make(struct link_peer *peer, uint64_t number)
{
    struct link_sender *sender = calloc(1, sizeof *sender);

    if (!sender)
        return END_NO_MEMORY;
    sender->peer = peer;
    sender_init(&sender->sender, &sender_events, sender, ++*peer->last_number);
    sender_set_remote(&sender->sender);
    agent_acks_init(&sender->acks, number);
    TAILQ_INSERT_TAIL(&peer->senders, sender, by_use);
    LIST_INSERT_HEAD(head_of(peer, number), sender, by_number);
    if (++peer->count > SENDERS_PER_HEAD * peer->head_count)
        heads_grow(peer);
    peer->current = sender;
    return END_NONE;
}

/* ---- open and close ---- */

struct link_peer *link_peer_open(const struct link_peer_options *options)
{
    struct link_peer *peer = calloc(1, sizeof *peer);

    if (!peer)
        return NULL;
    peer->events = options->events;
    peer->owner = options->owner;
    peer->last_number = options->last_number;
    peer->count_max = options->senders_max;
    TAILQ_INIT(&peer->senders);
    STAILQ_INIT(&peer->answering);
    peer->is_read = true;
    peer->head_count = HEADS_MIN;
    peer->heads = calloc(HEADS_MIN, sizeof *peer->heads);
    if (peer->heads)
        return peer;
    free(peer);
    return NULL;
}

void link_peer_close(struct link_peer *peer)
{
    if (!peer)
        return;
    free(peer->heads);
    free(peer);
}

struct sender *link_peer_first(struct link_peer *peer)
{
    struct link_sender *first = STAILQ_FIRST(&peer->answering); /* cheap to remove, as the first one */

    if (!first)
        first = TAILQ_FIRST(&peer->senders);
    return first ? &first->sender : NULL;
}

void link_peer_remove(struct sender *sender)
{
    sender_free((struct link_sender *)sender);
}

/* ---- what the calling husk says ---- */

static enum end_reason sender_enter(struct link_peer *peer, uint64_t number)
{
    struct link_sender *before = peer->current, *sender = sender_find(peer, number);
    enum end_reason reason = END_NONE;

    if (!sender && !sender_evict(peer)) { /* a further sender shares sender 0 */
        number = UNNAMED;
        sender = sender_find(peer, number);
    }
    if (sender) {
        TAILQ_REMOVE(&peer->senders, sender, by_use);
        TAILQ_INSERT_TAIL(&peer->senders, sender, by_use);
        sender->is_gone = false;
        peer->current = sender;
    } else {
        reason = sender_make(peer, number);
    }
    if (before && before != peer->current)
        sender_forget_if_gone(before);
    return reason;
}

static void sender_leave(struct link_peer *peer, uint64_t number)
{
    struct link_sender *sender = sender_find(peer, number);

    if (!sender)
        return;
    sender->is_gone = true;
    if (sender == peer->current)
        peer->current = NULL;
    sender_forget_if_gone(sender);
}

enum end_reason link_peer_request(struct link_peer *peer, const struct link_request *request, uint64_t now_ms)
{
    if (request->waiting_every_ms) {
        peer->waiting_every_ms = request->waiting_every_ms > LINK_WAITING_EVERY_MS_MIN
                                     ? request->waiting_every_ms
                                     : LINK_WAITING_EVERY_MS_MIN;
        peer->answered_ms = now_ms;
    }
    if (request->names_gone)
        sender_leave(peer, request->gone);
    return request->names_sender ? sender_enter(peer, request->sender) : END_NONE;
}

/* Messages before the first sender is named are of sender 0. */
struct sender *link_peer_sender(struct link_peer *peer)
{
    if (!peer->current && sender_enter(peer, UNNAMED) != END_NONE)
        return NULL;
    return &peer->current->sender;
}

void link_peer_note_reading(struct link_peer *peer, enum link_reading reading, uint64_t now_ms)
{
    bool is_read = reading == LINK_READ;

    if (peer->is_read && !is_read && !peer->unsettled)
        peer->answered_ms = now_ms; /* silence begins now */
    peer->is_read = is_read;
}

void link_peer_note_filed(struct link_peer *peer, uint64_t ordinals, uint64_t now_ms)
{
    if (!peer->unsettled)
        peer->answered_ms = now_ms; /* silence begins now */
    peer->unsettled += ordinals;
}

void link_peer_refuse(struct link_peer *peer, const uint8_t *id, size_t id_length, uint64_t events,
                      enum end_reason reason)
{
    struct sender *sender = link_peer_sender(peer);

    if (!sender) {
        peer->is_out_of_memory = true;
        return;
    }
    uint64_t ordinal = sender_pass_over(sender);
    const struct agent_answer answer = {
        .ordinal = ordinal,
        .end = ordinal + 1,
        .id = id,
        .id_length = id_length,
        .refused = events,
        .reason = reason,
    };
    if (id_length)
        answer_add(peer->current, &answer);
}

/* ---- what the calling husk is told ---- */

void link_peer_say_goaway(struct link_peer *peer, enum end_reason reason)
{
    if (peer->goaway != END_NONE)
        return;
    peer->goaway = reason;
    peer->events->on_answer(peer->owner);
}

/* Whether goaway must still be sent. */
static bool goaway_is_due(const struct link_peer *peer)
{
    return peer->goaway != END_NONE && !peer->has_said_goaway;
}

bool link_peer_has_answers(const struct link_peer *peer)
{
    return !STAILQ_EMPTY(&peer->answering) || goaway_is_due(peer);
}

/* The window comes before an ack: the calling husk finds the sender by an unsettled message, and the ack may
 * settle the last one. */
static bool window_write(struct link_sender *sender, struct buffer *out)
{
    bool is_closed = is_to_close(sender);
    uint8_t bytes[LINK_SHORT_BYTES_MAX];

    if (is_closed == sender->is_closed)
        return true;
    sender->is_closed = is_closed;
    return buffer_append(out, bytes,
                         link_write_window(bytes, sender->acks.sender, is_closed ? 0 : UINT64_MAX));
}

static bool goaway_write(struct link_peer *peer, struct buffer *out)
{
    uint8_t bytes[LINK_SHORT_BYTES_MAX];

    if (!goaway_is_due(peer))
        return true;
    peer->has_said_goaway = true;
    return buffer_append(out, bytes, link_write_goaway(bytes, end_reason_name(peer->goaway)));
}

static bool has_space(const struct buffer *out, size_t limit_bytes)
{
    return out->length + LINK_SHORT_BYTES_MAX + LINK_ACK_BYTES_MAX <= limit_bytes;
}

bool link_peer_gather(struct link_peer *peer, struct buffer *out, size_t limit_bytes, uint64_t now_ms)
{
    size_t begin = out->length;

    if (has_space(out, limit_bytes) && !goaway_write(peer, out))
        return false;
    for (struct link_sender *sender = STAILQ_FIRST(&peer->answering), *next; sender; sender = next) {
        next = STAILQ_NEXT(sender, by_answer);
        if (!has_space(out, limit_bytes))
            break;
        size_t before = sender->acks.bytes;
        uint64_t end = sender_first_early_part(&sender->sender);
        if (!window_write(sender, out) || !agent_acks_gather(&sender->acks, end, out, limit_bytes))
            return false;
        peer->answer_bytes -= before - sender->acks.bytes;
        if (!agent_acks_is_empty(&sender->acks) && !has_space(out, limit_bytes))
            break;
        STAILQ_REMOVE(&peer->answering, sender, link_sender,
                      by_answer); /* acks that are left wait for earlier messages */
        sender->is_answering = false;
        sender_forget_if_gone(sender);
    }
    if (out->length > begin)
        peer->answered_ms = now_ms;
    return true;
}

uint64_t link_peer_waiting_deadline(const struct link_peer *peer, uint64_t others)
{
    bool holds = peer->unsettled || others || !peer->is_read;

    return holds && peer->waiting_every_ms ? peer->answered_ms + peer->waiting_every_ms : 0;
}

bool link_peer_say_waiting(struct link_peer *peer, struct buffer *out, const char *why, uint64_t now_ms)
{
    uint8_t bytes[LINK_SHORT_BYTES_MAX];

    peer->answered_ms = now_ms;
    return buffer_append(out, bytes, link_write_waiting(bytes, why));
}
