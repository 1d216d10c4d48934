#include "delivery/retry.h"

enum {
    NEVER_ACKED_TIMEOUTS_MAX = 3, /* then husk gives up an aggregator without any ack */
    BATCH_PARTS = 8               /* into which an isolated batch is split */
};

void retry_init(struct retry *retry, unsigned max_attempts, unsigned max_ack_timeouts)
{
    *retry = (struct retry) { .max_attempts = max_attempts, .max_ack_timeouts = max_ack_timeouts };
}

void retry_note_ack(struct retry *retry)
{
    retry->has_acked = true;
}

void retry_note_end(struct retry *retry, enum end_reason reason)
{
    retry->ack_timeouts += reason == END_ACK_TIMEOUT;
}

/* The delay before attempt number `attempts` + 1. */
static uint64_t delay_ms(unsigned attempts)
{
    uint64_t delay = RETRY_DELAY_MIN_MS;

    if (attempts < 2)
        return 0;
    for (; attempts > 2 && delay < RETRY_DELAY_MAX_MS; attempts--)
        delay *= 2;
    return delay < RETRY_DELAY_MAX_MS ? delay : RETRY_DELAY_MAX_MS;
}

void retry_count_failure(struct message *message, enum end_reason reason, uint64_t now_ms)
{
    if (reason == END_ACK_TIMEOUT) {
        message->ack_timeouts++;
        return;
    }
    message->attempts++;
    message->retry_at_ms = now_ms + delay_ms(message->attempts);
    if (message->sender)
        sender_note_isolated(message->sender, message);
}

void retry_inherit(struct message *part, const struct message *batch)
{
    part->attempts = message_is_isolated(batch);
}

static bool attempts_are_left(const struct retry *retry, const struct message *message)
{
    return !retry->max_attempts || message->attempts < retry->max_attempts;
}

static bool is_worth_sending(const struct retry *retry, const struct message *message)
{
    if (!message->is_kept || (!retry->has_acked && retry->ack_timeouts >= NEVER_ACKED_TIMEOUTS_MAX))
        return false;
    /* A batch is split until the message at fault is known. */
    return message->count > 1 ||
           (attempts_are_left(retry, message) && message->ack_timeouts < retry->max_ack_timeouts);
}

enum retry_verdict retry_decide(const struct retry *retry, const struct message *message)
{
    if (message_comes_again(message) && !message->sender)
        return RETRY_LEFT;
    if (message_comes_again(message) && message->sender->has_ended)
        return RETRY_GIVE_UP;
    if (!is_worth_sending(retry, message))
        return RETRY_GIVE_UP;
    /* A connection can end for other reasons than a message, so the batch is first sent again alone. */
    bool is_to_split = message->count > 1 && (message->attempts > 1 || message->ack_timeouts);
    return is_to_split ? RETRY_SPLIT : RETRY_AGAIN;
}

unsigned retry_part_count(const struct message *batch)
{
    return message_is_isolated(batch) ? (batch->count + BATCH_PARTS - 1) / BATCH_PARTS : 1;
}

bool retry_can_restart(const struct retry *retry, const struct message *message, uint64_t sent_bytes)
{
    return (message->is_kept || !sent_bytes) && attempts_are_left(retry, message);
}

const char *retry_hint(const struct retry *retry, enum end_reason reason)
{
    if (reason != END_ACK_TIMEOUT || retry->has_acked)
        return NULL;
    return "the aggregator has never acknowledged anything: is it a Forward input that sends acks? If it is "
           "not, use --delivery passthrough";
}
