/* A message that is too large to hold: it goes upstream while it is read, on an exclusive connection.
 *
 *   WAITING ──granted a connection──▶ FLOWING ──last byte──▶ the dispatcher takes the message
 *      ▲                                 │
 *      └── connection ends, bytes kept ──┘   (not kept: the sender is told that it failed)
 *
 * Connects the downstream connection, which reads the message and owns the cut-through, with an upstream
 * connection. A protected message also keeps its bytes, as long as the read budget allows. The option is sent
 * last, when the message is whole, because the option requests the ack. */
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
    struct upstream *upstream;           /* borrowed: its exclusive connection; NULL: it waits for one */
    struct message *message;             /* owned: the bytes that are kept, and what its end tells */
    uint64_t taken_bytes; /* bytes of the message, as read, that were taken from the buffer of the agent */
    bool has_chunk_value; /* the head that was sent announces a chunk id of ours */
    uint8_t chunk_value[CHUNK_ID_VALUE_BYTES];
};

/* Begins a cut-through for a message whose head is scanned, and requests a connection. Borrows `dispatcher`,
 * `sender` and `permit` until the cut-through ends. NULL when out of memory. */
struct cut_through *cut_through_open(struct dispatcher *dispatcher, struct sender *sender,
                                     const struct message_permit *permit, const struct scanner *scanner);

/* Removes the scanned bytes from the front of `incoming` and sends them, as far as the connection has space.
 * END_NONE, or why the message cannot go on. */
enum end_reason cut_through_flow(struct cut_through *cut_through, struct buffer *incoming,
                                 const struct scanner *scanner);

/* The last byte of the message is scanned: hands the message to the dispatcher and frees the cut-through.
 * END_NONE, or why the message cannot go on: the cut-through stays then. */
enum end_reason cut_through_finish(struct cut_through *cut_through, struct buffer *incoming,
                                   const struct scanner *scanner);

/* The agent has ended in the middle of the message: ends the upstream connection, if there is one, and frees
 * the cut-through. */
void cut_through_abort(struct cut_through *cut_through);

/* Whether the cut-through has a connection with space. While it has none, the agent is not read. */
bool cut_through_can_flow(const struct cut_through *cut_through);

#endif
