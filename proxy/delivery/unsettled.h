/* Counts the unsettled messages of a worker, from their arrival to their end: in the metrics, and in the read
 * budget. Counts and logs those that are given up, and tells their senders.
 *
 * A message that is unsettled waits in the dispatcher or is in the ledger of an upstream connection; this
 * unit owns neither. Belongs to its worker's thread. */
#ifndef HUSK_DELIVERY_UNSETTLED_H
#define HUSK_DELIVERY_UNSETTLED_H

#include "base/end_reason.h"
#include "delivery/read_budget.h"
#include "delivery/sender.h"
#include "link/transport.h"

struct unsettled {
    struct transport *transport; /* borrowed */
    struct read_budget *budget;  /* borrowed */
    unsigned count;              /* Forward messages */
};

/* Borrows both. */
void unsettled_init(struct unsettled *unsettled, struct transport *transport, struct read_budget *budget);

/* From now on the message is unsettled, and its bytes are retained if they are kept. */
void unsettled_enter(struct unsettled *unsettled, struct message *message);
/* The message is settled: counts it, tells its sender, and frees it. */
void unsettled_settle(struct unsettled *unsettled, struct message *message);
/* The same for a message that asked for an ack and gets no ack, because its aggregator never acknowledges. */
void unsettled_forgo_ack(struct unsettled *unsettled, struct message *message);
/* The message is settled or given up: frees it. */
void unsettled_leave(struct unsettled *unsettled, struct message *message);
/* The message retains `bytes` in memory from now on. It may be one that is not complete yet. */
void unsettled_retain(struct unsettled *unsettled, struct message *message, uint64_t bytes);
/* Discards the bytes of a message, which cannot be sent again. */
void unsettled_discard(struct unsettled *unsettled, struct message *message);

/* `messages` Forward messages are given up for `reason`: counts and logs them. */
void unsettled_note_loss(struct unsettled *unsettled, enum end_reason reason, unsigned messages);

/* A husk upstream has refused `events` events of the message; the others are settled. Counts both, tells the
 * sender, and frees the message. */
void unsettled_refuse(struct unsettled *unsettled, struct message *message, uint64_t events,
                      enum end_reason reason);

/* Gives up a message for `reason`: counts and logs it, and calls on_refused of its sender if the sender still
 * exists. The callback can forget other messages. The message is neither in a queue nor in a ledger. */
void unsettled_drop(struct unsettled *unsettled, struct message *message, enum end_reason reason);
/* The same without telling the sender: its agent sends the message again. */
void unsettled_forget(struct unsettled *unsettled, struct message *message);

#endif
