/* Messages sent on one connection and not settled yet, in the order they were sent. Pure.
 *
 * A message settles by its ack, or, when it expects none, once its last byte is with the socket. Entries are
 * the caller's, embedded in its messages; the ledger links them. */
#ifndef HUSK_FORWARD_LEDGER_H
#define HUSK_FORWARD_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ledger_entry {
    struct ledger_entry *next, *previous;
    const uint8_t *id; /* the chunk id's value, header included; borrowed for as long as it is filed */
    size_t id_length;  /* 0: no ack is expected */
    uint64_t size;     /* bytes of the message */
    uint64_t end;      /* offset in the connection's stream after its last byte */
    uint64_t filed_us; /* any monotonic clock */
};

/* Zero-initialise. */
struct ledger {
    struct ledger_entry *first, *last;
    size_t count;
    size_t unasked; /* entries that expect no ack */
    uint64_t bytes; /* sum of sizes */
};

/* Files a message behind those sent before it. */
void ledger_file(struct ledger *ledger, struct ledger_entry *entry);

/* Takes out an entry. */
void ledger_remove(struct ledger *ledger, struct ledger_entry *entry);

/* Takes out and returns the oldest entry with this id; NULL: none has it. Acks come in order, so it is near
 * the front. */
struct ledger_entry *ledger_settle_ack(struct ledger *ledger, const uint8_t *id, size_t id_length);

/* Takes out and returns the oldest entry that expects no ack and ends at or before `taken`; NULL: none does.
 */
struct ledger_entry *ledger_settle_taken(struct ledger *ledger, uint64_t taken);

/* The oldest entry that expects an ack; NULL: none. */
struct ledger_entry *ledger_oldest_awaiting(const struct ledger *ledger);

#endif
