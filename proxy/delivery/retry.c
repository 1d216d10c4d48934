#include "delivery/retry.h"

enum {
    LATELY_US = 5000000,
    YIELD_ATTEMPTS_MAX = 10, /* if the number of attempts has no limit, see is_to_yield */
    BATCH_PARTS = 8          /* into which an isolated batch is split */
};

void retry_init(struct retry *retry, unsigned max_attempts, unsigned max_ack_timeouts)
{
    *retry = (struct retry) { .max_attempts = max_attempts,
                              .max_ack_timeouts = max_ack_timeouts,
                              .delay_max_ms = RETRY_DELAY_MAX_MS };
}

void retry_set_limits(struct retry *retry, unsigned max_attempts, unsigned max_ack_timeouts)
{
    retry->max_attempts = max_attempts;
    retry->max_ack_timeouts = max_ack_timeouts;
}

void retry_note_drain(struct retry *retry)
{
    retry->delay_max_ms = RETRY_DELAY_MIN_MS;
}

/* ---- whose failure it is ---- */

/* The time from which on acks of other messages are evidence against the message. */
static uint64_t evidence_since_us(const struct retry_evidence *evidence)
{
    bool is_first = evidence->reason == END_ACK_TIMEOUT || !evidence->message->attempted_us;

    return is_first ? evidence->sent_us : evidence->message->attempted_us;
}

/* The first retry ends at an address that has worked lately. */
static bool is_undecided(const struct retry_evidence *evidence)
{
    return evidence->message && evidence->message->attempts == 1 && evidence->acked_us &&
           evidence->now_us < evidence->acked_us + LATELY_US;
}

enum retry_fault retry_judge(const struct retry_evidence *evidence)
{
    bool may_be_messages = evidence->message && !end_reason_is_local(evidence->reason);

    if (end_reason_is_ours(evidence->reason))
        return RETRY_FAULT_NONE;
    if (evidence->reason == END_ACK_TIMEOUT && evidence->says_waiting)
        return RETRY_FAULT_ADDRESS;
    if (may_be_messages && evidence->acked_us > evidence_since_us(evidence))
        return RETRY_FAULT_MESSAGE;
    if (evidence->reason == END_ACK_TIMEOUT)
        return RETRY_FAULT_ADDRESS;
    if (may_be_messages && evidence->was_quiet && !evidence->others_fail)
        return RETRY_FAULT_EITHER;
    return evidence->is_of_use || is_undecided(evidence) ? RETRY_FAULT_NONE : RETRY_FAULT_ADDRESS;
}

uint64_t retry_delay_ms(const struct retry *retry, const struct message *message)
{
    uint64_t delay_ms = RETRY_DELAY_MIN_MS;

    if (message->attempts < 2 && (!retry->max_attempts || message->attempts + 1 < retry->max_attempts))
        return 0;
    for (unsigned i = 2; i < message->attempts && delay_ms < retry->delay_max_ms; i++)
        delay_ms *= 2;
    return delay_ms < retry->delay_max_ms ? delay_ms : retry->delay_max_ms;
}

/* Whether later messages may overtake the message, which has failed. */
static bool is_to_yield(const struct retry *retry, const struct message *message, enum retry_fault fault)
{
    unsigned limit = retry->max_attempts ? retry->max_attempts : YIELD_ATTEMPTS_MAX * 2;

    return fault != RETRY_FAULT_MESSAGE && message->attempts > 2 && message->attempts * 2 >= limit;
}

void retry_count_failure(const struct retry *retry, struct message *message,
                         const struct retry_failure *failure)
{
    if (end_reason_is_ours(failure->reason) || end_reason_is_local(failure->reason))
        return;
    if (failure->reason == END_ACK_TIMEOUT) {
        /* A batch is split and not given up: its parts show which event the aggregator ignores. */
        message->ack_timeouts += failure->fault == RETRY_FAULT_MESSAGE || message->is_batch;
        return;
    }
    /* An outage uses up no attempts, after the two that lead to a retry on a quiet connection. A batch is
     * split and not given up. */
    if (failure->fault != RETRY_FAULT_ADDRESS || message->attempts < 2 || message->is_batch)
        message->attempts++;
    message->attempted_us = failure->now_us;
    message->is_blamed = retry_blames_message(failure->fault);
    message->yields = message->yields || is_to_yield(retry, message, failure->fault);
    if (message->sender)
        sender_note_isolated(message->sender, message);
}

void retry_count_exposure(struct message *message, const struct retry_failure *failure)
{
    bool is_peers = !end_reason_is_ours(failure->reason) && !end_reason_is_local(failure->reason) &&
                    failure->reason != END_ACK_TIMEOUT;

    message->exposures += is_peers && failure->fault != RETRY_FAULT_ADDRESS;
}

void retry_inherit(struct message *part, const struct message *batch)
{
    part->attempts = message_is_isolated(batch);
    part->exposures = batch->exposures + batch->attempts - part->attempts;
    part->attempted_us = batch->attempted_us;
}

/* Connections that ended at another message while this one was on them count too, but only after the message
 * was sent alone. */
static bool attempts_are_left(const struct retry *retry, const struct message *message)
{
    bool was_alone = message->attempts > 1 || retry->max_attempts == 1;

    return !retry->max_attempts || !message->is_blamed || !was_alone ||
           message->attempts + message->exposures < retry->max_attempts;
}

static bool is_worth_sending(const struct retry *retry, const struct message *message)
{
    if (!message->is_kept)
        return false;
    /* A batch is split until the event at fault is known. */
    return message->is_batch ||
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
    bool is_to_split = message->is_batch && (message->attempts > 1 || message->ack_timeouts);
    return is_to_split ? RETRY_SPLIT : RETRY_AGAIN;
}

uint64_t retry_part_events(const struct message *batch)
{
    return message_is_isolated(batch) ? (batch->events + BATCH_PARTS - 1) / BATCH_PARTS : 1;
}

bool retry_can_restart(const struct retry *retry, const struct message *message, uint64_t sent_bytes)
{
    return (message->is_kept || !sent_bytes) && attempts_are_left(retry, message);
}
