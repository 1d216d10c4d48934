#include "delivery/in_flight.h"

#include "forward/ack.h"

void in_flight_init(struct in_flight *in_flight, struct message_metrics *metrics, uint64_t ack_timeout_ms)
{
    *in_flight = (struct in_flight) { .metrics = metrics };
    ack_timer_init(&in_flight->ack_timer, ack_timeout_ms);
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

enum end_reason in_flight_take_ack(struct in_flight *in_flight, struct buffer *incoming, uint64_t now_us,
                                   struct message **settled)
{
    uint8_t bytes[ACK_BYTES_MAX];
    size_t length = buffer_peek(incoming, 0, bytes, sizeof bytes), taken;
    struct span id;
    enum ack_status status = ack_parse(bytes, length, &taken, &id);

    *settled = NULL;
    if (status == ACK_MORE)
        return END_NONE;
    if (status == ACK_REFUSED)
        return END_BAD_ACK;
    buffer_consume(incoming, taken);
    const struct ledger_entry *oldest = ledger_oldest_awaiting(&in_flight->ledger);
    struct ledger_entry *entry = ledger_settle_ack(&in_flight->ledger, bytes + id.start, id.end - id.start);
    if (!entry)
        return END_UNKNOWN_ACK;
    /* filed_us can be later: an aggregator may repeat an ack whose message was just sent again. */
    metrics_observe(&in_flight->metrics->ack_latency, &metrics_ack_bounds,
                    now_us > entry->filed_us ? now_us - entry->filed_us : 0);
    if (entry == oldest)
        ack_timer_restart(&in_flight->ack_timer, now_us / 1000);
    *settled = message_leave(in_flight, entry);
    return END_NONE;
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

const struct message *in_flight_failed(const struct in_flight *in_flight, enum end_reason reason)
{
    struct ledger_entry *entry =
        reason == END_ACK_TIMEOUT ? ledger_oldest_awaiting(&in_flight->ledger) : in_flight->ledger.first;

    return entry ? message_of(entry) : NULL;
}
