/* Finds the messages in one agent's bytes, checks that the agent may write them, and hands them up: whole
 * messages, messages that were read together or within --batch-delay as one batch, and large messages while
 * they are read.
 *
 * Skips foreign values, and leaves out invalid events unless --invalid-events is pass. If no event of a
 * message is left, hands the message up without bytes, so that its agent gets its ack.
 *
 * On a link (docs/link.md) the bytes also contain the frames of the calling husk. A refused message affects
 * no other message: its bytes are discarded, and the messages after it are handed up.
 *
 * No other unit of delivery drives a scanner. Owns the bytes of the current message and, during a message,
 * the state of the scan. Knows neither connections nor loops: bytes and the time go in, messages come out.
 * Belongs to its worker's thread. */
#ifndef HUSK_DELIVERY_FRAMER_H
#define HUSK_DELIVERY_FRAMER_H

#include "delivery/framer_output.h"

void framer_init(struct framer *framer, struct framer_shared *shared, struct buffer_pool *pool, void *owner,
                 struct message_permit *permit);
void framer_deinit(struct framer *framer);
/* Frees what the framers shared. */
void framer_shared_deinit(struct framer_shared *shared);

/* The buffer to which the agent's bytes are appended. */
static inline struct buffer *framer_bytes(struct framer *framer)
{
    return &framer->incoming;
}

/* Where the bytes after the last message or frame come from. Call it before the first byte or in on_frame;
 * FRAMER_FROM_HUSK also in on_message. */
void framer_set_source(struct framer *framer, enum framer_source source);

/* Scans new bytes and hands up messages, as far as rate limits allow. The last messages may wait as a batch
 * until framer_deadline. END_NONE, or why the connection must end. */
enum end_reason framer_advance(struct framer *framer, uint64_t now_ms);

/* From now on the framer takes the rest of the current message or frame, and nothing after it. */
static inline void framer_stop(struct framer *framer)
{
    framer->is_stopping = true;
}

/* Whether nothing more is taken: the bytes after the last message stay in framer_bytes. */
bool framer_has_stopped(const struct framer *framer);

/* The framer takes the rest of the current message or frame, and what comes after it only after
 * framer_resume. */
static inline void framer_pause(struct framer *framer)
{
    framer->is_paused = true;
}

static inline void framer_resume(struct framer *framer)
{
    framer->is_paused = false;
}

/* Whether the framer is paused, and no message has begun. */
bool framer_has_paused(const struct framer *framer);

/* Hands up the batch that waits, if there is one. END_NONE or END_NO_MEMORY. */
enum end_reason framer_flush(struct framer *framer);

/* Whether a batch waits for further messages. */
static inline bool framer_has_batch(const struct framer *framer)
{
    return framer->builder;
}

/* When framer_advance must be called, so that it hands up the batch that waits; 0: no batch waits. */
static inline uint64_t framer_deadline(const struct framer *framer)
{
    return framer->builder ? framer->builder->due_ms : 0;
}

/* The bytes that the framer holds. */
static inline size_t framer_held_bytes(const struct framer *framer)
{
    return framer->incoming.length + (framer->builder ? batch_builder_bytes(framer->builder) : 0);
}

/* How many of these bytes count against the read budget: the batch that waits, and what the other bytes have
 * above --buffer-bytes. */
size_t framer_excess_bytes(const struct framer *framer);

/* On a link: discards the rest of the large message that is being read. on_refused follows at its end. */
void framer_refuse(struct framer *framer, enum end_reason reason);

/* How long a rate limit makes the next message wait, in ms; 0: no wait. A message that waits is not scanned.
 * Without unscanned bytes there is no wait, so that the end of the agent is noticed. */
uint64_t framer_wait_ms(const struct framer *framer, uint64_t now_ms);

/* The agent has sent a part of a message and the rest is missing. */
bool framer_is_mid_message(const struct framer *framer);

/* The agent has sent no byte of a message. */
bool framer_is_untouched(const struct framer *framer);

/* How many bytes of framer_bytes belong to the batch that waits. */
static inline size_t framer_waiting_bytes(const struct framer *framer)
{
    return framer->builder ? framer->builder->held_bytes : 0;
}
/* How many bytes framer_bytes may have while a message is incomplete. */
size_t framer_window(const struct framer *framer);
/* The length of the current message in bytes, as far as its headers tell. */
size_t framer_announced_bytes(const struct framer *framer);

/* Returns the state of the scan to the worker, if no message has begun. */
void framer_return_scan(struct framer *framer);

#endif
