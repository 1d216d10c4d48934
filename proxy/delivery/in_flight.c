#include "delivery/in_flight.h"

#include "forward/json_ack.h"
#include "forward/link.h"
#include "forward/rewriter.h"
#include "wire/tls_channel.h"

enum {
    ONE_PAIR = 0x81, /* first byte of an ack without more keys */
    /* Three of the shortest intervals at which a husk answers. */
    LINK_TIMEOUT_MIN_MS = 3 * LINK_WAITING_EVERY_MS_MIN
};

void in_flight_init(struct in_flight *in_flight, struct message_metrics *metrics, uint64_t ack_timeout_ms,
                    const struct hash_key *key)
{
    *in_flight = (struct in_flight) { .metrics = metrics };
    ledger_init(&in_flight->ledger, key);
    ack_timer_init(&in_flight->ack_timer, ack_timeout_ms);
}

void in_flight_set_ack_timeout(struct in_flight *in_flight, uint64_t ack_timeout_ms)
{
    ack_timer_set_timeout(&in_flight->ack_timer, ack_timeout_ms);
}

void in_flight_begin_link(struct in_flight *in_flight)
{
    in_flight->is_link = true;
    ack_timer_set_minimum(&in_flight->ack_timer, LINK_TIMEOUT_MIN_MS);
}

void in_flight_set_acks(struct in_flight *in_flight, enum in_flight_acks acks)
{
    in_flight->acks = acks;
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

bool in_flight_acks_fit(const struct in_flight *in_flight)
{
    return in_flight->is_link || in_flight->ledger.ack_bytes + ACK_BYTES_MAX <= TLS_RECORD_BYTES;
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

/* The oldest message that expects an ack. */
static struct ledger_entry *oldest_awaiting(const struct in_flight *in_flight)
{
    return in_flight->acks == IN_FLIGHT_ACKS ? ledger_oldest_awaiting(&in_flight->ledger) : NULL;
}

/* ---- messages that settled without their ack ---- */

/* Of the bytes of an id value, without its header; not 0. */
static uint64_t id_hash(const struct in_flight *in_flight, const uint8_t *value, size_t length)
{
    size_t body = ack_id_body(value, length);

    return hash_bytes(&in_flight->ledger.key, value + body, length - body) | 1;
}

static void forgone_note(struct in_flight *in_flight, const struct ledger_entry *entry)
{
    if (entry->id_length)
        in_flight->forgone[in_flight->forgone_count++ % IN_FLIGHT_FORGONE_MAX] =
            id_hash(in_flight, entry->id, entry->id_length);
}

/* Whether this is the ack of a message that has settled without its ack. husk remembers only the last ones of
 * these messages. Of earlier ones, husk recognises the ids that it has made by their form. */
static bool is_forgone(const struct in_flight *in_flight, const uint8_t *id, size_t id_length)
{
    uint64_t hash = in_flight->forgone_count ? id_hash(in_flight, id, id_length) : 0;

    for (size_t i = 0; hash && i < IN_FLIGHT_FORGONE_MAX; i++) {
        if (in_flight->forgone[i] == hash)
            return true;
    }
    return in_flight->forgone_count > IN_FLIGHT_FORGONE_MAX && chunk_id_is_of_husk(id, id_length);
}

/* ---- answers ---- */

/* An ack names a message by its id value, and on a link by its sender: takes the message from the ledger.
 * NULL: no message has this id. */
static struct message *message_acknowledge(struct in_flight *in_flight, const struct ledger_entry *named,
                                           uint64_t now_us)
{
    const struct ledger_entry *oldest = oldest_awaiting(in_flight);
    struct ledger_entry *entry =
        ledger_settle_ack(&in_flight->ledger, named->id, named->id_length, named->sender);

    if (!entry)
        return NULL;
    /* filed_us can be later: an aggregator may repeat the ack of a message that was just sent again. */
    metrics_observe(&in_flight->metrics->ack_latency, &metrics_ack_bounds,
                    now_us > entry->filed_us ? now_us - entry->filed_us : 0);
    if (entry == oldest)
        ack_timer_restart(&in_flight->ack_timer, now_us / 1000);
    return message_leave(in_flight, entry);
}

bool in_flight_has_sender(const struct in_flight *in_flight, uint64_t number)
{
    return ledger_oldest_of(&in_flight->ledger, number);
}

/* The sender that the peer names by its number, if it has messages on this connection. */
static struct sender *sender_find(const struct in_flight *in_flight, uint64_t number)
{
    struct ledger_entry *entry = ledger_oldest_of(&in_flight->ledger, number);

    return entry ? message_of(entry)->sender : NULL;
}

/* Whether an ack in plain Forward offers the link. */
static bool link_is_offered(const uint8_t *ack, size_t length)
{
    struct link_answer frame;
    size_t taken;

    return ack[0] != ONE_PAIR && link_answer_parse(ack, length, &taken, &frame) == LINK_FOUND &&
           frame.version;
}

/* The answer at the front of the bytes read, in plain Forward. */
struct plain_answer {
    uint8_t scratch[JSON_ACK_BYTES_MAX];
    struct json_ack json;
    const uint8_t *id; /* id value, as id_length; borrowed from the bytes read, or from `json` */
    size_t id_length;
    size_t taken;
    bool offers_link;
};

static enum ack_status plain_parse(const struct buffer *incoming, struct plain_answer *answer)
{
    size_t length;
    bool is_json = json_ack_begins(*buffer_view(incoming, 0, &length));
    struct span id;

    length = is_json ? JSON_ACK_BYTES_MAX : ACK_BYTES_MAX;
    const uint8_t *bytes = buffer_front(incoming, answer->scratch, &length);
    if (is_json) {
        enum ack_status status = json_ack_parse(bytes, length, &answer->taken, &answer->json);
        answer->id = answer->json.id;
        answer->id_length = answer->json.id_length;
        answer->offers_link = false;
        return status;
    }
    enum ack_status status = ack_parse(bytes, length, &answer->taken, &id);
    answer->id = bytes + id.start;
    answer->id_length = id.end - id.start;
    answer->offers_link = status == ACK_FOUND && link_is_offered(bytes, answer->taken);
    return status;
}

/* Removes white space between answers in JSON. In MessagePack these bytes are numbers, which are no
 * answers. */
static void space_skip(struct buffer *incoming)
{
    size_t length;

    while (incoming->length && json_ack_is_space(*buffer_view(incoming, 0, &length)))
        buffer_consume(incoming, 1);
}

static enum end_reason ack_settle(struct in_flight *in_flight, const struct plain_answer *plain,
                                  uint64_t now_us, struct in_flight_answer *answer)
{
    const struct ledger_entry named = { .id = plain->id, .id_length = plain->id_length };

    answer->message = message_acknowledge(in_flight, &named, now_us);
    answer->is_of_aggregator = answer->message || is_forgone(in_flight, plain->id, plain->id_length);
    answer->offers_link = plain->offers_link && answer->is_of_aggregator;
    return answer->is_of_aggregator ? END_NONE : END_UNKNOWN_ACK;
}

/* A map without "ack". */
static enum end_reason refusal_take(const struct in_flight *in_flight, struct in_flight_answer *answer)
{
    answer->is_of_aggregator = true;
    if (in_flight->acks == IN_FLIGHT_NO_ACKS)
        return END_NONE;
    return oldest_awaiting(in_flight) ? END_ACK_REFUSED : END_UNKNOWN_ACK;
}

static enum end_reason plain_take(struct in_flight *in_flight, struct buffer *incoming, uint64_t now_us,
                                  struct in_flight_answer *answer)
{
    struct plain_answer plain;
    bool needs_acks = in_flight->acks == IN_FLIGHT_ACKS;
    enum end_reason reason = END_BAD_ACK;

    space_skip(incoming);
    enum ack_status status = incoming->length ? plain_parse(incoming, &plain) : ACK_MORE;
    if (status == ACK_MORE)
        return END_NONE;
    answer->is_complete = true;
    if (status == ACK_FOUND)
        reason = ack_settle(in_flight, &plain, now_us, answer);
    else if (status == ACK_NEGATIVE)
        reason = refusal_take(in_flight, answer);
    if (status != ACK_MALFORMED)
        buffer_consume(incoming, plain.taken);
    else if (!needs_acks)
        buffer_clear(incoming);
    return needs_acks || answer->is_of_aggregator ? reason : END_NONE;
}

static enum end_reason reason_of(const uint8_t *bytes, const struct span *text, enum end_reason fallback)
{
    enum end_reason reason = end_reason_of_name((const char *)bytes + text->start, text->end - text->start);

    return reason == END_NONE ? fallback : reason;
}

static enum end_reason frame_take(struct in_flight *in_flight, struct buffer *incoming, uint64_t now_us,
                                  struct in_flight_answer *answer)
{
    uint8_t scratch[LINK_FRAME_BYTES_MAX];
    size_t length = sizeof scratch, taken;
    const uint8_t *bytes = buffer_front(incoming, scratch, &length);
    struct link_answer frame;
    enum link_status status = link_answer_parse(bytes, length, &taken, &frame);

    if (status != LINK_FOUND)
        return status == LINK_MORE ? END_NONE : END_LINK_ERROR;
    answer->is_complete = answer->is_of_aggregator = true;
    ack_timer_restart(&in_flight->ack_timer, now_us / 1000); /* any answer shows that the peer works */
    answer->is_waiting = frame.is_waiting;
    answer->waiting = reason_of(bytes, &frame.waiting, END_NONE);
    answer->is_goaway = frame.is_goaway;
    answer->goaway = reason_of(bytes, &frame.goaway, END_NONE);
    if (frame.names_window) {
        answer->sender = sender_find(in_flight, frame.sender);
        answer->is_closed = !frame.window;
    }
    const struct ledger_entry named = { .id = bytes + frame.ack.start,
                                        .id_length = frame.ack.end - frame.ack.start,
                                        .sender = frame.sender };
    if (named.id_length)
        answer->message = message_acknowledge(in_flight, &named, now_us);
    if (answer->message && frame.refused) {
        answer->refused = frame.refused;
        answer->reason = reason_of(bytes, &frame.reason, END_REFUSED);
    }
    buffer_consume(incoming, taken); /* `bytes` is not valid afterwards */
    return named.id_length && !answer->message ? END_UNKNOWN_ACK : END_NONE;
}

enum end_reason in_flight_take_answer(struct in_flight *in_flight, struct buffer *incoming, uint64_t now_us,
                                      struct in_flight_answer *answer)
{
    *answer = (struct in_flight_answer) { 0 };
    return in_flight->is_link ? frame_take(in_flight, incoming, now_us, answer)
                              : plain_take(in_flight, incoming, now_us, answer);
}

struct message *in_flight_take_taken(struct in_flight *in_flight, uint64_t taken)
{
    struct ledger_entry *entry;

    if (in_flight->acks == IN_FLIGHT_ACKS) {
        entry = ledger_settle_taken(&in_flight->ledger, taken);
        return entry ? message_leave(in_flight, entry) : NULL;
    }
    entry = in_flight->ledger.first;
    if (!entry || entry->end > taken)
        return NULL;
    forgone_note(in_flight, entry);
    return in_flight_take_oldest(in_flight);
}

struct message *in_flight_take_oldest(struct in_flight *in_flight)
{
    struct ledger_entry *first = in_flight->ledger.first;

    if (!first)
        return NULL;
    ledger_remove(&in_flight->ledger, first);
    return message_leave(in_flight, first);
}

bool in_flight_expects_ack(const struct in_flight *in_flight)
{
    return oldest_awaiting(in_flight);
}

uint64_t in_flight_deadline(const struct in_flight *in_flight)
{
    return ack_timer_deadline(&in_flight->ack_timer, oldest_awaiting(in_flight));
}

bool in_flight_is_late(struct in_flight *in_flight, uint64_t taken, uint64_t now_ms)
{
    return ack_timer_is_late(&in_flight->ack_timer, oldest_awaiting(in_flight), taken, now_ms);
}

struct message *in_flight_failed(const struct in_flight *in_flight, enum end_reason reason)
{
    bool is_about_ack = reason == END_ACK_TIMEOUT || reason == END_ACK_REFUSED;
    struct ledger_entry *entry = is_about_ack ? oldest_awaiting(in_flight) : in_flight->ledger.first;

    return entry ? message_of(entry) : NULL;
}
