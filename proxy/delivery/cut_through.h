/* A message too large to hold: it goes upstream while it is read, on a connection of its own.
 *
 *   WAITING ──granted a connection──▶ FLOWING ──last byte──▶ the dispatcher's
 *      ▲                                 │
 *      └── connection ends, bytes kept ──┘   (not kept: the sender is told that it failed)
 *
 * Stands between the downstream connection that reads it, its owner, and the upstream connection it has
 * exclusively. A protected message keeps its bytes too, as long as there is memory for them. The option is
 * held back until the message is whole: the ack is asked for in it. */
#ifndef HUSK_DELIVERY_CUT_THROUGH_H
#define HUSK_DELIVERY_CUT_THROUGH_H

#include "delivery/dispatcher.h"
#include "delivery/message_policy.h"
#include "delivery/sender.h"

struct cut_through {
    struct exclusive_request request;    /* first */
    struct dispatcher *dispatcher;       /* borrowed */
    struct sender *sender;               /* borrowed */
    const struct message_permit *permit; /* borrowed */
    struct upstream *upstream;           /* its own for the time; NULL: it waits */
    struct message *message;             /* owned: the bytes that are kept, and what its end tells */
    uint64_t taken_bytes;                /* of the message, as read, that have gone on */
    bool has_chunk_value;                /* the head has promised a chunk id of ours */
    uint8_t chunk_value[CHUNK_ID_VALUE_BYTES];
};

/* Begins with a message whose head is scanned, and asks for a connection. NULL when out of memory. Borrows
 * the other arguments until it ends. */
struct cut_through *cut_through_open(struct dispatcher *dispatcher, struct sender *sender,
                                     const struct message_permit *permit, const struct scanner *scanner);

/* Takes what `scanner` has scanned off the front of `incoming`, as far as the connection takes it. END_NONE,
 * or why the message cannot go on. */
enum end_reason cut_through_flow(struct cut_through *cut_through, struct buffer *incoming,
                                 const struct scanner *scanner);

/* The message's last byte is scanned: files the message, hands it over, and frees the cut-through. END_NONE,
 * or why the message cannot go on: then the cut-through stays. */
enum end_reason cut_through_finish(struct cut_through *cut_through, struct buffer *incoming,
                                   const struct scanner *scanner);

/* The agent is gone in the middle of the message: ends the connection, if there is one, and frees the
 * cut-through. */
void cut_through_abort(struct cut_through *cut_through);

/* It waits, or its connection takes no more for the moment: its agent is not read. */
bool cut_through_is_blocked(const struct cut_through *cut_through);

#endif
