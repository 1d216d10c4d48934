#include "delivery/in_flight.h"

#include "forward/link.h"

enum {
    ONE_PAIR = 0x81, /* first byte of an ack without more keys */
    /* Three of the shortest intervals at which a husk answers. */
    LINK_TIMEOUT_MIN_MS = 3 * LINK_WAITING_EVERY_MS_MIN
};

void in_flight_init(struct in_flight *in_flight, struct message_metrics *metrics, uint64_t ack_timeout_ms)
{
    *in_flight = (struct in_flight) { .metrics = metrics };
    ack_timer_init(&in_flight->ack_timer, ack_timeout_ms);
}

void in_flight_begin_link(struct in_flight *in_flight)
{
    in_flight->is_link = true;
    ack_timer_set_minimum(&in_flight->ack_timer, LINK_TIMEOUT_MIN_MS);
}

void in_flight_queue(struct in_flight *in_flight, uint64_t bytes)
{
    in_flight->queued_bytes += bytes;
}

void in_flight_file(struct in_flight *in_flight, struct message *message, uint64_t now_us)
{
    ledger_file(&in_flight->ledger, &message->entry, in_flight->queued_bytes, now_us);
    metrics_add(&in_flight->metrics->unacked, message->count);
}

uint64_t in_flight_offset(const struct in_flight *in_flight, uint64_t pending)
{
    return in_flight->queued_bytes > pending ? in_flight->queued_bytes - pending : 0;
}

/* A message leaves the ledger. */
static struct message *message_leave(struct in_flight *in_flight, struct ledger_entry *entry)
{
    struct message *message = message_of(entry);

    metrics_take(&in_flight->metrics->unacked, message->count);
    return message;
}

/* The ack names a message: takes the message from the ledger. NULL: no message has this id. */
static struct message *message_acknowledge(struct in_flight *in_flight, const uint8_t *bytes,
                                           const struct link_answer *frame, uint64_t now_us)
{
    const struct ledger_entry *oldest = ledger_oldest_awaiting(&in_flight->ledger);
    struct ledger_entry *entry = ledger_settle_ack(&in_flight->ledger, bytes + frame->ack.start,
                                                   frame->ack.end - frame->ack.start, frame->sender);

    if (!entry)
        return NULL;
    /* filed_us can be later: an aggregator may repeat the ack of a message that was just sent again. */
    metrics_observe(&in_flight->metrics->ack_latency, &metrics_ack_bounds,
                    now_us > entry->filed_us ? now_us - entry->filed_us : 0);
    if (entry == oldest)
        ack_timer_restart(&in_flight->ack_timer, now_us / 1000);
    return message_leave(in_flight, entry);
}

static const struct ledger_entry *entry_of_sender(const struct in_flight *in_flight, uint64_t number)
{
    const struct ledger_entry *entry = in_flight->ledger.first;

    while (entry && entry->sender != number)
        entry = entry->next;
    return entry;
}

bool in_flight_has_sender(const struct in_flight *in_flight, uint64_t number)
{
    return entry_of_sender(in_flight, number);
}

/* The sender that the peer names by its number, if it has messages on this connection. */
static struct sender *sender_find(const struct in_flight *in_flight, uint64_t number)
{
    const struct ledger_entry *entry = entry_of_sender(in_flight, number);

    return entry ? ((const struct message *)entry)->sender : NULL;
}

/* Whether an ack in plain Forward offers the link. */
static bool link_is_offered(const uint8_t *ack, size_t length)
{
    struct link_answer frame;
    size_t taken;

    return ack[0] != ONE_PAIR && link_answer_parse(ack, length, &taken, &frame) == LINK_FOUND &&
           frame.version;
}

static enum end_reason ack_take(struct in_flight *in_flight, struct buffer *incoming, uint64_t now_us,
                                struct in_flight_answer *answer)
{
    uint8_t bytes[ACK_BYTES_MAX];
    size_t length = buffer_peek(incoming, 0, bytes, sizeof bytes), taken;
    struct link_answer frame = { 0 };
    enum ack_status status = ack_parse(bytes, length, &taken, &frame.ack);

    if (status != ACK_FOUND)
        return status == ACK_MORE ? END_NONE : END_BAD_ACK;
    buffer_consume(incoming, taken);
    answer->is_complete = true;
    answer->message = message_acknowledge(in_flight, bytes, &frame, now_us);
    answer->offers_link = link_is_offered(bytes, taken);
    return answer->message ? END_NONE : END_UNKNOWN_ACK;
}

static enum end_reason reason_of(const uint8_t *bytes, const struct span *text, enum end_reason fallback)
{
    enum end_reason reason = end_reason_of_name((const char *)bytes + text->start, text->end - text->start);

    return reason == END_NONE ? fallback : reason;
}

static enum end_reason frame_take(struct in_flight *in_flight, struct buffer *incoming, uint64_t now_us,
                                  struct in_flight_answer *answer)
{
    uint8_t bytes[LINK_FRAME_BYTES_MAX];
    size_t length = buffer_peek(incoming, 0, bytes, sizeof bytes), taken;
    struct link_answer frame;
    enum link_status status = link_answer_parse(bytes, length, &taken, &frame);

    if (status != LINK_FOUND)
        return status == LINK_MORE ? END_NONE : END_LINK_ERROR;
    buffer_consume(incoming, taken);
    answer->is_complete = true;
    ack_timer_restart(&in_flight->ack_timer, now_us / 1000); /* any answer shows that the peer works */
    answer->is_waiting = frame.is_waiting;
    answer->waiting = reason_of(bytes, &frame.waiting, END_NONE);
    if (frame.names_window) {
        answer->sender = sender_find(in_flight, frame.sender);
        answer->is_closed = !frame.window;
    }
    if (frame.ack.start == frame.ack.end)
        return END_NONE;
    answer->message = message_acknowledge(in_flight, bytes, &frame, now_us);
    if (!answer->message)
        return END_UNKNOWN_ACK;
    answer->refused = frame.refused;
    answer->reason = reason_of(bytes, &frame.reason, END_REFUSED);
    return END_NONE;
}

enum end_reason in_flight_take_answer(struct in_flight *in_flight, struct buffer *incoming, uint64_t now_us,
                                      struct in_flight_answer *answer)
{
    *answer = (struct in_flight_answer) { 0 };
    return in_flight->is_link ? frame_take(in_flight, incoming, now_us, answer)
                              : ack_take(in_flight, incoming, now_us, answer);
}

struct message *in_flight_take_taken(struct in_flight *in_flight, uint64_t taken)
{
    struct ledger_entry *entry = ledger_settle_taken(&in_flight->ledger, taken);

    return entry ? message_leave(in_flight, entry) : NULL;
}

struct message *in_flight_take_oldest(struct in_flight *in_flight)
{
    struct ledger_entry *first = in_flight->ledger.first;

    if (!first)
        return NULL;
    ledger_remove(&in_flight->ledger, first);
    return message_leave(in_flight, first);
}

uint64_t in_flight_deadline(const struct in_flight *in_flight)
{
    return ack_timer_deadline(&in_flight->ack_timer, ledger_oldest_awaiting(&in_flight->ledger));
}

bool in_flight_is_late(struct in_flight *in_flight, uint64_t taken, uint64_t now_ms)
{
    return ack_timer_is_late(&in_flight->ack_timer, ledger_oldest_awaiting(&in_flight->ledger), taken,
                             now_ms);
}

bool in_flight_is_taken(const struct in_flight *in_flight)
{
    const struct ledger_entry *oldest = ledger_oldest_awaiting(&in_flight->ledger);

    return oldest && in_flight->ack_timer.taken_bytes >= oldest->end;
}

struct message *in_flight_failed(const struct in_flight *in_flight, enum end_reason reason)
{
    struct ledger_entry *entry =
        reason == END_ACK_TIMEOUT ? ledger_oldest_awaiting(&in_flight->ledger) : in_flight->ledger.first;

    return entry ? message_of(entry) : NULL;
}
