/* The unsettled messages of one connection, in the order they were sent. Pure.
 *
 * A message settles by its ack. A message that expects no ack settles once the socket has taken its last
 * byte. The caller owns the entries and embeds them in its messages; the ledger links them. While there are
 * more than a few entries, the ledger has hash tables: acks may come in any order, and the oldest entries may
 * wait for long while later ones settle. */
#ifndef HUSK_FORWARD_LEDGER_H
#define HUSK_FORWARD_LEDGER_H

#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ledger_entry {
    /* Set by the caller before ledger_file, and not changed while the entry is filed. */
    const uint8_t *id; /* value of the chunk id, header included; borrowed while the entry is filed */
    size_t id_length;  /* 0: no ack is expected */
    uint64_t size;     /* bytes of the message */
    uint64_t sender;   /* number of its sender, not 0 */

    /* Written by the ledger alone. */
    struct ledger_entry *next, *previous;
    struct ledger_entry *next_of_id; /* in the same slot of of_ids, or in without_ack */
    struct ledger_entry *next_of_sender, *previous_of_sender; /* in the same slot of of_senders */
    uint64_t end;                                             /* see ledger_file */
    uint64_t filed_us;                                        /* see ledger_file */
};

/* Entries, oldest first. */
struct ledger_slot {
    struct ledger_entry *first, *last;
};

/* Owns memory only while entries are filed. */
struct ledger {
    struct hash_key key;
    struct ledger_entry *first, *last;
    struct ledger_slot without_ack; /* entries that expect no ack */
    size_t slot_count;              /* a power of two; 0: no tables, because there are few entries */
    struct ledger_slot *of_ids; /* slot_count of them; entries that expect an ack, by the hash of the id */
    struct ledger_slot *of_senders; /* slot_count of them; all entries, by the number of the sender */
    size_t count;
    uint64_t bytes;     /* sum of sizes */
    uint64_t ack_bytes; /* sum of the acks that are expected */
};

/* `key`: of the hash of the ids; copied. Peers choose the ids, so the key must be random. */
void ledger_init(struct ledger *ledger, const struct hash_key *key);

/* Files a message after all messages that were sent before. `end` is the offset in the connection's stream
 * after the last byte of the message; `filed_us` is the time, by any monotonic clock. Without memory for
 * larger tables searches take longer. */
void ledger_file(struct ledger *ledger, struct ledger_entry *entry, uint64_t end, uint64_t filed_us);

/* Removes an entry. */
void ledger_remove(struct ledger *ledger, struct ledger_entry *entry);

/* Removes and returns the oldest entry with this id, of this sender; 0: of any sender. If no id is equal, an
 * id with the same bytes is enough (see ack_id_compare). NULL: there is none. */
struct ledger_entry *ledger_settle_ack(struct ledger *ledger, const uint8_t *id, size_t id_length,
                                       uint64_t sender);

/* Removes and returns the oldest entry that expects no ack, if it ends at or before the offset `taken`; NULL:
 * there is none. */
struct ledger_entry *ledger_settle_taken(struct ledger *ledger, uint64_t taken);

/* The oldest entry that expects an ack; NULL: there is none. Earlier entries expect no ack, and their bytes
 * are still in buffers: the size of the buffers limits the search. */
struct ledger_entry *ledger_oldest_awaiting(const struct ledger *ledger);

/* The oldest entry of this sender; NULL: there is none. */
struct ledger_entry *ledger_oldest_of(const struct ledger *ledger, uint64_t sender);

#endif
